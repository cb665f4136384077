"""Files whose names look deleted, or are and do not look so, for obstacles.py."""

import ctypes
import os

_libc = ctypes.CDLL(None)

SHM = "/dev/shm"


def _create(path, text=b"own"):
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(file, text)
    return file


def _gone(directory, name):
    """A file whose name is gone while another one lives."""
    os.makedirs(directory, exist_ok=True)
    file = _create(f"{directory}/{name}")
    os.link(f"{directory}/{name}", f"{directory}/other-{len(name)}")
    os.unlink(f"{directory}/{name}")
    return file


def name_taken():
    """Beside it there is a file that is called as this one is shown."""
    file = _gone(f"{SHM}/taken", "name")
    os.close(_create(f"{SHM}/taken/name (deleted)", b"another"))
    return file


def name_too_long():
    """It is, with what the kernel adds to it."""
    return _gone(f"{SHM}/long", "n" * 250)


def name_through_file():
    """What was its directory is a file now."""
    file = _gone(f"{SHM}/through/directory", "name")
    os.rename(f"{SHM}/through/directory/other-4", f"{SHM}/through/other")
    os.rmdir(f"{SHM}/through/directory")
    os.close(_create(f"{SHM}/through/directory"))
    return file


def by_path(path):
    """Whatever is there, a file or a directory."""
    return os.open(path, os.O_RDONLY)


def another_by_path(path):
    return by_path(path)


def memory_program():
    """A process whose executable is memory (fexecve(3)), and one that has it open no more."""
    for keep in (True, False):
        file = os.memfd_create("program", 0)
        with open("/bin/busybox", "rb") as source:
            os.write(file, source.read())
        if os.fork() == 0:
            _libc.prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL
            os.set_inheritable(file, keep)
            os.execve(file, ["sleep", "1000000"], {})
        os.close(file)


CASES = [
    name_taken,
    name_too_long,
    name_through_file,
    by_path,
    another_by_path,
    memory_program,
]
