"""Asks a running software.py whether all is well; prints `ok` and how much was worked, or what is
wrong.

    software_check.py

Exits with 0 only if everything that was ever acknowledged is there, and the work goes on.
"""

import os
import sys
import time

from common import STATE, pause, read_json, write_json

# It ends processes and starts them again, on a machine that may have much to do.
PATIENCE_SECONDS = 250


def answer_to(question):
    """The answer, or None if there is none in time; or the text of an error."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        if os.path.exists(f"{STATE}/error"):
            with open(f"{STATE}/error", encoding="utf-8") as file:
                return {"problems": [file.read()]}
        answer = read_json(f"{STATE}/answer")
        if answer and answer["question"] == question:
            return answer
        pause(0.05)
    return None


def main():
    question = f"{os.getpid()} {time.time_ns()}"
    write_json(f"{STATE}/ask", question)
    answer = answer_to(question)
    if answer is None:
        sys.exit("no answer")
    if answer["problems"]:
        sys.exit("\n".join(answer["problems"]))
    print("ok", answer["worked"])


if __name__ == "__main__":
    main()
