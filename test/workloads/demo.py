"""Two processes that count together, under semaphores whose files are gone.

    demo.py

Parent and child share
- a multiprocessing.Semaphore: Python unlinks its name at once, so it is a
  mapping of a file with no name at all (nlink 0);
- the named semaphore /demo (/dev/shm/sem.demo): the creator's mapping shows
  glibc's deleted temporary name, the child's the real one (`demo_section`);
- the segment /dev/shm/demo-segment, a multiprocessing.shared_memory.

In turns they count, once under each semaphore, and check that nobody else was
in at the same time. Each step is a line in /var/log/demo.log. demo_peer.py
takes part from outside.
"""

import multiprocessing
import os
from multiprocessing import shared_memory

from common import SHM, STATE, NamedSemaphore, announce_ready, pause
from demo_section import SEGMENT, SEMAPHORE, Section

LOG = os.environ.get("DEMO_LOG", "/var/log/demo.log")
HOLD_SECONDS = 0.003
REST_SECONDS = 0.004


def count(role, private, named, segment):
    """Counts for ever. `private` and `named` are the two semaphores."""
    unnamed_section = Section(segment, "unnamed")
    named_section = Section(segment, "named")
    with open(LOG, "a", buffering=1, encoding="utf-8") as log:
        while True:
            private.acquire()
            unnamed = unnamed_section.step(role, HOLD_SECONDS)
            private.release()

            named.wait()
            counted = named_section.step(role, HOLD_SECONDS)
            named.post()

            log.write(
                f"{role} pid={os.getpid()} named={counted} unnamed={unnamed} "
                f"violations={named_section.violations + unnamed_section.violations}\n"
            )
            pause(REST_SECONDS)


def main():
    os.makedirs(STATE, exist_ok=True)
    os.makedirs(os.path.dirname(LOG), exist_ok=True)
    # Only with the fork method does Python unlink the semaphore at once.
    private = multiprocessing.get_context("fork").Semaphore(1)
    # The fork comes before the rest: in a process that has a semaphore open
    # already, sem_open gives the mapping that is there, under its old name.
    if os.fork() == 0:
        # By name, as an unrelated process would. The semaphore is made last.
        while not os.path.exists(f"{SHM}/sem.{SEMAPHORE}"):
            pause(0.01)
        named = NamedSemaphore(SEMAPHORE)
        segment = shared_memory.SharedMemory(SEGMENT, track=False)
        announce_ready("demo")
        count("child", private, named, segment)
    else:
        # Without track=False Python starts one more process, which would
        # unlink the segment when the workload ends.
        segment = shared_memory.SharedMemory(
            SEGMENT, create=True, size=Section.SEGMENT_SIZE, track=False
        )
        named = NamedSemaphore(SEMAPHORE, create_with_value=1)
        count("parent", private, named, segment)


if __name__ == "__main__":
    main()
