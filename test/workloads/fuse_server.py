"""A FUSE file system with one file, whose reader waits until somebody lets it go on.

    fuse_server.py MOUNTPOINT DIRECTORY

DIRECTORY/reading appears when somebody reads MOUNTPOINT/file; the read is
answered (with nothing: the end of the file) when DIRECTORY/answer is there. The
server runs on a host, not in a container. It speaks the kernel's protocol
itself (fuse(4), linux/fuse.h), since the hosts have no library for it.
"""

import ctypes
import errno
import os
import select
import struct
import sys

LOOKUP, FORGET, GETATTR, OPEN, READ, RELEASE, FLUSH, INIT = 1, 2, 3, 14, 15, 18, 25, 26
NO_ANSWER = (FORGET, 42)  # and BATCH_FORGET
ROOT, FILE = 1, 2


def attributes(inode):
    mode = 0o40755 if inode == ROOT else 0o100644
    links = 2 if inode == ROOT else 1
    size = 0 if inode == ROOT else 1 << 20
    return struct.pack(
        "<6Q10I", inode, size, 0, 0, 0, 0, 0, 0, 0, mode, links, 0, 0, 0, 4096, 0
    )


def answer(opcode, inode, body):
    """The body of the answer, or an error number."""
    if opcode == INIT:
        return struct.pack("<4I2H2I2H8I", 7, 31, 0, 0, 1, 1, 4096, 1, 0, 0, *[0] * 8)
    if opcode == LOOKUP and inode == ROOT and body.rstrip(b"\0") == b"file":
        return struct.pack("<4Q2I", FILE, 0, 0, 0, 0, 0) + attributes(FILE)
    if opcode == LOOKUP:
        return errno.ENOENT
    if opcode == GETATTR:
        return struct.pack("<Q2I", 0, 0, 0) + attributes(inode)
    if opcode == OPEN:
        return struct.pack("<Q2I", 0, 0, 0)
    if opcode in (READ, FLUSH, RELEASE):
        return b""
    return errno.ENOSYS


def reply(device, unique, result):
    error, body = (0, result) if isinstance(result, bytes) else (-result, b"")
    os.write(device, struct.pack("<IiQ", 16 + len(body), error, unique) + body)


def main():
    mount_point, directory = sys.argv[1:]
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"fuse", mount_point.encode(), b"fuse", 0, options.encode()) != 0:
        number = ctypes.get_errno()
        sys.exit(f"cannot mount on {mount_point}: {os.strerror(number)}")
    waiting = []
    while True:
        if waiting and os.path.exists(f"{directory}/answer"):
            for unique in waiting:
                reply(device, unique, b"")
            waiting = []
        if not select.select([device], [], [], 0.05)[0]:
            continue
        try:
            request = os.read(device, 1 << 20)
        except OSError as error:
            if error.errno == errno.ENODEV:  # unmounted
                return
            raise
        _, opcode, unique, inode = struct.unpack_from("<2I2Q", request)
        if opcode == READ:
            waiting.append(unique)
            with open(f"{directory}/reading", "w", encoding="utf-8"):
                pass
        elif opcode not in NO_ANSWER and opcode != 36:  # INTERRUPT
            reply(device, unique, answer(opcode, inode, request[40:]))


if __name__ == "__main__":
    main()
