"""Memory that looks like files, and files that look like memory (memfd_create(2)).

What it says is in STATE/memory-files.json: see self_check.py.
"""

import contextlib
import ctypes
import fcntl
import mmap
import os

from common import SHM
from self_check import look_for_ever

PAGE = 4096
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


def _memory(name, text, flags=0):
    file = os.memfd_create(name, flags)
    os.ftruncate(file, PAGE)
    os.pwrite(file, text, 0)
    return file


def _file(path, text):
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    os.ftruncate(file, PAGE)
    os.pwrite(file, text, 0)
    return file


def _inode(file):
    return os.fstat(file).st_dev, os.fstat(file).st_ino


def same_names():
    """Two of one name, one of them twice, and one without a name."""
    one, other, none = _memory("same", b"one"), _memory("same", b"other"), _memory("", b"none")
    again = os.open(f"/proc/self/fd/{one}", os.O_RDWR)
    count = 0

    def check():
        nonlocal count
        count += 1
        os.pwrite(again, count.to_bytes(8, "little"), 100)
        good = os.pread(one, 8, 100) == count.to_bytes(8, "little")
        texts = [os.pread(file, 4, 0).rstrip(b"\0") for file in (one, other, none)]
        is_one = _inode(one) == _inode(again) and _inode(one) != _inode(other)
        return good and is_one and texts == [b"one", b"othe", b"none"]

    return check


def sealed():
    file = _memory("sealed", b"sealed", os.MFD_ALLOW_SEALING)
    fcntl.fcntl(file, fcntl.F_ADD_SEALS, SEALS)

    def check():
        with contextlib.suppress(PermissionError):
            os.pwrite(file, b"x", 0)
            return False
        return fcntl.fcntl(file, fcntl.F_GET_SEALS) == SEALS and os.pread(file, 6, 0) == b"sealed"

    return check


def mapped():
    """A shared and a private mapping, of which only the first has a descriptor; and another shared
    one that has none."""
    file, closed = _memory("mapped", b"before"), _memory("closed", b"closed")
    shared, private = mmap.mmap(file, PAGE), mmap.mmap(file, PAGE, mmap.MAP_PRIVATE)
    alone = mmap.mmap(closed, PAGE)
    os.close(closed)
    private[:6] = b"inside"
    count = 0

    def check():
        nonlocal count
        count += 1
        shared[100] = count % 256
        good = os.pread(file, 101, 0)[100] == count % 256
        return good and shared[:6] == b"before" and (private[:6], alone[:6]) == (b"inside", b"closed")

    return check


def real_files():
    """Files that are called as memory is: alive, and alive with the suffix; deleted ones like them;
    on the root, and on the tmpfs."""
    files = []
    for directory in ("", SHM):
        for name in ("memfd:real", "memfd:real (deleted)", "memfd:gone", "memfd:gone (deleted)"):
            path = f"{directory}/{name}"
            text = path.encode()
            files.append((_file(path, text), path, text))
        for name in ("memfd:gone", "memfd:gone (deleted)"):
            os.unlink(f"{directory}/{name}")
    memory = [_memory(name, name.encode()) for name in ("real", "gone")]

    def check():
        for file, path, text in files:
            if os.pread(file, len(text), 0) != text:
                return False
            lives = "real" in path
            if os.path.exists(path) != lives or os.fstat(file).st_nlink != lives:
                return False
            if lives and os.stat(path).st_ino != os.fstat(file).st_ino:
                return False
        return [os.pread(file, 4, 0) for file in memory] == [b"real", b"gone"]

    return check


def anonymous():
    """Memory that is shared by a mapping, and open as a file by /proc/PID/map_files."""
    shared = mmap.mmap(-1, PAGE)
    shared[:3] = b"abc"
    address = ctypes.addressof(ctypes.c_char.from_buffer(shared))
    file = os.open(f"/proc/self/map_files/{address:x}-{address + PAGE:x}", os.O_RDWR)
    count = 0

    def check():
        nonlocal count
        count += 1
        shared[100] = count % 256
        return os.pread(file, 101, 0)[:3] == b"abc" and os.pread(file, 1, 100)[0] == count % 256

    return check


KINDS = [same_names, sealed, mapped, real_files, anonymous]


if __name__ == "__main__":
    look_for_ever("memory-files", KINDS)
