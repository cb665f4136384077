"""Files of processes in /proc (proc(5)).

    proc_files.py [CASE...]     holds what a checkpoint shall bring back: all of it, or these cases

What it says is in STATE/proc-files.json: see self_check.py. What a checkpoint has to refuse is in
[`REFUSED`], for obstacles.py.
"""

import contextlib
import ctypes
import os
import subprocess
import sys
import threading

from common import pause
from self_check import look_for_ever

_libc = ctypes.CDLL(None, use_errno=True)


def _child():
    """A process that lives as long as its parent."""
    child = os.fork()
    if child == 0:
        _libc.prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL
        while True:
            pause(10)
    return child


def _end(child):
    os.kill(child, 9)
    with contextlib.suppress(ChildProcessError):  # where nobody has to wait for it
        os.waitpid(child, 0)


def _open(path):
    return os.open(path, os.O_RDONLY)


def _is_gone(fd):
    """Whether the file is one of a process that has ended."""
    try:
        os.read(fd, 1)
        return False
    except ProcessLookupError:
        return True


def _is_empty(fd):
    try:
        return os.listdir(fd) == []
    except (ProcessLookupError, FileNotFoundError):
        return True


def _is_of(fd, pid):
    """Whether it is the file `status` of this process."""
    return f"\nPid:\t{pid}\n".encode() in os.pread(fd, 4096, 0)


def dead():
    """Of one process two files and its directory, of another a directory below."""
    one, other = _child(), _child()
    files = [_open(f"/proc/{one}/{name}") for name in ("status", "stat")]
    directories = [_open(f"/proc/{one}"), _open(f"/proc/{other}/task")]
    _end(one)
    _end(other)
    return lambda: all(map(_is_gone, files)) and all(map(_is_empty, directories))


def living():
    """Of itself, of init and of a child."""
    child = _child()
    pids = (os.getpid(), 1, child)
    files = [(pid, _open(f"/proc/{pid}/status")) for pid in pids]
    files.append((os.getpid(), _open("/proc/self/status")))
    # The directories of threads, of the first one only.
    files.append((os.getpid(), _open("/proc/thread-self/status")))
    own, maps = _open("/proc/self/fd"), _open(f"/proc/{child}/maps")

    def check():
        good = all(_is_of(fd, pid) for pid, fd in files)
        return good and str(own) in os.listdir(own) and len(os.pread(maps, 4096, 0)) > 0

    return check


def of_the_kernel():
    """What is of no process, and the network's, whose names look deleted after another look."""
    names = ["/proc", "/proc/meminfo", "/proc/sys/kernel/hostname", "/proc/net/dev", "/proc/net/tcp"]
    files = [_open(name) for name in names]
    with open("/proc/net/dev", encoding="utf-8"):
        pass

    def check():
        return "1" in os.listdir(files[0]) and all(os.pread(fd, 1, 0) for fd in files[1:])

    return check


def zombie():
    """Of one that has ended, and for which nobody waits."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    file = _open(f"/proc/{child}/stat")
    while b") Z " not in os.pread(file, 512, 0):
        pause(0.01)
    return lambda: b") Z " in os.pread(file, 512, 0)


WORKS = {function.__name__: function for function in [dead, living, of_the_kernel, zombie]}


@contextlib.contextmanager
def _own_proc(path):
    """A mount of proc that is not read-only."""
    os.makedirs(path, exist_ok=True)
    subprocess.run(["mount", "-t", "proc", "proc", path], check=True)
    yield path
    subprocess.run(["umount", path], check=True)


def _again(pid, start):
    """Has `start` make a task with a number that was another's before, and returns what it does."""
    with _own_proc(f"/mnt/proc-{pid}") as proc:
        for _ in range(100):
            with open(f"{proc}/sys/kernel/ns_last_pid", "w", encoding="utf-8") as last:
                last.write(str(pid - 1))
            found, made = start()
            if found == pid:
                return made
    raise OSError(f"there is no second task {pid}")


def _process():
    child = _child()
    return child, child


def _thread():
    """A thread, and what ends it."""
    number, begun, end = [], threading.Event(), threading.Event()

    def run():
        number.append(threading.get_native_id())
        begun.set()
        end.wait()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    begun.wait()

    def finish():
        end.set()
        thread.join()

    return number[0], finish


def _file_of_dead(name):
    child = _child()
    file = _open(f"/proc/{child}{name}")
    _end(child)
    return child, file


def dead_descriptors():
    """The directory of descriptors of a dead process: nobody can stat(2) it."""
    return _file_of_dead("/fd")


def reused_pid():
    """A file of a dead process whose number another one has now."""
    pid, file = _file_of_dead("/status")
    _again(pid, _process)
    return file


def reused_pid_directory():
    pid, file = _file_of_dead("")
    _again(pid, _process)
    return file


def reused_as_thread():
    pid, file = _file_of_dead("")
    return file, _again(pid, _thread)


def dead_thread():
    """A file of a thread that has ended, of a process that lives."""
    number, finish = _thread()
    file = _open(f"/proc/self/task/{number}/status")
    finish()
    return file


def dead_thread_directory():
    number, finish = _thread()
    file = _open(f"/proc/self/task/{number}")
    finish()
    return file


def living_thread():
    number, finish = _thread()
    return _open(f"/proc/self/task/{number}/status"), finish


def thread_as_process():
    """By the directory that /proc has for a thread and does not show."""
    number, finish = _thread()
    return _open(f"/proc/{number}/status"), finish


def process_outside():
    """Of the exec session `sleep 601`, which may be about to start."""
    for _ in range(1000):
        for name in os.listdir("/proc"):
            with contextlib.suppress(OSError, ValueError):
                with open(f"/proc/{int(name)}/cmdline", "rb") as file:
                    if file.read() == b"sleep\x00601\x00":
                        return _open(f"/proc/{name}/status")
        pause(0.02)
    raise OSError("no such process")


def deep_proc():
    """A file of a dead process by a proc that is mounted deeper than CRIU expects."""
    os.makedirs("/mnt/deep", exist_ok=True)
    subprocess.run(["mount", "-t", "proc", "proc", "/mnt/deep"], check=True)
    child = _child()
    file = _open(f"/mnt/deep/{child}/status")
    _end(child)
    return file


def host_process():
    """By a bind of the host's /proc."""
    return _open("/host/proc/1/status")


REFUSED = [
    dead_descriptors,
    reused_pid,
    reused_pid_directory,
    reused_as_thread,
    dead_thread,
    dead_thread_directory,
    living_thread,
    thread_as_process,
    process_outside,
    deep_proc,
    host_process,
]


if __name__ == "__main__":
    look_for_ever("proc-files", [WORKS[name] for name in sys.argv[1:] or WORKS])
