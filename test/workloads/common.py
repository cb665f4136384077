"""What the workloads share: glibc's named semaphores, waiting, state files.

The processes of a workload are dumped and restored by CRIU, perhaps on another
machine. Hence the habits here:

- waits are short, relative, and may end early: after a restore an absolute
  deadline on the monotonic clock can be far in the future, since that clock
  counts from the start of the machine;
- no sockets, no terminal, no signal handlers;
- nothing is written to stdout once the workload runs: a restored container
  need not have a reader there.
"""

import contextlib
import ctypes
import errno
import json
import os
import time

SHM = "/dev/shm"
# On the root file system. A test that does not carry that one can point this
# to a volume.
STATE = os.environ.get("WORKLOAD_STATE", "/workload-state")

_libc = ctypes.CDLL(None, use_errno=True)


class _Timespec(ctypes.Structure):
    _fields_ = [("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long)]


_libc.sem_open.restype = ctypes.c_void_p
_libc.sem_wait.argtypes = [ctypes.c_void_p]
_libc.sem_timedwait.argtypes = [ctypes.c_void_p, ctypes.POINTER(_Timespec)]
_libc.sem_post.argtypes = [ctypes.c_void_p]
_libc.sem_getvalue.argtypes = [ctypes.c_void_p, ctypes.POINTER(ctypes.c_int)]


def _check(result, what):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


class NamedSemaphore:
    """sem_open(3). `/NAME` is the file /dev/shm/sem.NAME.

    glibc creates one under a temporary name `sem.XXXXXX`, maps it, links it to
    its real name and unlinks the temporary one: the creator's mapping shows a
    deleted name, while that of whoever opens it later shows the real one.
    """

    SIZE = 32  # sizeof(sem_t) on 64-bit systems: the size of the file

    def __init__(self, name, create_with_value=None):
        self.path = f"{SHM}/sem.{name}"
        if create_with_value is None:
            flags, value = 0, 0
        else:
            flags, value = os.O_CREAT | os.O_EXCL, create_with_value
        # oflag, and the variadic mode_t mode and unsigned int value.
        self.address = _libc.sem_open(
            f"/{name}".encode(),
            ctypes.c_int(flags),
            ctypes.c_uint(0o600),
            ctypes.c_uint(value),
        )
        if self.address is None:  # SEM_FAILED is a null pointer
            _check(-1, f"sem_open(/{name})")

    def wait(self, timeout=None):
        """Takes the semaphore; False if that was not possible in `timeout`
        seconds."""
        deadline = None
        if timeout is not None:
            end = time.time() + timeout  # sem_timedwait wants CLOCK_REALTIME
            deadline = _Timespec(int(end), int(end % 1 * 1e9))
        while True:
            if deadline is None:
                result = _libc.sem_wait(self.address)
            else:
                result = _libc.sem_timedwait(self.address, ctypes.byref(deadline))
            if result == 0:
                return True
            number = ctypes.get_errno()
            if number == errno.ETIMEDOUT:
                return False
            if number != errno.EINTR:  # a restore may interrupt the wait
                _check(-1, f"wait for {self.path}")

    def post(self):
        _check(_libc.sem_post(self.address), f"post {self.path}")

    def value(self):
        value = ctypes.c_int()
        _check(_libc.sem_getvalue(self.address, ctypes.byref(value)), self.path)
        return value.value


def pause(seconds):
    """Waits about `seconds`, less if interrupted.

    Not time.sleep, which waits for an absolute time on the monotonic clock.
    """
    _libc.poll(None, 0, ctypes.c_int(int(seconds * 1000)))


def write_atomically(path, text):
    """Replaces the file: a reader sees the old text or the new one."""
    temporary = f"{path}.{os.getpid()}.tmp"
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(temporary, path)


def write_json(path, value):
    write_atomically(path, json.dumps(value, sort_keys=True) + "\n")


def read_json(path):
    """The value in the file, or None if there is no such file."""
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return None


def announce_ready(what):
    """Leaves the marker for which a test waits."""
    write_atomically(f"{STATE}/ready", what + "\n")
    with contextlib.suppress(OSError):  # nobody has to listen
        print(f"{what} ready", flush=True)


def mappings(pid):
    """The file mappings of a process, as dicts with their start and end
    address, device, inode and name."""
    found = []
    with open(f"/proc/{pid}/maps", "rb") as lines:
        for line in lines:
            fields = line.rstrip(b"\n").split(None, 5)
            if len(fields) < 6 or fields[4] == b"0":
                continue
            start, end = (int(part, 16) for part in fields[0].split(b"-"))
            major, minor = (int(part, 16) for part in fields[3].split(b":"))
            found.append(
                {
                    "start": start,
                    "end": end,
                    "dev": os.makedev(major, minor),
                    "ino": int(fields[4]),
                    "name": os.fsdecode(fields[5]),
                }
            )
    return found
