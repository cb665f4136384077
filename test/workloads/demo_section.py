"""The critical sections of demo.py, which check that they are critical."""

import os

from common import pause

SEMAPHORE = "demo"
SEGMENT = "demo-segment"

ROLES = ("parent", "child", "peer")
# Words of 8 bytes in the segment, per section: the counter, the pid that is
# inside, how often the check failed, and the steps of each role.
COUNTER, HOLDER, VIOLATIONS, STEPS = 0, 1, 2, 3
WORDS = STEPS + len(ROLES)
SECTIONS = ("unnamed", "named")


class Section:
    """One of the two counters in the shared segment.

    Whoever calls `step` has to hold the section's semaphore.
    """

    SEGMENT_SIZE = 4096

    def __init__(self, segment, name):
        start = SECTIONS.index(name) * WORDS
        self._words = segment.buf.cast("Q")[start : start + WORDS]

    @property
    def counter(self):
        return self._words[COUNTER]

    @property
    def violations(self):
        return self._words[VIOLATIONS]

    def steps(self):
        return {role: self._words[STEPS + at] for at, role in enumerate(ROLES)}

    def step(self, role, hold_seconds):
        """Counts one up and returns the count.

        Takes `hold_seconds` over it, so that anybody who is inside at the same
        time is noticed: by the pid, by a counter that moved, or by steps of
        one role that another one's increment has swallowed.
        """
        words = self._words
        before = words[COUNTER]
        exclusive = words[HOLDER] == 0 and before == sum(words[STEPS:WORDS])
        words[HOLDER] = os.getpid()
        pause(hold_seconds)
        exclusive &= words[HOLDER] == os.getpid() and words[COUNTER] == before
        words[COUNTER] = before + 1
        words[STEPS + ROLES.index(role)] += 1
        words[HOLDER] = 0
        if not exclusive:
            words[VIOLATIONS] += 1
        return before + 1
