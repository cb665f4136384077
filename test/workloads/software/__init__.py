"""Real software by name: functions that start it and work with it for ever.

Each keeps a journal, in its own memory, of what the software has acknowledged, and holds what is
found against it when it is asked. Connections live as long as the container; one that breaks is an
error. Imported when it is used: not every image has every library.
"""

import importlib


def _later(module):
    def run(*arguments):
        importlib.import_module(f"software.{module}").run(*arguments)

    return run


SOFTWARE = {
    "java": _later("java"),
    "multiprocessing": _later("pool"),
    "nginx": _later("nginx"),
    "openmpi": _later("openmpi"),
    "postgresql": _later("postgresql"),
    "redis": _later("redis"),
}
