"""A file system in memory that fails where it is told to (fuse(4)).

    failing_fs.py MOUNTPOINT [OPERATION NAME ERRNO SKIP]...

Every further operation OPERATION (a name of OPERATIONS) on a file called NAME, after
SKIP of them, fails with ERRNO (EIO, ENOSPC, ...); with hold:PATH instead of an
ERRNO it makes PATH.reached and waits for as long as PATH exists. Prints "mounted" and serves until it is
unmounted.
"""

import ctypes
import errno
import os
import stat
import struct
import sys
import time

OPERATIONS = {
    "lookup": 1, "getattr": 3, "setattr": 4, "mkdir": 9, "unlink": 10, "rmdir": 11,
    "rename": 12, "open": 14, "read": 15, "write": 16, "statfs": 17, "release": 18,
    "fsync": 20, "flush": 25, "init": 26, "opendir": 27, "readdir": 28,
    "releasedir": 29, "fsyncdir": 30, "access": 34, "create": 35, "rename2": 45,
}
NAMES = {number: name for name, number in OPERATIONS.items()}
# FORGET, INTERRUPT, DESTROY, BATCH_FORGET
WITHOUT_ANSWER = {2, 36, 38, 42}

PR_SET_NAME = 15
BUFFER_BYTES = 1 << 20
MAX_WRITE = 128 << 10
# ASYNC_READ, ATOMIC_O_TRUNC, BIG_WRITES
INIT_FLAGS = 1 | 8 | 32
SET_MODE, SET_UID, SET_GID, SET_SIZE = 1, 2, 4, 8


class Node:
    def __init__(self, number, mode, uid, gid):
        self.number, self.mode, self.uid, self.gid = number, mode, uid, gid
        self.data = bytearray()
        self.children = {}
        self.name = ""

    def attributes(self):
        size, now = len(self.data), int(time.time())
        links = 2 if stat.S_ISDIR(self.mode) else 1
        return struct.pack(
            "<6Q10I", self.number, size, (size + 511) // 512, now, now, now,
            0, 0, 0, self.mode, links, self.uid, self.gid, 0, 4096, 0,
        )

    def entry(self):
        return struct.pack("<4Q2I", self.number, 0, 0, 0, 0, 0) + self.attributes()

    def resize(self, size):
        if size < len(self.data):
            del self.data[size:]
        else:
            self.data.extend(bytes(size - len(self.data)))


class Rule:
    def __init__(self, operation, name, effect, skip):
        self.operation, self.name, self.effect = operation, name, effect
        self.skip = int(skip)

    def apply(self, operation, name):
        if (operation, name) != (self.operation, self.name):
            return
        if self.skip > 0:
            self.skip -= 1
        elif self.effect.startswith("hold:"):
            path = self.effect[5:]
            if os.path.exists(path):
                open(f"{path}.reached", "w", encoding="utf-8").close()
            while os.path.exists(path):
                time.sleep(0.02)
        else:
            raise OSError(getattr(errno, self.effect), "as it was told to")


