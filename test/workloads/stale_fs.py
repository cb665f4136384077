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
import select
import struct
import sys
import time

LOOKUP, FORGET, GETATTR, OPEN, READ, RELEASE, FLUSH, INIT = 1, 2, 3, 14, 15, 18, 25, 26
STATFS, OPENDIR, READDIR, RELEASEDIR = 17, 27, 28, 29
NO_ANSWER = (FORGET, 36, 42)  # and INTERRUPT, BATCH_FORGET
NOTIFY_INVAL_ENTRY = 3
ROOT = 1
NAMES = {b"dir": 2, b"file": 3}
# Seconds for which the kernel need not ask again.
VALID = 3600


def attributes(inode):
    is_file = inode == NAMES[b"file"]
    mode, links = (0o100644, 1) if is_file else (0o40755, 2)
    return struct.pack("<6Q10I", inode, 0, 0, 0, 0, 0, 0, 0, 0, mode, links, 0, 0, 0, 4096, 0)


def answer(opcode, inode, body):
    """The body of the answer, or an error number."""
    if opcode == INIT:
        return struct.pack("<4I2H2I2H8I", 7, 31, 0, 0, 1, 1, 4096, 1, 0, 0, *[0] * 8)
    if opcode == LOOKUP:
        found = NAMES.get(body.rstrip(b"\0")) if inode == ROOT else None
        if found is None:
            return errno.ENOENT
        return struct.pack("<4Q2I", found, 0, VALID, VALID, 0, 0) + attributes(found)
    if opcode == GETATTR:
        return struct.pack("<Q2I", VALID, 0, 0) + attributes(inode)
    if opcode == STATFS:
        return struct.pack("<5Q4I6I", 0, 0, 0, 2, 0, 4096, 255, 4096, 0, *[0] * 6)
    if opcode in (OPEN, OPENDIR):
        return struct.pack("<Q2I", 0, 0, 0)
    if opcode in (READ, READDIR, FLUSH, RELEASE, RELEASEDIR):
        return b""
    return errno.ENOSYS


def send(device, unique, error, body):
    try:
        os.write(device, struct.pack("<IiQ", 16 + len(body), error, unique) + body)
    except OSError as failed:
        if failed.errno not in (errno.ENOENT, errno.ENOTDIR):  # it is not known, or forgotten
            raise


def forget(device):
    for name in NAMES:
        body = struct.pack("<Q2I", ROOT, len(name), 0) + name + b"\0"
        send(device, 0, NOTIFY_INVAL_ENTRY, body)


def touch(path):
    with open(path, "w", encoding="utf-8"):
        pass


def serve(device, directory):
    while True:
        while os.path.exists(f"{directory}/silent"):
            touch(f"{directory}/silenced")
            time.sleep(0.05)
        if os.path.exists(f"{directory}/forget"):
            os.unlink(f"{directory}/forget")
            forget(device)
            touch(f"{directory}/forgotten")
        if not select.select([device], [], [], 0.05)[0]:
            continue
        try:
            request = os.read(device, 1 << 20)
        except OSError as error:
            if error.errno == errno.ENODEV:  # unmounted
                return
            raise
        _, opcode, unique, inode = struct.unpack_from("<2I2Q", request)
        if opcode in NO_ANSWER:
            continue
        result = answer(opcode, inode, request[40:])
        if isinstance(result, bytes):
            send(device, unique, 0, result)
        else:
            send(device, unique, -result, b"")


def main():
    mount_point, directory = sys.argv[1:]
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other"
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(15, b"stale_fs")  # PR_SET_NAME: not to be taken for a workload
    if libc.mount(b"stale", mount_point.encode(), b"fuse", 0, options.encode()) != 0:
        sys.exit(f"cannot mount on {mount_point}: {os.strerror(ctypes.get_errno())}")
    print("mounted", flush=True)
    serve(device, directory)


if __name__ == "__main__":
    main()
