"""The scenarios by name: functions that set one up and run it for ever.

CRIU dumps a process before its children, and a file's identity is decided by
the first process that shows it. So who plays which role matters: the first role
of a scenario is always the parent.
"""

from scenarios.big import big
from scenarios.counter import counter
from scenarios.files import hard_links, named_only, unlinked_only
from scenarios.kinds import kinds
from scenarios.memory import memory
from scenarios.odd_names import odd_names
from scenarios.semaphores import sem_creator_first, sem_fd, sem_user_first

SCENARIOS = {
    "big": big,
    "counter": counter,
    "hard-links": hard_links,
    "kinds": kinds,
    "memory": memory,
    "named-only": named_only,
    "odd-names": odd_names,
    "sem-creator-first": sem_creator_first,
    "sem-fd": sem_fd,
    "sem-user-first": sem_user_first,
    "unlinked-only": unlinked_only,
}
