"""PostgreSQL under load, with parallel queries whose memory is on /dev/shm.

    postgresql [tcp]    over its Unix socket; with `tcp` over the loopback interface

Two writers move money and note each transaction; a reader runs parallel queries one after the
other; a holder has a transaction open all the time. At a check no acknowledged transaction may be
missing and none be there that nobody has made, before the server crashes and after it has recovered.
"""

import glob
import os
import subprocess

import psycopg2
from common import SHM, pause
from software.work import Gate, keep_on, wait_until

DATA = "/var/lib/postgresql/data"
RUN = "/run/postgresql"
NOBODY = 65534
ACCOUNTS, MONEY = 20, 1000
WRITERS = 2
# Numbers that a parallel query adds up, slowly.
NUMBERS = 200

SETTINGS = {
    "dynamic_shared_memory_type": "posix",
    "shared_buffers": "8MB",
    "max_connections": "20",
    "max_wal_size": "8MB",
    "min_wal_size": "2MB",
    "unix_socket_directories": RUN,
    # Every query that can be parallel is.
    "max_parallel_workers_per_gather": "2",
    "parallel_setup_cost": "0",
    "parallel_tuple_cost": "0",
    "min_parallel_table_scan_size": "0",
}

SCHEMA = f"""
CREATE TABLE account (id int PRIMARY KEY, money bigint NOT NULL);
INSERT INTO account SELECT id, {MONEY} FROM generate_series(1, {ACCOUNTS}) AS id;
CREATE TABLE history (
    writer int, seq int, giver int, taker int, amount int, digest text, PRIMARY KEY (writer, seq));
CREATE TABLE number AS SELECT n FROM generate_series(1, {NUMBERS}) AS n;
CREATE TABLE held (round int);
CREATE EXTENSION amcheck;
ANALYZE;
"""

SLOW_SUM = "SELECT sum(n), count(pg_sleep(0.02)) FROM number"


class Server:
    def __init__(self, tcp):
        self._bin = max(glob.glob("/usr/lib/postgresql/*/bin"))
        self._settings = dict(SETTINGS, listen_addresses="127.0.0.1" if tcp else "")
        self._host = "127.0.0.1" if tcp else RUN
        self._process = None
        for folder in (os.path.dirname(DATA), RUN):
            os.makedirs(folder, exist_ok=True)
            os.chown(folder, NOBODY, NOBODY)
        self._run("initdb", "-k", "--no-locale", "-E", "UTF8", "--wal-segsize=1").check_returncode()

    def _command(self, program, *arguments):
        # It refuses to run as root.
        options = {"user": NOBODY, "group": NOBODY, "extra_groups": [], "cwd": RUN}
        return [f"{self._bin}/{program}", "-D", DATA, *arguments], options

    def _run(self, program, *arguments):
        command, options = self._command(program, *arguments)
        return subprocess.run(command, stdout=subprocess.DEVNULL, check=False, **options)

    def start(self):
        settings = [f"--{name}={value}" for name, value in self._settings.items()]
        command, options = self._command("postgres", *settings)
        with open("/var/log/postgresql.log", "a", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options
            )
        wait_until(self._answers, "PostgreSQL does not start")

    def _answers(self):
        if self._process.poll() is not None:
            raise ChildProcessError(f"PostgreSQL has ended: {self._process.returncode}")
        try:
            self.connect().close()
        except psycopg2.OperationalError:
            return False
        return True

    def crash(self):
        """The end without a checkpoint: what is not in its log is lost."""
        self._run("pg_ctl", "stop", "-m", "immediate").check_returncode()
        self._process.wait()

    def connect(self):
        return psycopg2.connect(host=self._host, user="nobody", dbname="postgres")


def digest(writer, seq, giver, taker, amount):
    return f"{(writer * 7919 + seq * 104729 + giver * 31 + taker * 37 + amount) % 2**31:08x}" * 8


class Writer:
    def __init__(self, number):
        self.number = number
        self.acknowledged = 0
        self.connection = None

    def step(self):
        seq = self.acknowledged + 1
        giver = seq * (self.number + 3) % ACCOUNTS + 1
        taker = giver % ACCOUNTS + 1
        amount = seq % 7
        row = (self.number, seq, giver, taker, amount)
        with self.connection, self.connection.cursor() as cursor:
            # Always the lower one first, or two writers may wait for each other.
            moves = sorted([(giver, -amount), (taker, amount)])
            for account, change in moves:
                cursor.execute(
                    "UPDATE account SET money = money + %s WHERE id = %s", (change, account)
                )
            cursor.execute(
                "INSERT INTO history VALUES (%s, %s, %s, %s, %s, %s)", (*row, digest(*row))
            )
        self.acknowledged = seq  # the commit has returned
        pause(0.005)


