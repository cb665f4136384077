"""Plain files with names, without, and with several.

In each there is a writer that counts in the first word of a file, and a reader
that says what it sees of it.
"""

import os

from common import SHM
from roles import LIVE_BYTES, Mapping, Role, create, pattern, wait_for

CONTENTS = bytes(LIVE_BYTES) + pattern("files", 3 * LIVE_BYTES)


def _count_in(words):
    def step():
        words[0] += 1
        return {"wrote": words[0]}

    return step


def named_only():
    """Named files: one that is open and mapped, two that nobody has open.

    The reader has a mapping and no descriptor, as after shm_open and close.
    """
    role = Role("writer")
    role.fork("reader", _read_named)

    closed = create(f"{SHM}/named-closed", pattern("named-closed", 20_000), 0o640)
    os.fchown(closed, 1000, 1001)
    os.close(closed)
    os.close(create(f"{SHM}/named-empty", b""))
    fd = create(f"{SHM}/named-open.new", CONTENTS)
    mapping = Mapping(fd)
    # Complete from the start for whoever waits for the name.
    os.rename(f"{SHM}/named-open.new", f"{SHM}/named-open")

    role.uses_fd("open", fd, live=True)
    role.uses_map("mapped", mapping.address, mapping.size, live=True)
    role.run(_count_in(mapping.words))


def _read_named(role):
    wait_for(f"{SHM}/named-open")
    fd = os.open(f"{SHM}/named-open", os.O_RDWR)
    mapping = Mapping(fd)
    os.close(fd)
    role.uses_map("mapped", mapping.address, mapping.size, live=True)
    role.run(lambda: {"saw": mapping.words[0]})


def unlinked_only():
    """A file without a name, open and mapped by its creator; the child has
    both from its parent."""
    fd = create(f"{SHM}/unlinked", CONTENTS)
    mapping = Mapping(fd)
    os.unlink(f"{SHM}/unlinked")

    def read(role):
        role.uses_fd("open", fd, live=True)
        role.uses_map("mapped", mapping.address, mapping.size, live=True)
        role.run(lambda: {"saw": mapping.words[0]})

    role = Role("writer")
    role.fork("reader", read)
    role.uses_fd("open", fd, live=True)
    role.uses_map("mapped", mapping.address, mapping.size, live=True)
    role.run(_count_in(mapping.words))


def hard_links():
    """One inode with three names, one of them in a folder, and descriptors on
    two of them. Each process also has one on a fourth name, which is gone."""
    names = [f"{SHM}/link-a", f"{SHM}/link-b", f"{SHM}/folder/link-c"]
    gone = f"{SHM}/link-gone"
    role = Role("writer")
    role.fork("reader", lambda reader: _read_links(reader, names[1], gone))

    os.mkdir(f"{SHM}/folder")
    fd = create(names[0], CONTENTS)
    os.link(names[0], names[2])
    os.link(names[0], gone)
    gone_fd = os.open(gone, os.O_RDWR)
    # The last: the reader waits for it, and then unlinks the fourth name.
    os.link(names[0], names[1])

    role.uses_fd("link-a", fd, live=True)
    role.uses_fd("link-gone", gone_fd, live=True)
    wrote = 0

    def step():
        nonlocal wrote
        wrote += 1
        os.pwrite(fd, wrote.to_bytes(8, "little"), 0)
        return {"wrote": wrote}

    role.run(step)


def _read_links(role, name, gone):
    wait_for(name)
    fd = os.open(name, os.O_RDWR)
    gone_fd = os.open(gone, os.O_RDWR)
    os.unlink(gone)
    role.uses_fd("link-b", fd, live=True)
    role.uses_fd("link-gone", gone_fd, live=True)

    def step():
        saw, gone_saw = (
            int.from_bytes(os.pread(at, 8, 0), "little") for at in (fd, gone_fd)
        )
        return {"saw": saw, "saw_by_gone_name": gone_saw}

    role.run(step)
