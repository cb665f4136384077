"""One of two containers that work together by semaphores and shared memory.

    pod.py creator|user

The creator posts `ping` and waits for `pong`; the user does it the other way
round, and writes the number of the round into the memory that both have mapped.
STATE/rounds says how many rounds there were, STATE/error what was wrong: the
two stand still if a semaphore has become two, and disagree about the round if
they are not of the same moment.
"""

import mmap
import os
import sys

from common import SHM, STATE, NamedSemaphore, announce_ready, pause, write_atomically
from roles import clear_state, wait_for

MEMORY = f"{SHM}/pod.memory"
SIZE = 4096
WAIT_SECONDS = 0.2


def memory(flags):
    """The shared memory, as words of 8 bytes."""
    fd = os.open(MEMORY, os.O_RDWR | flags, 0o600)
    os.ftruncate(fd, SIZE)
    words = memoryview(mmap.mmap(fd, SIZE)).cast("Q")
    os.close(fd)
    return words


def take(semaphore):
    while not semaphore.wait(WAIT_SECONDS):
        pass


def rounds_file():
    """Open all the time, and always of one size: a checkpoint of the root file
    system that is a little older fits, too."""
    return os.open(f"{STATE}/rounds", os.O_RDWR | os.O_CREAT, 0o600)


def note(file, rounds):
    os.pwrite(file, f"{rounds:20}\n".encode(), 0)
    if rounds == 1:
        announce_ready("pod")
    pause(0.01)


def create():
    words, file = memory(os.O_CREAT | os.O_EXCL), rounds_file()
    ping = NamedSemaphore("pod-ping", create_with_value=0)
    pong = NamedSemaphore("pod-pong", create_with_value=0)
    rounds = 0
    while True:
        rounds += 1
        ping.post()
        take(pong)
        if words[0] != rounds:
            text = f"{words[0]} in round {rounds}\n"
            write_atomically(f"{STATE}/error", text)
        note(file, rounds)


def use():
    wait_for(f"{SHM}/sem.pod-pong")
    words, file = memory(0), rounds_file()
    ping, pong = NamedSemaphore("pod-ping"), NamedSemaphore("pod-pong")
    rounds = 0
    while True:
        take(ping)
        rounds += 1
        words[0] = rounds
        pong.post()
        note(file, rounds)


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in ("creator", "user"):
        sys.exit("usage: pod.py creator|user")
    clear_state()
    create() if sys.argv[1] == "creator" else use()
