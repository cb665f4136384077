"""A FUSE file system that changes behind the kernel's back (fuse(4)), as lxcfs does.

    stale_fs.py MOUNTPOINT DIRECTORY

It has a directory `dir` and a file `file`. When there is a file DIRECTORY/forget, the kernel is told
that the names of both are not valid any more; DIRECTORY/forgotten says that it was. Whoever asks for
them finds them again. While there is a file DIRECTORY/silent, nothing is answered, and there is
DIRECTORY/silenced. It prints "mounted" and serves until it is unmounted. The server runs on a host,
not in a container.
"""

import ctypes
import errno
import os
import struct
import sys
import time

import fuse

NOTIFY_INVAL_ENTRY = 3
DIRECTORY, FILE = 2, 3
NAMES = {b"dir": DIRECTORY, b"file": FILE}
# Seconds for which the kernel need not ask again.
VALID = 3600


def size(inode):
    return 0 if inode == FILE else None


def answer(opcode, inode, body):
    """The body of the answer, or an error number."""
    if opcode == fuse.INIT:
        return fuse.INITIALISED
    if opcode == fuse.LOOKUP:
        found = NAMES.get(body.rstrip(b"\0")) if inode == fuse.ROOT else None
        return errno.ENOENT if found is None else fuse.entry(found, VALID, size(found))
    if opcode == fuse.GETATTR:
        return fuse.attributes(inode, VALID, size(inode))
    if opcode == fuse.STATFS:
        return struct.pack("<5Q4I6I", 0, 0, 0, 2, 0, 4096, 255, 4096, 0, *[0] * 6)
    if opcode in (fuse.OPEN, fuse.OPENDIR):
        return fuse.OPENED
    if opcode in (fuse.READ, fuse.READDIR, fuse.FLUSH, fuse.RELEASE, fuse.RELEASEDIR):
        return b""
    return errno.ENOSYS


def forget(device):
    for name in NAMES:
        body = struct.pack("<Q2I", fuse.ROOT, len(name), 0) + name + b"\0"
        fuse.send(device, 0, NOTIFY_INVAL_ENTRY, body)


def main():
    mount_point, directory = sys.argv[1:]
    ctypes.CDLL(None).prctl(15, b"stale_fs")  # PR_SET_NAME: not to be taken for a workload
    device = fuse.mount("stale", mount_point)
    print("mounted", flush=True)
    for request in fuse.requests(device):
        while os.path.exists(f"{directory}/silent"):
            fuse.touch(f"{directory}/silenced")
            time.sleep(0.05)
        if os.path.exists(f"{directory}/forget"):
            os.unlink(f"{directory}/forget")
            forget(device)
            fuse.touch(f"{directory}/forgotten")
        if request is not None:
            opcode, unique, inode, body = request
            fuse.reply(device, unique, answer(opcode, inode, body))


if __name__ == "__main__":
    main()
