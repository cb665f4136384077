"""Many processes map one deleted file whose name another file has now.

Each counts in a place of its own; the first process shows how far all of them
have come (see self_check.rs). So it goes on only while all map one inode.
"""

import mmap
import os
import struct

from common import SHM, STATE, announce_ready, pause, write_json

CHILDREN = 40
SLOT = struct.Struct("=Q")


def main():
    os.makedirs(STATE, exist_ok=True)
    path = f"{SHM}/crowded"
    with open(path, "w+b") as file:
        file.truncate(mmap.PAGESIZE)
        shared = mmap.mmap(file.fileno(), mmap.PAGESIZE)
    os.unlink(path)
    with open(path, "w") as file:
        file.write("another file")
    for child in range(CHILDREN):
        if os.fork() == 0:
            count(shared, child)
    announce_ready("crowd")
    while True:
        counts = [SLOT.unpack_from(shared, i * SLOT.size)[0] for i in range(CHILDREN)]
        with open(path) as file:
            bad = [] if file.read() == "another file" else ["the other file"]
        write_json(f"{STATE}/crowd.json", {"count": min(counts), "bad": bad})
        pause(0.02)


def count(shared, child):
    while True:
        value = SLOT.unpack_from(shared, child * SLOT.size)[0]
        SLOT.pack_into(shared, child * SLOT.size, value + 1)
        pause(0.05)


main()
