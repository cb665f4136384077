"""Starts real software, works with it from inside the container, and keeps count.

    software.py NAME [ARGUMENT...]

See software/ for what there is. STATE/ready appears when it is set up; software_check.py says
whether all that was worked is still there.
"""

import sys

from software import SOFTWARE, work


def main():
    if len(sys.argv) < 2 or sys.argv[1] not in SOFTWARE:
        sys.exit(f"usage: software.py {{{'|'.join(SOFTWARE)}}} [ARGUMENT...]")
    name, *arguments = sys.argv[1:]
    work.clear_state()
    with work.errors_noted():
        SOFTWARE[name](*arguments)


if __name__ == "__main__":
    main()
