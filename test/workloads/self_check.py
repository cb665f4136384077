"""A workload that looks at all that it holds, again and again, and says what is not as it should be."""

import contextlib
import os

from common import STATE, announce_ready, pause, write_json


def look_for_ever(name, kinds):
    """Has each of `kinds` set up what it holds; it returns a function that says whether all of it is
    good. Leaves in STATE/NAME.json how often all were asked, and what was not good, and when."""
    path = f"{STATE}/{name}.json"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    os.makedirs(STATE, exist_ok=True)
    checks = {kind.__name__: kind() for kind in kinds}
    count, bad = 0, []
    announce_ready(name)
    while True:
        for kind, check in checks.items():
            try:
                if check():
                    continue
                bad.append(f"{count}: {kind}")
            except OSError as error:
                bad.append(f"{count}: {kind}: {error}")
        count += 1
        write_json(path, {"count": count, "bad": bad[:20]})
        pause(0.05)
