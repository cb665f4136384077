"""Python's multiprocessing: locks and semaphores with and without a name, queues, shared memory, a
pool and a manager.

Workers that were started by `spawn` have opened the semaphores by name; those that were forked
have inherited ones that have no name any more.
"""

import multiprocessing
from multiprocessing import shared_memory

from common import pause
from software.work import keep_on, wait_until

SIZE = 1 << 20
WORKERS = 2
# Words in the segment, for each kind of workers: a counter, and who is inside; the rest is a pattern.
COUNTER, HOLDER, WORDS = 0, 1, 2


def fill(buffer):
    for at in range(4096, SIZE, 4096):
        buffer[at : at + 8] = (at * 2654435761 % 2**64).to_bytes(8, "little")


def damaged(buffer):
    """The first place where it is not what `fill` has made."""
    for at in range(4096, SIZE, 4096):
        if int.from_bytes(buffer[at : at + 8], "little") != at * 2654435761 % 2**64:
            return at
    return None


def count(kind, number, name, lock, slots, tasks, results):
    """A worker: counts in the segment, and answers tasks."""
    segment = shared_memory.SharedMemory(name, track=False)
    words = segment.buf[:4096].cast("Q")
    at = kind * WORDS
    steps, violations = 0, 0
    while True:
        with slots, lock:
            before = words[at + COUNTER]
            violations += words[at + HOLDER] != 0
            words[at + HOLDER] = number + 1
            pause(0.002)
            violations += words[at + HOLDER] != number + 1 or words[at + COUNTER] != before
            words[at + COUNTER] = before + 1
            words[at + HOLDER] = 0
        steps += 1
        if not tasks.empty():
            question = tasks.get()
            results.put((kind, number, question, steps, violations, damaged(segment.buf)))
            # The other worker shall have the next one.
            wait_until(tasks.empty, "the other worker has no task")
        pause(0.005)


def square(value):
    return value * value


class Workers:
    def __init__(self, kind, method, segment):
        context = multiprocessing.get_context(method)
        self._kind, self._segment = kind, segment
        self._asked = 0
        self._tasks, self._results = context.Queue(), context.Queue()
        # Kept: with the last object of this process the name of a semaphore goes.
        self._locks = (context.Lock(), context.Semaphore(2))
        arguments = [*self._locks, self._tasks, self._results]
        self.processes = [
            context.Process(
                target=count, args=(kind, number, segment.name, *arguments), daemon=True
            )
            for number in range(WORKERS)
        ]
        for process in self.processes:
            process.start()

    def counter(self):
        return int.from_bytes(self._segment.buf[self._kind * 16 : self._kind * 16 + 8], "little")

    def check(self):
        self._asked += 1
        for _ in range(WORKERS):
            self._tasks.put(self._asked)
        answers = [self._results.get() for _ in range(WORKERS)]
        found = []
        if sorted(answer[:3] for answer in answers) != [
            (self._kind, number, self._asked) for number in range(WORKERS)
        ]:
            found.append(f"the answers are not those of the workers: {answers}")
        for _, number, _, steps, violations, bad in answers:
            if violations:
                found.append(f"worker {number} was not alone under the lock: {violations} times")
            if bad is not None:
                found.append(f"worker {number} sees the segment damaged at {bad}")
        made = sum(answer[3] for answer in answers)
        if self.counter() < made:
            found.append(f"the counter is {self.counter()} after {made} steps")
        return found


def run():
    segment = shared_memory.SharedMemory("pool-segment", create=True, size=SIZE, track=False)
    fill(segment.buf)
    pool = multiprocessing.get_context("fork").Pool(2)
    manager = multiprocessing.get_context("spawn").Manager()
    shared = manager.dict()
    kinds = [Workers(0, "fork", segment), Workers(1, "spawn", segment)]
    wait_until(lambda: all(workers.counter() > 0 for workers in kinds), "a worker does not count")
    rounds = 0

    def check():
        nonlocal rounds
        rounds += 1
        found = [problem for workers in kinds for problem in workers.check()]
        if damaged(segment.buf) is not None:
            found.append("the segment is damaged")
        if pool.map(square, range(100)) != [value * value for value in range(100)]:
            found.append("the pool cannot multiply")
        shared[rounds] = rounds
        if shared.copy() != {number: number for number in range(1, rounds + 1)}:
            found.append(f"the manager has {shared}")
        return found

    keep_on("multiprocessing", lambda: sum(workers.counter() for workers in kinds), check)
