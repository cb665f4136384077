"""One inode under a deleted and a live name, as glibc's sem_open leaves it.

The creator posts when its last post has been taken, and the user takes: when
one of them stands still, they do not share the semaphore any more.
"""

import os

from common import SHM, NamedSemaphore
from roles import LIVE_BYTES, Role, create, pattern, wait_for

NAME = "scenario"
TAKE_SECONDS = 0.2


def _create(role):
    semaphore = NamedSemaphore(NAME, create_with_value=0)
    role.uses_map("semaphore", semaphore.address, semaphore.SIZE, live=True)
    posted = 0

    def step():
        nonlocal posted
        if semaphore.value() == 0:
            semaphore.post()
            posted += 1
        return {"posted": posted}

    role.run(step)


def _use(role):
    wait_for(f"{SHM}/sem.{NAME}")
    semaphore = NamedSemaphore(NAME)
    role.uses_map("semaphore", semaphore.address, semaphore.SIZE, live=True)
    taken = 0

    def step():
        nonlocal taken
        if semaphore.wait(TAKE_SECONDS):
            taken += 1
        return {"taken": taken}

    role.run(step)


def sem_creator_first():
    """The parent has the deleted name, its child the live one."""
    creator = Role("creator")
    creator.fork("user", _use)
    _create(creator)


def sem_user_first():
    """The parent has the live name, its child the deleted one."""
    user = Role("user")
    user.fork("creator", _create)
    _use(user)


def sem_fd():
    """As sem-creator-first, but with file descriptors and no mapping.

    The creator counts in the file's first word, and the user reads it.
    """
    role = Role("creator")
    role.fork("user", _read_fd)

    temporary, live = f"{SHM}/sem.AbCdEf", f"{SHM}/sem.fd"
    fd = create(temporary, bytes(LIVE_BYTES) + pattern("sem-fd", LIVE_BYTES))
    os.link(temporary, live)
    os.unlink(temporary)
    role.uses_fd("semaphore", fd, live=True)
    wrote = 0

    def step():
        nonlocal wrote
        wrote += 1
        os.pwrite(fd, wrote.to_bytes(8, "little"), 0)
        return {"wrote": wrote}

    role.run(step)


def _read_fd(role):
    wait_for(f"{SHM}/sem.fd")
    fd = os.open(f"{SHM}/sem.fd", os.O_RDWR)
    role.uses_fd("semaphore", fd, live=True)
    role.run(lambda: {"saw": int.from_bytes(os.pread(fd, 8, 0), "little")})
