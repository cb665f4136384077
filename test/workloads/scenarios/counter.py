"""A counter that shows whether shared and private memory are of one instant."""

import os

from common import SHM, STATE
from roles import Mapping, Role, create

PATH = f"{SHM}/counter"
COUNTS_PER_STEP = 50_000


def counter():
    """Counts as fast as it can in the file /dev/shm/counter.

    The count is the word at offset 0, 8 bytes, little-endian. The process knows
    it too, in its private memory, and looks before each increment whether both
    agree: a file that was captured later than the process, or changed by
    anybody else, is a jump. The word at offset 8 counts the jumps. Each step
    leaves a line with the count in STATE/counter.log.
    """
    fd = create(PATH, bytes(4096))
    mapping = Mapping(fd)
    os.close(fd)
    words = mapping.words
    log = open(f"{STATE}/counter.log", "a", buffering=1, encoding="utf-8")
    count = 0

    def step():
        nonlocal count
        for _ in range(COUNTS_PER_STEP):
            if words[0] != count:
                words[1] += 1
                count = words[0]
            words[0] = count + 1
            count += 1
        log.write(f"{count}\n")
        return {"count": count}

    role = Role("writer")
    role.uses_map("counter", mapping.address, mapping.size, live=True)
    role.run(step, check=lambda: {"jumps": words[1]}, rest=0)
