"""Runs commands in a virtual machine, one after the other, for the machine that made it.

An order and an answer are each one line of JSON, by the port of that name. An order has the command
("args"), its whole environment ("env"), and how many seconds it may take ("limit"). What it writes is
answered at once as "out" or "err", with one character for each byte; last comes its "status" as
Popen.returncode has it, and whether it was "killed" because its time was up.
"""

import json
import os
import selectors
import signal
import subprocess
import time

PORT = "/dev/virtio-ports/remap"

# How often it is looked whether the command has ended, in seconds. A process that it left in the
# background may hold its output open for ever.
TICK = 0.2

port = os.open(PORT, os.O_RDWR)


def answer(**what):
    left = json.dumps(what).encode() + b"\n"
    while left:
        left = left[os.write(port, left) :]


def run(args, env, limit):
    pipe = subprocess.PIPE
    child = subprocess.Popen(
        args, env=env, cwd="/", stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, start_new_session=True
    )
    streams = selectors.DefaultSelector()
    streams.register(child.stdout, selectors.EVENT_READ, "out")
    streams.register(child.stderr, selectors.EVENT_READ, "err")
    end = time.monotonic() + limit
    killed = False
    while streams.get_map() or child.poll() is None:
        ready = streams.select(TICK)
        if not ready and child.poll() is not None:
            break
        for stream, _ in ready:
            data = os.read(stream.fd, 16384)
            if data:
                answer(**{stream.data: data.decode("latin-1")})
            else:
                streams.unregister(stream.fileobj)
        if not killed and time.monotonic() >= end:
            killed = True
            os.killpg(child.pid, signal.SIGKILL)
    answer(status=child.wait(), killed=killed)


answer(ready=True)
with os.fdopen(port, "rb", closefd=False) as orders:
    for order in orders:
        try:
            run(**json.loads(order))
        except OSError as error:
            answer(failed=str(error))
