"""Joins a running demo.py from outside and says what it saw.

    demo_peer.py [STEPS]

Opens the named semaphore and the segment by name, as any program in the
container could, and takes part STEPS times (default 20). Prints one JSON object
and exits with 0, or with 1 if something is not as it should be; `problems` says
what.
"""

import json
import os
import sys
from multiprocessing import shared_memory

from common import SHM, NamedSemaphore, mappings, pause
from demo_section import SEGMENT, SEMAPHORE, Section

WAIT_SECONDS = 5
STAND_STILL_SECONDS = 0.3
STEP_SECONDS = 0.003


def users(path):
    """Which processes map the file that has the name `path` now, and which map
    another one under that name: one inode is expected, so the latter is none.
    """
    status = os.stat(path)
    here, elsewhere = [], []
    for pid in sorted(int(entry) for entry in os.listdir("/proc") if entry.isdigit()):
        if pid == os.getpid():
            continue
        try:
            found = mappings(pid)
        except OSError:
            continue  # it has ended, or is none of our business
        for mapping in found:
            if (mapping["dev"], mapping["ino"]) == (status.st_dev, status.st_ino):
                here.append(pid)
            elif mapping["name"].startswith(path):
                elsewhere.append(pid)
    return {
        "ino": status.st_ino,
        "dev": status.st_dev,
        "nlink": status.st_nlink,
        "size": status.st_size,
        "mapped_by": sorted(set(here)),
        "same_name_other_inode": sorted(set(elsewhere)),
    }


def stands_still(semaphore, section):
    """Whether the counter stands still while the semaphore is ours; None if it
    could not be had."""
    if not semaphore.wait(WAIT_SECONDS):
        return None
    before = section.counter
    pause(STAND_STILL_SECONDS)
    after = section.counter
    semaphore.post()
    return before == after


def moves(section):
    """Whether the others count when they may."""
    before = section.counter
    for _ in range(100):
        pause(WAIT_SECONDS / 100)
        if section.counter > before + 1:
            return True
    return False


def main():
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    semaphore = NamedSemaphore(SEMAPHORE)
    segment = shared_memory.SharedMemory(SEGMENT, track=False)
    section = Section(segment, "named")
    unnamed = Section(segment, "unnamed")

    seen = {
        "counter_before": section.counter,
        "steps_wanted": steps,
        "steps_done": 0,
        "semaphore": users(semaphore.path),
        "segment": users(f"{SHM}/{SEGMENT}"),
        "excludes": stands_still(semaphore, section),
        "others_move": moves(section),
    }
    for _ in range(steps):
        if not semaphore.wait(WAIT_SECONDS):
            break
        section.step("peer", STEP_SECONDS)
        semaphore.post()
        seen["steps_done"] += 1
        pause(STEP_SECONDS)
    seen.update(
        counter_after=section.counter,
        steps=section.steps(),
        violations=section.violations,
        unnamed_counter=unnamed.counter,
        unnamed_violations=unnamed.violations,
    )

    problems = []
    if seen["steps_done"] != steps:
        problems.append("the semaphore could not be taken in time")
    if seen["excludes"] is False:
        problems.append("the counter moves while the semaphore is held from outside")
    if not seen["others_move"]:
        problems.append("the counter stands still while the semaphore is free")
    if seen["violations"] or seen["unnamed_violations"]:
        problems.append("more than one process was in a critical section")
    for file in ("semaphore", "segment"):
        if len(seen[file]["mapped_by"]) != 2 or seen[file]["same_name_other_inode"]:
            problems.append(f"parent and child do not map the {file} that has the name")
    seen["problems"] = problems
    print(json.dumps(seen, sort_keys=True))
    sys.stdout.flush()
    # Not sys.exit: shared_memory complains at exit about views that are left.
    os._exit(1 if problems else 0)


if __name__ == "__main__":
    main()
