"""Obstacles that are processes and threads, see obstacles.py."""

import ctypes
import os
import signal
import threading

from common import STATE, pause, write_atomically

_libc = ctypes.CDLL(None, use_errno=True)


def pidfd_outside():
    """Of the exec session `sleep 601`, which may be about to start."""
    for _ in range(1000):
        for name in os.listdir("/proc"):
            try:
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    if file.read() == b"sleep\x00601\x00":
                        return os.pidfd_open(int(name))
            except (OSError, ValueError):
                continue
        pause(0.02)
    raise OSError("no such process")


def _child_in(namespace):
    """A child that has unshared it before; it ends with its parent."""
    child = os.fork()
    if child == 0:
        _libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        os.unshare(namespace)
        write_atomically(f"{STATE}/unshared", "")
        while True:
            pause(10)
    while not os.path.exists(f"{STATE}/unshared"):
        pause(0.01)
    os.unlink(f"{STATE}/unshared")
    return child


def namespace_pid():
    os.unshare(os.CLONE_NEWPID)
    child = os.fork()
    if child == 0:
        _libc.prctl(1, signal.SIGKILL)
        while True:
            pause(10)
    return child


def namespace_ipc():
    return _child_in(os.CLONE_NEWIPC)


def namespace_uts():
    return _child_in(os.CLONE_NEWUTS)


def namespace_user():
    return _child_in(os.CLONE_NEWUSER)


def namespace_cgroup():
    return _child_in(os.CLONE_NEWCGROUP)


def namespace_time():
    """For its children, if it had any."""
    return _child_in(os.CLONE_NEWTIME)


def traced():
    child = os.fork()
    if child == 0:
        _libc.prctl(1, signal.SIGKILL)
        while True:
            pause(10)
    # PTRACE_SEIZE
    if _libc.ptrace(0x4206, child, None, None) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return child


def stopped():
    child = os.fork()
    if child == 0:
        _libc.prctl(1, signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGSTOP)
        while True:
            pause(10)
    os.waitpid(child, os.WUNTRACED)
    return child


def file_table():
    """A thread with a table of its own, in which there is a file that the others lack."""
    ready = threading.Event()

    def run():
        os.unshare(os.CLONE_FILES)
        fd = os.open("/own-of-thread", os.O_RDWR | os.O_CREAT)
        os.dup2(fd, 77)
        ready.set()
        while True:
            pause(0.1)
            try:
                os.fstat(77)
                write_atomically(f"{STATE}/thread-file", "there")
            except OSError:
                write_atomically(f"{STATE}/thread-file", "lost")

    threading.Thread(target=run, daemon=True).start()
    ready.wait()


TASKS = [
    pidfd_outside,
    namespace_pid,
    namespace_ipc,
    namespace_uts,
    namespace_user,
    namespace_cgroup,
    namespace_time,
    traced,
    stopped,
    file_table,
]