class FileSystem:
    def __init__(self, rules):
        self.rules = rules
        self.nodes = {1: Node(1, stat.S_IFDIR | 0o755, 0, 0)}

    def answer(self, operation, node, uid, gid, body):
        method = getattr(self, NAMES.get(operation, "unknown"))
        return method(self.nodes.get(node), uid, gid, body)

    def check(self, operation, name):
        for rule in self.rules:
            rule.apply(operation, name)

    def child(self, parent, name):
        if name not in parent.children:
            raise OSError(errno.ENOENT, name)
        return parent.children[name]

    def make(self, parent, name, mode, uid, gid):
        node = Node(len(self.nodes) + 1, mode, uid, gid)
        self.nodes[node.number] = node
        self.put(parent, name, node)
        return node

    def put(self, parent, name, node):
        node.name = name
        parent.children[name] = node

    def unknown(self, *_):
        raise OSError(errno.ENOSYS, "")

    def nothing(self, *_):
        return b""

    flush = release = releasedir = access = nothing

    def init(self, *_):
        return struct.pack(
            "<4I2H2I2H8I", 7, 31, 1 << 16, INIT_FLAGS, 16, 12, MAX_WRITE, 1, 32, 0, *[0] * 8
        )

    def lookup(self, node, uid, gid, body):
        return self.child(node, text(body)).entry()

    def getattr(self, node, uid, gid, body):
        return struct.pack("<QII", 0, 0, 0) + node.attributes()

    def setattr(self, node, uid, gid, body):
        valid, _, _, size = struct.unpack_from("<IIQQ", body)
        mode, _, owner, group = struct.unpack_from("<4I", body, 68)
        if valid & SET_SIZE:
            node.resize(size)
        if valid & SET_MODE:
            node.mode = stat.S_IFMT(node.mode) | stat.S_IMODE(mode)
        if valid & SET_UID:
            node.uid = owner
        if valid & SET_GID:
            node.gid = group
        return self.getattr(node, uid, gid, body)

    def mkdir(self, node, uid, gid, body):
        (mode,) = struct.unpack_from("<I", body)
        name = text(body[8:])
        self.check("mkdir", name)
        return self.make(node, name, stat.S_IFDIR | mode, uid, gid).entry()

    def create(self, node, uid, gid, body):
        (_, mode) = struct.unpack_from("<II", body)
        name = text(body[16:])
        self.check("create", name)
        made = self.make(node, name, stat.S_IFREG | stat.S_IMODE(mode), uid, gid)
        return made.entry() + bytes(16)

    def unlink(self, node, uid, gid, body):
        self.check("unlink", text(body))
        self.child(node, text(body))
        del node.children[text(body)]
        return b""

    def rmdir(self, node, uid, gid, body):
        if self.child(node, text(body)).children:
            raise OSError(errno.ENOTEMPTY, "")
        del node.children[text(body)]
        return b""

    def rename(self, node, uid, gid, body, start=8):
        (target,) = struct.unpack_from("<Q", body)
        old, new = body[start:].split(b"\0")[:2]
        self.check("rename", text(old))
        moved = self.child(node, text(old))
        del node.children[text(old)]
        self.put(self.nodes[target], text(new), moved)
        return b""

    def rename2(self, node, uid, gid, body):
        return self.rename(node, uid, gid, body, 16)

    def open(self, node, uid, gid, body):
        (flags,) = struct.unpack_from("<I", body)
        self.check("open", node.name)
        if flags & os.O_TRUNC:
            node.resize(0)
        return bytes(16)

    def opendir(self, *_):
        return bytes(16)

    def read(self, node, uid, gid, body):
        _, offset, size = struct.unpack_from("<QQI", body)
        self.check("read", node.name)
        return bytes(node.data[offset : offset + size])

    def write(self, node, uid, gid, body):
        _, offset, size = struct.unpack_from("<QQI", body)
        self.check("write", node.name)
        if offset > len(node.data):
            node.resize(offset)
        node.data[offset : offset + size] = body[40 : 40 + size]
        return struct.pack("<II", size, 0)

    def fsync(self, node, uid, gid, body):
        self.check("fsync", node.name)
        return b""

    def fsyncdir(self, node, uid, gid, body):
        self.check("fsyncdir", node.name)
        return b""

    def readdir(self, node, uid, gid, body):
        _, offset, size = struct.unpack_from("<QQI", body)
        entries = [(".", node), ("..", node), *node.children.items()]
        listing = b""
        for index, (name, child) in list(enumerate(entries))[offset:]:
            raw = os.fsencode(name)
            kind = stat.S_IFMT(child.mode) >> 12
            entry = struct.pack("<QQII", child.number, index + 1, len(raw), kind) + raw
            entry += bytes(-len(entry) % 8)
            if len(listing) + len(entry) > size:
                break
            listing += entry
        return listing

    def statfs(self, *_):
        free = 1 << 20
        return struct.pack("<5Q4I6I", free, free, free, free, free, 4096, 255, 4096, 0, *[0] * 6)


def text(name):
    return os.fsdecode(name.split(b"\0")[0])


def mount(device, path):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_NAME, b"failing_fs")  # not to be taken for a workload
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other"
    if libc.mount(b"failing", os.fsencode(path), b"fuse", 0, options.encode()) != 0:
        raise OSError(ctypes.get_errno(), "cannot mount")


def serve(device, files):
    while True:
        try:
            request = os.read(device, BUFFER_BYTES)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINTR):
                continue  # interrupted before it could be read
            return  # unmounted
        _, operation, unique, node, uid, gid = struct.unpack_from("<IIQQII", request)
        if operation in WITHOUT_ANSWER:
            continue
        code, body = 0, b""
        try:
            body = files.answer(operation, node, uid, gid, request[40:])
        except OSError as error:
            code = -error.errno
        try:
            os.write(device, struct.pack("<IiQ", 16 + len(body), code, unique) + body)
        except OSError as error:
            if error.errno != errno.ENOENT:  # nobody waits for it any more
                raise


def main():
    path, words = sys.argv[1], sys.argv[2:]
    rules = [Rule(*words[at : at + 4]) for at in range(0, len(words), 4)]
    device = os.open("/dev/fuse", os.O_RDWR)
    mount(device, path)
    print("mounted", flush=True)
    serve(device, FileSystem(rules))


main()
