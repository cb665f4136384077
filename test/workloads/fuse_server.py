"""A FUSE file system with one file, whose reader waits until somebody lets it go on.

    fuse_server.py MOUNTPOINT DIRECTORY

DIRECTORY/reading appears when somebody reads MOUNTPOINT/file; the read is
answered (with nothing: the end of the file) when DIRECTORY/answer is there. The
server runs on a host, not in a container.
"""

import errno
import os
import sys

import fuse

FILE, SIZE = 2, 1 << 20


def answer(opcode, inode, body):
    """The body of the answer, or an error number."""
    if opcode == fuse.INIT:
        return fuse.INITIALISED
    if opcode == fuse.LOOKUP and inode == fuse.ROOT and body.rstrip(b"\0") == b"file":
        return fuse.entry(FILE, 0, SIZE)
    if opcode == fuse.LOOKUP:
        return errno.ENOENT
    if opcode == fuse.GETATTR:
        return fuse.attributes(inode, 0, SIZE if inode == FILE else None)
    if opcode == fuse.OPEN:
        return fuse.OPENED
    if opcode in (fuse.FLUSH, fuse.RELEASE):
        return b""
    return errno.ENOSYS


def main():
    mount_point, directory = sys.argv[1:]
    device = fuse.mount("fuse", mount_point)
    waiting = []
    for request in fuse.requests(device):
        if os.path.exists(f"{directory}/answer"):
            for unique in waiting:
                fuse.reply(device, unique, b"")
            waiting = []
        if request is None:
            continue
        opcode, unique, inode, body = request
        if opcode == fuse.READ:
            waiting.append(unique)
            fuse.touch(f"{directory}/reading")
        else:
            fuse.reply(device, unique, answer(opcode, inode, body))


if __name__ == "__main__":
    main()
