"""The processes of a scenario, and what they tell the probe.

A process of a scenario plays a role under a name. All it says goes to files in
STATE, each replaced as a whole:

    roles/ROLE.json     its pid, and which open files and mappings matter
    progress/ROLE.json  its steps so far, and the numbers that go with them
    answers/ROLE.json   the answer to the probe's last question, `ask`:
                        contents as this process sees them through its own
                        file descriptors and mappings
    errors/ROLE         why it ended, if it did
"""

import ctypes
import hashlib
import mmap
import os
import shutil
import traceback

from common import STATE, announce_ready, pause, read_json, write_json

# The beginning of a `live` file, which its users change all the time; what
# comes after it stays as it was made, so that a checksum of it has a meaning.
LIVE_BYTES = 4096
STEP_SECONDS = 0.05


class Role:
    """One process. The first of a scenario leads: the others are its children,
    and it says when all are there."""

    def __init__(self, name, leads=True):
        self._name = name
        self._leads = leads
        self._others = []
        self._uses = {}
        self._answered = None

    def fork(self, name, play):
        """Has another role played by a child process: `play` gets it.

        Fork before you open anything: what a child shall have by name it must
        not have inherited, and sem_open gives a process that has the semaphore
        open the mapping that is there, under its old name.
        """
        self._others.append(name)
        if os.fork() != 0:
            return
        try:
            play(Role(name, leads=False))
        except BaseException:
            with open(f"{STATE}/errors/{name}", "w", encoding="utf-8") as file:
                traceback.print_exc(file=file)
        os._exit(1)

    def uses_fd(self, label, fd, live=False):
        """Notes that the descriptor `fd` is one to look at."""
        self._uses[label] = {"fd": fd, "live": live}

    def uses_map(self, label, address, size, live=False):
        """Notes that the file mapping at `address` is one to look at."""
        self._uses[label] = {"address": address, "size": size, "live": live}

    def run(self, step, check=dict, rest=STEP_SECONDS):
        """Calls `step` for ever and rests for `rest` seconds in between.

        `step` returns numbers to show as progress; they have to go up from time
        to time. `check` returns facts about this process that a migration must
        not change.
        """
        write_json(
            f"{STATE}/roles/{self._name}.json", {"pid": os.getpid(), "uses": self._uses}
        )
        if self._leads:
            for other in self._others:
                wait_for(f"{STATE}/roles/{other}.json")
            announce_ready(read_json(f"{STATE}/scenario.json")["name"])
        steps = 0
        while True:
            values = step()
            steps += 1
            write_json(f"{STATE}/progress/{self._name}.json", {"step": steps, **values})
            self._answer(check)
            pause(rest)

    def _answer(self, check):
        question = read_json(f"{STATE}/ask")
        if question == self._answered:
            return
        self._answered = question
        sums = {label: checksum(use) for label, use in self._uses.items()}
        answer = {"question": question, "sha256": sums, "checks": check()}
        write_json(f"{STATE}/answers/{self._name}.json", answer)


def clear_state():
    """Makes STATE an empty place for the files above."""
    os.makedirs(STATE, exist_ok=True)
    for entry in os.scandir(STATE):
        shutil.rmtree(entry) if entry.is_dir() else os.unlink(entry)
    for folder in ("answers", "errors", "progress", "roles"):
        os.mkdir(f"{STATE}/{folder}")


def wait_for(path):
    """Waits until somebody has made the file."""
    while not os.path.exists(path):
        pause(0.01)


def checksum(use):
    """SHA-256 of what does not change in a use's file, as this process sees
    it; None if the whole file is live."""
    skip = LIVE_BYTES if use["live"] else 0
    if "fd" in use:
        return file_checksum(use["fd"], skip)
    if use["size"] <= skip:
        return None
    rest = (ctypes.c_char * (use["size"] - skip)).from_address(use["address"] + skip)
    return hashlib.sha256(rest).hexdigest()


def file_checksum(fd, skip):
    """SHA-256 of an open file from offset `skip`; None if it ends there."""
    size = os.fstat(fd).st_size
    if size <= skip:
        return None if skip else hashlib.sha256().hexdigest()
    digest = hashlib.sha256()
    for offset in range(skip, size, 1 << 20):
        digest.update(os.pread(fd, min(1 << 20, size - offset), offset))
    return digest.hexdigest()


class Mapping:
    """A whole file, mapped shared and writable, as words of 8 bytes."""

    def __init__(self, fd):
        self.size = os.fstat(fd).st_size
        # trackfd=False: no second descriptor that nobody has asked for.
        self._map = mmap.mmap(fd, self.size, trackfd=False)
        self.words = memoryview(self._map).cast("Q")
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))


def pattern(seed, size):
    """`size` bytes that look random and are the same wherever `seed` is."""
    return hashlib.shake_128(seed.encode()).digest(size)


def create(path, contents, mode=0o600):
    """A new file with these contents, open for reading and writing."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
    os.fchmod(fd, mode)  # whatever the umask is
    with open(fd, "wb", closefd=False) as file:
        file.write(contents)
    return fd
