"""Names, modes and kinds of files that are allowed, and seldom seen."""

import array
import fcntl
import os
import termios

from common import SHM
from roles import Role, create, pattern

FIFO_DATA = b"written before the dump"


def odd_names():
    """Each regular file is open under its odd name."""
    shm = os.fsencode(SHM)
    role = Role("holder")

    def open_file(label, name):
        role.uses_fd(label, create(os.path.join(shm, name), pattern(label, 5000)))

    open_file("space", b"with space")
    open_file("newline", b"new\nline")
    open_file("not-utf8", b"bytes \xff\xfe\x80")
    open_file("backslash", rb"back\040slash")
    # A name that is alive and looks like what the kernel shows for a dead one.
    open_file("suffix", b"alive (deleted)")
    open_file("longest", b"n" * 255)

    # Sticky, set-group-id, and not readable for its group.
    os.mkdir(os.path.join(shm, b"odd dir"))
    os.chmod(os.path.join(shm, b"odd dir"), 0o3713)
    open_file("in-odd-dir", b"odd dir/temporary \xff\n")
    # A deleted name with a live one beside it, in that directory.
    os.link(
        os.path.join(shm, b"odd dir/temporary \xff\n"),
        os.path.join(shm, b"odd dir/kept \xff"),
    )
    os.unlink(os.path.join(shm, b"odd dir/temporary \xff\n"))
    # A file without a name that had the suffix in its name.
    open_file("nameless", b"odd dir/gone (deleted)")
    os.unlink(os.path.join(shm, b"odd dir/gone (deleted)"))

    os.mkdir(os.path.join(shm, b"closed dir"))
    open_file("in-closed-dir", b"closed dir/inside")
    os.chmod(os.path.join(shm, b"closed dir"), 0)
    os.mkdir(os.path.join(shm, b"empty dir"))

    os.symlink(b"with space", os.path.join(shm, b"symlink"))
    os.symlink(b"nowhere \xff", os.path.join(shm, b"dangling"))

    fifo = os.path.join(shm, b"fi fo")
    os.mkfifo(fifo, 0o622)
    # For both directions, so that it opens without a partner and keeps its data.
    fifo_fd = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    os.write(fifo_fd, FIFO_DATA)

    def check():
        pending = array.array("i", [0])
        fcntl.ioctl(fifo_fd, termios.FIONREAD, pending)
        return {"fifo_pending_bytes": pending[0]}

    role.run(dict, check)
