"""Sets up one scenario and keeps it running.

    scenario.py NAME [ARGUMENT...]

See scenarios/ for what there is. STATE/ready appears when it is set up; probe.py
says how it is.
"""

import sys

from common import STATE, write_json
from roles import clear_state
from scenarios import SCENARIOS


def main():
    if len(sys.argv) < 2 or sys.argv[1] not in SCENARIOS:
        sys.exit(f"usage: scenario.py {{{'|'.join(SCENARIOS)}}} [ARGUMENT...]")
    name, *arguments = sys.argv[1:]
    clear_state()
    write_json(f"{STATE}/scenario.json", {"name": name, "arguments": arguments})
    SCENARIOS[name](*arguments)


if __name__ == "__main__":
    main()