class Reader:
    def __init__(self):
        self.connection = None
        self.sums = 0

    def step(self):
        with self.connection, self.connection.cursor() as cursor:
            cursor.execute(SLOW_SUM)
            found = cursor.fetchone()
        if found != (NUMBERS * (NUMBERS + 1) // 2, NUMBERS):
            raise ValueError(f"a parallel query has come to {found}")
        self.sums += 1


class Holder:
    """Has a row that nobody else sees, a lock, and a table of its own."""

    def __init__(self):
        self.connection = None
        self.round = 0

    def begin(self):
        self.round += 1
        self._execute("CREATE TEMP TABLE IF NOT EXISTS own (round int)")
        self._execute("INSERT INTO own VALUES (%s)", self.round)
        self._execute("INSERT INTO held VALUES (%s)", self.round)
        self._execute("SELECT pg_advisory_xact_lock(7)")

    def _execute(self, text, *values):
        cursor = self.connection.cursor()
        cursor.execute(text, values)
        return cursor

    def problems(self, other):
        found = []
        for table in ("own", "held"):
            count = self._execute(f"SELECT count(*) FROM {table} WHERE round = %s", self.round)
            if count.fetchone() != (1,):
                found.append(f"the holder's row of {table} is not there")
        with other.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM held WHERE round = %s", (self.round,))
            if cursor.fetchone() != (0,):
                found.append("an open transaction is seen from outside")
            cursor.execute("SELECT pg_try_advisory_xact_lock(7)")
            if cursor.fetchone() != (False,):
                found.append("the holder's lock does not hold")
        other.rollback()
        self.connection.commit()
        with other.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM held WHERE round = %s", (self.round,))
            if cursor.fetchone() != (1,):
                found.append("what the holder has committed is not there")
        other.rollback()
        return found


class Load:
    def __init__(self, server):
        self.server = server
        self.writers = [Writer(number) for number in range(WRITERS)]
        self.reader = Reader()
        self.holder = Holder()
        self.gate = Gate()

    def connect(self):
        for user in (*self.writers, self.reader, self.holder):
            user.connection = self.server.connect()
        self.holder.begin()

    def start(self):
        with self.server.connect() as connection, connection.cursor() as cursor:
            cursor.execute(SCHEMA)
        self.connect()
        for user in (*self.writers, self.reader):
            self.gate.worker(user.step)
        wait_until(lambda: self.reader.sums > 0, "no parallel query comes to an end")
        # So that a checkpoint finds memory that parallel workers share, besides the server's own.
        wait_until(lambda: len(glob.glob(f"{SHM}/PostgreSQL.*")) > 1, "no query is parallel")

    def acknowledged(self):
        return sum(writer.acknowledged for writer in self.writers)

    def check(self):
        before = self.reader.sums
        wait_until(lambda: self.reader.sums > before, "no parallel query comes to an end")
        with self.gate.closed():
            problems = self.history() + self.holder.problems(self.writers[0].connection)
            self.server.crash()
            self.server.start()
            self.connect()
            problems += [f"after a crash: {problem}" for problem in self.history()]
        return problems

    def history(self):
        """What is in the tables and should not be, or the other way round."""
        found = []
        connection = self.server.connect()
        cursor = connection.cursor()
        for writer in self.writers:
            cursor.execute(
                "SELECT seq, giver, taker, amount, digest FROM history "
                "WHERE writer = %s ORDER BY seq",
                (writer.number,),
            )
            rows = cursor.fetchall()
            if [row[0] for row in rows] != list(range(1, writer.acknowledged + 1)):
                found.append(
                    f"{len(rows)} transactions of writer {writer.number}, which has made "
                    f"{writer.acknowledged}"
                )
            wrong = [row[0] for row in rows if row[4] != digest(writer.number, *row[:4])]
            if wrong:
                found.append(f"transactions {wrong} of writer {writer.number} are damaged")
        cursor.execute(
            "SELECT id, money - %s + coalesce((SELECT sum(amount) FROM history WHERE giver = id), 0)"
            " - coalesce((SELECT sum(amount) FROM history WHERE taker = id), 0) FROM account",
            (MONEY,),
        )
        balances = cursor.fetchall()
        if len(balances) != ACCOUNTS or any(difference != 0 for _, difference in balances):
            found.append(f"accounts do not agree with their history: {balances}")
        cursor.execute(
            "SELECT bt_index_check(indexrelid, true) FROM pg_index "
            "WHERE indrelid IN ('account'::regclass, 'history'::regclass)"
        )
        connection.close()
        return found


def run(*arguments):
    server = Server("tcp" in arguments)
    server.start()
    load = Load(server)
    load.start()
    keep_on("postgresql", load.acknowledged, load.check)
