"""Files of several kinds, each open, and none that is not."""

import array
import fcntl
import os
import termios

from common import SHM
from roles import Role, create, pattern

GIB = 1 << 30
PAGE = 4096
# At the start, somewhere in the middle and at the end; holes in between.
OFFSETS = (0, 5 * PAGE, GIB // 2 + PAGE, GIB - PAGE)
FIFO_DATA = b"written before the dump"


def kinds():
    """A sparse file of 1 GiB with two names and few pages, a FIFO with data in it, a
    symbolic link by O_PATH, a small file with odd rights, owner, time and an attribute,
    an empty one."""
    role = Role("holder")
    sparse = create(f"{SHM}/sparse", b"")
    os.ftruncate(sparse, GIB)
    for offset in OFFSETS:
        os.pwrite(sparse, pattern(f"{offset}", PAGE), offset)
    os.link(f"{SHM}/sparse", f"{SHM}/sparse-also")
    also = os.open(f"{SHM}/sparse-also", os.O_RDONLY)

    os.mkfifo(f"{SHM}/fifo", 0o622)
    # For both directions, so that it opens without a partner and keeps its data.
    fifo = os.open(f"{SHM}/fifo", os.O_RDWR | os.O_NONBLOCK)
    os.write(fifo, FIFO_DATA)

    os.symlink("somewhere else", f"{SHM}/link")
    link = os.open(f"{SHM}/link", os.O_PATH | os.O_NOFOLLOW)

    small = create(f"{SHM}/small", pattern("small", 12_287), 0o4751)
    os.fchown(small, 1000, 1001)
    os.fchmod(small, 0o4751)
    os.setxattr(small, "user.note", b"kept \xff")
    os.utime(small, ns=(1_000_000_007, 1_600_000_000_123_456_789))
    role.uses_fd("small", small)
    chunked = create(f"{SHM}/chunked", pattern("chunked", 12_288), 0o604)
    role.uses_fd("chunked", chunked)
    role.uses_fd("empty", create(f"{SHM}/empty", b""))

    def same(fd, name):
        by_fd, by_name = os.fstat(fd), os.lstat(f"{SHM}/{name}")
        return (by_fd.st_dev, by_fd.st_ino) == (by_name.st_dev, by_name.st_ino)

    def check():
        pending = array.array("i", [0])
        fcntl.ioctl(fifo, termios.FIONREAD, pending)
        status = os.fstat(sparse)
        return {
            "fifo_pending_bytes": pending[0],
            "link": os.readlink(b"", dir_fd=link).decode(),
            "small": (
                {name: os.getxattr(small, name).hex() for name in os.listxattr(small)},
                os.fstat(small).st_mtime_ns,
            ),
            "sparse_intact": all(
                os.pread(fd, PAGE, offset) == pattern(f"{offset}", PAGE)
                for offset in OFFSETS
                for fd in (sparse, also)
            ),
            "sparse": (status.st_size, status.st_blocks, status.st_nlink),
            "same": [
                same(sparse, "sparse"),
                same(also, "sparse"),
                same(sparse, "sparse-also"),
                same(fifo, "fifo"),
                same(link, "link"),
            ],
        }

    role.run(dict, check)
