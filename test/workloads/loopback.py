"""TCP connections within a container: one that stays, and new ones."""

import socket

from self_check import look_for_ever


def _pair(listener):
    client = socket.create_connection(listener.getsockname(), 10)
    server, _ = listener.accept()
    for end in client, server:
        end.settimeout(10)
    return client, server


def _listen():
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(10)
    return listener


def _passes(client, server):
    client.sendall(b"there")
    if server.recv(16) != b"there":
        return False
    server.sendall(b"back")
    return client.recv(16) == b"back"


def kept():
    """A connection that is there all the time."""
    pair = _pair(_listen())
    return lambda: _passes(*pair)


def made_anew():
    """A connection to a listener that is there all the time."""
    listener = _listen()

    def look():
        client, server = _pair(listener)
        with client, server:
            return _passes(client, server)

    return look


if __name__ == "__main__":
    look_for_ever("loopback", [kept, made_anew])
