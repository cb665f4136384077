"""Redis, whose directory is on /dev/shm: an append-only file, and a snapshot that is being written
nearly all the time, by a child that has an unfinished file open.

    redis [tcp]    over its Unix socket; with `tcp` over the loopback interface
"""

import os
import socket
import subprocess

from common import SHM, pause
from software.work import Gate, keep_on, wait_until

DIR = f"{SHM}/redis"
SOCKET = "/run/redis.sock"
PORT = 6379
KEYS = 200
# For each key, in microseconds: two seconds for a snapshot.
SAVE_DELAY = 10000


class Connection:
    """Speaks RESP, the protocol of Redis."""

    def __init__(self, tcp):
        if tcp:
            self._socket = socket.create_connection(("127.0.0.1", PORT))
        else:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.connect(SOCKET)
        self._file = self._socket.makefile("rb")

    def send(self, *words):
        parts = [str(word).encode() for word in words]
        text = b"*%d\r\n" % len(parts)
        text += b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
        self._socket.sendall(text)

    def receive(self):
        line = self._file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("Redis has gone")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise ValueError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self._file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self.receive() for _ in range(int(rest))]
        return rest

    def ask(self, *words):
        self.send(*words)
        return self.receive()

    def close(self):
        self._file.close()
        self._socket.close()


class Server:
    def __init__(self, tcp):
        self._tcp = tcp
        self._process = None
        os.makedirs(DIR, exist_ok=True)

    def start(self):
        network = ["--port", str(PORT), "--bind", "127.0.0.1"] if self._tcp else ["--port", "0"]
        command = ["redis-server", *network, "--unixsocket", SOCKET, "--dir", DIR]
        command += ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        command += ["--rdb-key-save-delay", str(SAVE_DELAY)]
        with open(f"{DIR}/log", "a", encoding="utf-8") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log)
        wait_until(self._answers, "Redis does not start")

    def _answers(self):
        if self._process.poll() is not None:
            raise ChildProcessError(f"Redis has ended: {self._process.returncode}")
        try:
            connection = self.connect()
        except OSError:
            return False
        try:
            return connection.ask("PING") == b"PONG"
        except ValueError:  # it is loading
            return False
        finally:
            connection.close()

    def crash(self):
        self._process.kill()
        self._process.wait()
        os.unlink(SOCKET)

    def connect(self):
        return Connection(self._tcp)


class Load:
    def __init__(self, server):
        self.server = server
        self.gate = Gate()
        self.counted = [0] * KEYS
        self.steps = 0
        self.snapshots = 0

    def connect(self):
        self.counter = self.server.connect()
        self.saver = self.server.connect()
        self.popper = self.server.connect()
        self.popper.send("BLPOP", "list", 0)
        self.listener = self.server.connect()
        self.listener.ask("SUBSCRIBE", "news")

    def start(self):
        self.connect()
        self.gate.worker(self.count)
        self.gate.worker(self.save)
        wait_until(lambda: self.snapshots > 0, "no snapshot is written")

    def count(self):
        key = self.steps % KEYS
        answer = self.counter.ask("INCR", f"key:{key}")
        self.counted[key] += 1
        if answer != self.counted[key]:
            raise ValueError(f"key {key} is {answer} and not {self.counted[key]}")
        self.steps += 1
        pause(0.002)

    def save(self):
        if not self.saving():
            self.saver.ask("BGSAVE")
            self.snapshots += 1
        pause(0.02)

    def saving(self):
        return self.info("rdb_bgsave_in_progress") == "1"

    def info(self, name):
        for line in self.saver.ask("INFO", "persistence").decode().splitlines():
            if line.startswith(f"{name}:"):
                return line.removeprefix(f"{name}:")
        raise KeyError(name)

    def check(self):
        with self.gate.closed():
            problems = self.clients() + self.contents()
            wait_until(lambda: not self.saving(), "a snapshot is never done")
            if self.info("rdb_last_bgsave_status") != "ok":
                problems.append("a snapshot has failed")
            self.server.crash()
            self.server.start()
            self.connect()
            problems += [f"after a crash: {problem}" for problem in self.contents()]
        return problems

    def clients(self):
        """Those that wait get what they wait for."""
        found = []
        self.counter.ask("RPUSH", "list", self.steps)
        if self.popper.receive() != [b"list", str(self.steps).encode()]:
            found.append("a client that waits for an element gets another")
        self.popper.send("BLPOP", "list", 0)
        if self.counter.ask("PUBLISH", "news", self.steps) != 1:
            found.append("a subscription is lost")
        elif self.listener.receive()[2] != str(self.steps).encode():
            found.append("a subscriber gets another message")
        return found

    def contents(self):
        keys = [f"key:{key}" for key in range(KEYS)]
        values = [int(value or 0) for value in self.counter.ask("MGET", *keys)]
        if values != self.counted:
            return [f"there is {values}, and {self.counted} was acknowledged"]
        return []


def run(*arguments):
    server = Server("tcp" in arguments)
    server.start()
    load = Load(server)
    load.start()
    keep_on("redis", lambda: load.steps, load.check)
