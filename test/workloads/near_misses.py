"""What looks like something that CRIU refuses, and is dumped and restored.

    near_misses.py [tcp]    with `tcp`: a TCP listener and a UDP socket as well, to
                            which it connects when there is a file STATE/connect

What it says is in STATE/near-misses.json: see self_check.py.
"""

import ctypes
import fcntl
import mmap
import os
import select
import signal
import socket
import struct
import sys
import threading
import time

from common import STATE, pause
from self_check import look_for_ever

_libc = ctypes.CDLL(None, use_errno=True)


def event_files():
    """eventfd, timerfd, signalfd and inotify, and an epoll that watches them."""
    event = os.eventfd(0, os.EFD_NONBLOCK)
    # In an hour: CRIU takes one that has expired, and was not read since, for one that is not set.
    timer = os.timerfd_create(time.CLOCK_MONOTONIC)
    os.timerfd_settime(timer, initial=3600)
    signals = ctypes.create_string_buffer(128)
    struct.pack_into("Q", signals, 0, 1 << (signal.SIGUSR1 - 1))
    _libc.sigprocmask(0, signals, None)
    signal_file = _libc.signalfd(-1, signals, os.O_NONBLOCK)
    # On a tmpfs: an overlay has no file handles to find the file by.
    watch = _libc.inotify_init1(os.O_NONBLOCK)
    with open("/run/watched", "w", encoding="utf-8"):
        _libc.inotify_add_watch(watch, b"/run/watched", 0x4)  # IN_ATTRIB
    poll = select.epoll()
    for fd in (event, timer, signal_file, watch):
        poll.register(fd, select.EPOLLIN)

    def look():
        os.eventfd_write(event, 1)
        os.kill(os.getpid(), signal.SIGUSR1)
        os.chmod("/run/watched", 0o600)
        ready = {fd for fd, _ in poll.poll(1)}
        for fd in ready:
            os.read(fd, 4096)
        return ready == {event, signal_file, watch} and os.timerfd_gettime(timer)[0] > 0

    # What a watch has seen and nobody has read yet is lost in a checkpoint (inotify(7) allows that).
    return lambda: look() or look()


def watched_directories():
    """inotify on directories of the overlay, its root among them, which CRIU finds by itself."""
    watch = _libc.inotify_init1(os.O_NONBLOCK)
    directories = {_libc.inotify_add_watch(watch, path, 0x200): path for path in (b"/", b"/etc")}

    def look():
        for path in directories.values():
            name = os.path.join(path, b"removed")
            with open(name, "wb"):
                pass
            os.unlink(name)
        events = os.read(watch, 4096)
        seen = set()
        while events:
            number, _, _, length = struct.unpack_from("iIII", events)
            seen.add(number)
            events = events[16 + length :]
        return seen == directories.keys()

    return look


def unix_sockets():
    """A pair, a listener with a client, datagrams to a name: all inside."""
    pair = socket.socketpair()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("/run/near-stream")
    listener.listen()
    client = socket.socket(socket.AF_UNIX)
    client.connect("/run/near-stream")
    server, _ = listener.accept()
    log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    log.bind("\0near-log")
    writer = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    writer.connect("\0near-log")
    # Whose other end is gone.
    alone, other = socket.socketpair()
    other.close()

    def check():
        for one, other in (pair, (client, server), (writer, log)):
            one.send(b"abc")
            if other.recv(3) != b"abc":
                return False
        return alone.recv(1) == b"" and listener.getsockname() == "/run/near-stream"

    return check


def other_sockets():
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    netlink.bind((0, 0))
    return lambda: netlink.getsockname()[0] != 0


def network():
    def raise_lo():
        with socket.socket() as any_socket:
            fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH14x", b"lo", 1))

    raise_lo()
    listener = socket.create_server(("127.0.0.1", 7001))
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", 7001))

    def check():
        # A connection of a moment would be in the way of a checkpoint at that moment.
        if not os.path.exists(f"{STATE}/connect"):
            return listener.getsockname() == receiver.getsockname() == ("127.0.0.1", 7001)
        raise_lo()  # CRIU restores it, but not that it is up
        with socket.create_connection(("127.0.0.1", 7001)) as client:
            server, _ = listener.accept()
            server.close()
            client.recv(1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"abc", ("127.0.0.1", 7001))
        return receiver.recv(3) == b"abc"

    return check


def memory():
    """Of a memfd, and of /dev/zero."""
    fd = os.memfd_create("near")
    os.ftruncate(fd, 4096)
    file = mmap.mmap(fd, 4096)
    zero = os.open("/dev/zero", os.O_RDWR)
    zeros = mmap.mmap(zero, 4096, mmap.MAP_PRIVATE)
    null = os.open("/dev/null", os.O_RDWR)
    random = os.open("/dev/urandom", os.O_RDONLY)
    file[:3] = zeros[:3] = b"abc"

    def check():
        good = file[:3] == zeros[:3] == b"abc"
        return good and os.read(zero, 1) == b"\0" and os.write(null, b"x") == 1 and os.read(random, 1)

    return check


def locks():
    """Of all kinds that the option file-locks allows."""
    flock = open("/near-flock", "w", encoding="utf-8")
    fcntl.flock(flock, fcntl.LOCK_EX)
    posix = open("/near-posix", "w", encoding="utf-8")
    fcntl.lockf(posix, fcntl.LOCK_EX)

    def check():
        with open("/near-flock", encoding="utf-8") as other:
            try:
                fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return False
            except BlockingIOError:
                return not flock.closed and not posix.closed

    return check


def processes():
    """A child, a pidfd of it, and a dead one's; a pipe to it; a thread."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        while True:
            os.write(write, b"x")
            pause(1 / 20)
    pidfd = os.pidfd_open(child)
    counts = {"thread": 0}

    def count():
        while True:
            counts["thread"] += 1
            pause(1 / 20)

    threading.Thread(target=count, daemon=True).start()

    def check():
        before = counts["thread"]
        signal.pidfd_send_signal(pidfd, 0)
        for _ in range(200):
            pause(1 / 20)
            if counts["thread"] > before:
                break
        return os.read(read, 1) == b"x" and counts["thread"] > before

    return check


if __name__ == "__main__":
    # The first one blocks a signal, for all threads.
    kinds = [event_files, watched_directories, processes, unix_sockets, other_sockets, memory, locks]
    look_for_ever("near-misses", kinds + [network] * ("tcp" in sys.argv[1:]))
