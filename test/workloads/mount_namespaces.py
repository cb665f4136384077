"""Files of processes with mount namespaces of their own within the container, for obstacles.py."""

import os
import subprocess

SHM = "/dev/shm"
TEXT = b"of a mount namespace\n" * 150_000  # more than CRIU takes without being told


def _nameless(path):
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(file, TEXT)
    os.unlink(path)
    return file


def namespace_mount_copy():
    """On a copy of a mount of the container's."""
    os.unshare(os.CLONE_NEWNS)
    file = _nameless(f"{SHM}/nameless")
    linked = os.open(f"{SHM}/first", os.O_RDWR | os.O_CREAT, 0o600)
    os.write(linked, b"linked")
    os.link(f"{SHM}/first", f"{SHM}/second")
    os.unlink(f"{SHM}/first")
    return file, linked


def namespace_mount_own():
    """On a mount that there is only in that namespace."""
    os.unshare(os.CLONE_NEWNS)
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    os.makedirs("/mnt/own", exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/mnt/own"], check=True)
    return _nameless("/mnt/own/nameless")


CASES = [namespace_mount_copy, namespace_mount_own]
