"""What CRIU refuses to dump.

    obstacles.py init               waits, and buries its children
    obstacles.py NAME[=ARGUMENT]…   has each of them held by a process of its own, a child of init

Each leaves the file STATE/NAME when it is set up, with its pid, or `no: REASON` if this kernel
has no such thing.
"""

import contextlib
import ctypes
import fcntl
import mmap
import os
import select
import signal
import socket
import struct
import subprocess
import sys

from common import STATE, announce_ready, pause, write_atomically
from looks_deleted import CASES as LOOKS_DELETED
from mount_namespaces import CASES as MOUNT_NAMESPACES
from obstacle_tasks import TASKS
from proc_files import REFUSED as PROC_FILES

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

# System calls that have the same number on all machines.
IO_URING_SETUP, FSOPEN, LANDLOCK_CREATE_RULESET, MEMFD_SECRET = 425, 430, 444, 447
# Of x86_64.
PERF_EVENT_OPEN, BPF, USERFAULTFD = 298, 321, 323


def _syscall(number, *arguments):
    result = _libc.syscall(number, *arguments)
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def io_uring():
    parameters = ctypes.create_string_buffer(120)
    return _syscall(IO_URING_SETUP, 8, parameters)


def io_uring_mapping():
    """Only the ring is left."""
    fd = io_uring()
    ring = mmap.mmap(fd, 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    os.close(fd)
    return ring


def perf_event():
    attributes = bytearray(128)
    # PERF_TYPE_SOFTWARE, its size, PERF_COUNT_SW_CPU_CLOCK
    struct.pack_into("IIQ", attributes, 0, 1, 128, 0)
    buffer = (ctypes.c_char * 128).from_buffer(attributes)
    return _syscall(PERF_EVENT_OPEN, buffer, 0, -1, -1, ctypes.c_ulong(0))


def bpf_program():
    # r0 = 0; exit
    code = ctypes.create_string_buffer(bytes.fromhex("b700000000000000 9500000000000000"), 16)
    license_ = ctypes.create_string_buffer(b"GPL")
    # BPF_PROG_TYPE_SOCKET_FILTER
    attributes = struct.pack(
        "IIQQIIQ", 1, 2, ctypes.addressof(code), ctypes.addressof(license_), 0, 0, 0
    )
    attributes = ctypes.create_string_buffer(attributes.ljust(128, b"\0"), 128)
    return _syscall(BPF, 5, attributes, 128)


def userfaultfd():
    return _syscall(USERFAULTFD, 0)


def landlock():
    attributes = ctypes.c_uint64(1)
    return _syscall(LANDLOCK_CREATE_RULESET, ctypes.byref(attributes), ctypes.c_size_t(8), 0)


def fscontext():
    return _syscall(FSOPEN, b"tmpfs", 0)


def secret_memory():
    fd = _syscall(MEMFD_SECRET, 0)
    os.ftruncate(fd, 4096)
    return fd


def secret_mapping():
    fd = secret_memory()
    secret = mmap.mmap(fd, 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    os.close(fd)
    return secret


def message_queue():
    descriptor = _libc.mq_open(b"/obstacle", os.O_RDWR | os.O_CREAT, 0o600, None)
    if descriptor < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    _libc.mq_unlink(b"/obstacle")
    return descriptor


def _mount_tmpfs(path):
    os.makedirs(path, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", path], check=True)


def unmounted():
    """A file on a file system that has been unmounted since."""
    _mount_tmpfs("/mnt/gone")
    file = open("/mnt/gone/file", "w", encoding="utf-8")
    subprocess.run(["umount", "-l", "/mnt/gone"], check=True)
    return file


def covered():
    """A file on a file system on which another one is mounted."""
    _mount_tmpfs("/mnt/covered")
    file = open("/mnt/covered/file", "w", encoding="utf-8")
    _mount_tmpfs("/mnt/covered")
    return file


def covered_path():
    """A file at whose path there is one of another file system now."""
    os.makedirs("/mnt/path", exist_ok=True)
    file = open("/mnt/path/file", "w", encoding="utf-8")
    _mount_tmpfs("/mnt/path")
    with open("/mnt/path/file", "w", encoding="utf-8"):
        return file


def device(path):
    return os.open(path, os.O_RDWR)


def mptcp():
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)


def vsock():
    return socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)


def xdp():
    return socket.socket(44, socket.SOCK_RAW)


def _raise_lo():
    """Sets the flag IFF_UP of lo."""
    with socket.socket() as any_socket:
        request = struct.pack("16sH14x", b"lo", 1)
        fcntl.ioctl(any_socket, 0x8914, request)


def tcp_connection():
    _raise_lo()
    listener = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(listener.getsockname())
    server, _ = listener.accept()
    listener.close()
    return client, server


def tcp_pending():
    """A connection that waits to be accepted; the client is gone."""
    _raise_lo()
    listener = socket.create_server(("127.0.0.1", 0))
    socket.create_connection(listener.getsockname()).close()
    return listener


def tcp_listener():
    """This one is an obstacle for CRIU before 4.2 only, on new kernels."""
    _raise_lo()
    return socket.create_server(("127.0.0.1", 0))


def unix_stream(path):
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    return client


def unix_waiting(path):
    """As unix-stream, to a listener that does not accept."""
    return unix_stream(path)


def unix_datagram(path):
    client = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    client.connect(path)
    return client


def flock():
    file = open("/locked-flock", "w", encoding="utf-8")
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def posix_lock():
    file = open("/locked-posix", "w", encoding="utf-8")
    fcntl.lockf(file, fcntl.LOCK_EX)
    return file


def ofd_lock():
    file = open("/locked-ofd", "w", encoding="utf-8")
    # F_OFD_SETLK; F_WRLCK, SEEK_SET, all of it
    fcntl.fcntl(file, 37, struct.pack("hhqqi4x", 1, 0, 0, 0, 0))
    return file


def lease():
    with open("/leased", "w", encoding="utf-8"):
        pass
    fd = os.open("/leased", os.O_RDONLY)
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    return fd


def fifo_path():
    """A FIFO that is opened without being opened (O_PATH)."""
    os.mkfifo("/fifo-path")
    return os.open("/fifo-path", os.O_PATH)


def lost_watched():
    """An epoll that watches a pipe of which only a child of its process has the ends."""
    ends = os.pipe()
    epoll = select.epoll()
    epoll.register(ends[0])
    parent = os.getpid()
    if os.fork() == 0:
        # PR_SET_PDEATHSIG
        _libc.prctl(1, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        epoll.close()
        while True:
            pause(10)
    for end in ends:
        os.close(end)
    return epoll


def shared_code():
    """Code in shared memory below all other."""
    mapping = _libc.mmap
    mapping.restype = ctypes.c_void_p
    mapping.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
    # PROT_READ | PROT_EXEC; MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE
    if mapping(0x200000, 4096, 5, 0x100021, -1, 0) != 0x200000:
        raise OSError(ctypes.get_errno(), "no shared code")


def nameless_watch():
    """A watch of a file that is open and has no name."""
    fd = os.open("/watched", os.O_RDWR | os.O_CREAT, 0o600)
    watch = _libc.inotify_init1(0)
    _libc.inotify_add_watch(watch, b"/watched", 0xFFF)
    os.unlink("/watched")
    return fd, watch


def remade_directory():
    """A deleted directory, and a new one of that name."""
    os.mkdir("/remade")
    fd = os.open("/remade", os.O_RDONLY)
    os.rmdir("/remade")
    os.mkdir("/remade")
    return fd


def nested_directories():
    """A deleted directory in a deleted one."""
    os.makedirs("/nested/inner")
    outer = os.open("/nested", os.O_RDONLY)
    inner = os.open("/nested/inner", os.O_RDONLY)
    os.removedirs("/nested/inner")
    return outer, inner


def tun():
    return device("/dev/net/tun")


def system_v():
    """A segment of System V."""
    segment = _libc.shmget(0, 4096, 0o600 | 0o1000)  # IPC_PRIVATE, IPC_CREAT
    _libc.shmat.restype = ctypes.c_void_p
    address = _libc.shmat(segment, None, 0)
    _libc.shmctl(segment, 0, None)  # IPC_RMID: it goes when nobody has it
    return address


OBSTACLES = {
    function.__name__.replace("_", "-"): function
    for function in [
        io_uring,
        io_uring_mapping,
        perf_event,
        bpf_program,
        userfaultfd,
        landlock,
        fscontext,
        secret_memory,
        secret_mapping,
        message_queue,
        unmounted,
        covered,
        covered_path,
        device,
        mptcp,
        vsock,
        xdp,
        tcp_connection,
        tcp_pending,
        tcp_listener,
        unix_stream,
        unix_waiting,
        unix_datagram,
        flock,
        posix_lock,
        ofd_lock,
        lease,
        fifo_path,
        lost_watched,
        shared_code,
        nameless_watch,
        remade_directory,
        nested_directories,
        tun,
        system_v,
        *TASKS,
        *PROC_FILES,
        *LOOKS_DELETED,
        *MOUNT_NAMESPACES,
    ]
}


def hold(name, arguments):
    try:
        # Named, or it would be closed at once.
        _held = OBSTACLES[name](*arguments)
    except OSError as error:
        write_atomically(f"{STATE}/{name}", f"no: {error}")
        return
    write_atomically(f"{STATE}/{name}", str(os.getpid()))
    while True:
        pause(10)


def start(obstacle):
    name, *arguments = obstacle.split("=", 1)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{STATE}/{name}")
    if os.fork() == 0:
        os.setsid()
        null = os.open("/dev/null", os.O_RDWR)
        for fd in range(3):
            os.dup2(null, fd)
        os.close(null)
        hold(name, arguments)
        os._exit(0)
    while not os.path.exists(f"{STATE}/{name}"):
        pause(0.01)


def main():
    os.makedirs(STATE, exist_ok=True)
    if sys.argv[1:] == ["init"]:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        announce_ready("init")
        while True:
            pause(10)
    for obstacle in sys.argv[1:]:
        start(obstacle)


if __name__ == "__main__":
    main()
