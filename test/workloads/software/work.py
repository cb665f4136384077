"""How the work goes on, stops for a check, and is answered for.

    STATE/ask      the question of software_check.py
    STATE/answer   the answer: what was worked so far, and what is wrong
    STATE/error    why everything has ended, if it has
"""

import contextlib
import os
import shutil
import subprocess
import threading
import traceback

from common import STATE, announce_ready, pause, read_json, write_atomically, write_json

STEP_SECONDS = 0.02


def clear_state():
    shutil.rmtree(STATE, ignore_errors=True)
    os.makedirs(STATE)


@contextlib.contextmanager
def errors_noted():
    """What goes wrong in here is told to whoever asks."""
    try:
        yield
    except BaseException:
        write_atomically(f"{STATE}/error", traceback.format_exc())
        raise


def wait_until(done, what, patience=5000):
    """Waits until `done` says yes; an error after `patience` looks."""
    for _ in range(patience):
        if done():
            return
        pause(0.02)
    raise TimeoutError(what)


def run_for_ever(command, log, **options):
    """Runs a program that shall not end; an error, with the end of what it has said, when it has."""
    with open(log, "w", encoding="utf-8") as file:
        ended = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, check=False, **options
        )
    with open(log, encoding="utf-8") as file:
        said = file.read()[-2000:]
    raise ChildProcessError(f"{command[0]} has ended with {ended.returncode}: {said}")


class Gate:
    """Workers go through it between two steps; while it is closed, they stand still."""

    def __init__(self):
        self._lock = threading.Lock()
        self._stopped = 0
        self._workers = []
        self._closed = False

    def worker(self, step):
        """Calls `step` for ever in a thread of its own."""

        def play():
            with errors_noted():
                while True:
                    self._pass()
                    step()

        thread = threading.Thread(target=play, daemon=True)
        self._workers.append(thread)
        thread.start()

    def _pass(self):
        if not self._closed:
            return
        with self._lock:
            self._stopped += 1
        while self._closed:
            pause(STEP_SECONDS)
        with self._lock:
            self._stopped -= 1

    @contextlib.contextmanager
    def closed(self):
        """Nobody is in a step while this lasts."""
        self._closed = True
        wait_until(lambda: self._stopped == len(self._workers), "a worker does not stop")
        yield
        self._closed = False
        wait_until(lambda: self._stopped == 0, "a worker does not go on")


def keep_on(name, worked, check, step=lambda: None):
    """Answers questions for ever, and calls `step` in between.

    `worked` counts what is done; `check` returns a list of what is wrong. That the work has gone
    on since the last question is checked here.
    """
    announce_ready(name)
    answered, before = None, -1
    while True:
        step()
        question = read_json(f"{STATE}/ask")
        if question == answered:
            pause(STEP_SECONDS)
            continue
        wait_until(lambda: step() or worked() > before, "the work does not go on")
        problems = check()
        answered, before = question, worked()
        answer = {"question": question, "worked": before, "problems": problems}
        write_json(f"{STATE}/answer", answer)
