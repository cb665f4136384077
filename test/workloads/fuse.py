"""The part of FUSE's protocol (fuse(4), linux/fuse.h) that file systems of the tests need: they run on
hosts, which have no library for it."""

import ctypes
import errno
import os
import select
import struct
import sys

LOOKUP, FORGET, GETATTR, OPEN, READ, RELEASE, FLUSH, INIT = 1, 2, 3, 14, 15, 18, 25, 26
STATFS, OPENDIR, READDIR, RELEASEDIR = 17, 27, 28, 29
INTERRUPT, BATCH_FORGET = 36, 42
NO_ANSWER = (FORGET, INTERRUPT, BATCH_FORGET)
ROOT = 1

OPENED = struct.pack("<Q2I", 0, 0, 0)
INITIALISED = struct.pack("<4I2H2I2H8I", 7, 31, 0, 0, 1, 1, 4096, 1, 0, 0, *[0] * 8)


def mount(name, mount_point):
    """Returns the device on which the kernel asks."""
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(name.encode(), mount_point.encode(), b"fuse", 0, options.encode()) != 0:
        sys.exit(f"cannot mount on {mount_point}: {os.strerror(ctypes.get_errno())}")
    return device


def attributes(inode, valid, size=None):
    """The answer to GETATTR, valid for so many seconds: of a file of this size, or of a directory."""
    return struct.pack("<Q2I", valid, 0, 0) + _attributes(inode, size)


def entry(inode, valid, size=None):
    """The answer to LOOKUP, likewise."""
    return struct.pack("<4Q2I", inode, 0, valid, valid, 0, 0) + _attributes(inode, size)


def _attributes(inode, size):
    mode, links = (0o40755, 2) if size is None else (0o100644, 1)
    numbers = inode, size or 0, 0, 0, 0, 0, 0, 0, 0, mode, links, 0, 0, 0, 4096, 0
    return struct.pack("<6Q10I", *numbers)


def requests(device):
    """Yields the requests that are to be answered, as opcode, unique, inode and body, and None every
    now and then; until it is unmounted."""
    while True:
        yield None
        if not select.select([device], [], [], 0.05)[0]:
            continue
        try:
            request = os.read(device, 1 << 20)
        except OSError as error:
            if error.errno == errno.ENODEV:  # unmounted
                return
            raise
        _, opcode, unique, inode = struct.unpack_from("<2I2Q", request)
        if opcode not in NO_ANSWER:
            yield opcode, unique, inode, request[40:]


def reply(device, unique, result):
    """Answers with a body, or an error number."""
    error, body = (0, result) if isinstance(result, bytes) else (-result, b"")
    send(device, unique, error, body)


def send(device, unique, error, body):
    try:
        os.write(device, struct.pack("<IiQ", 16 + len(body), error, unique) + body)
    except OSError as failed:
        if failed.errno not in (errno.ENOENT, errno.ENOTDIR):  # it is not known, or forgotten
            raise


def touch(path):
    with open(path, "w", encoding="utf-8"):
        pass
