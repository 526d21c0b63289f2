"""The connections that the kernel has made and no process has accepted yet."""

from __future__ import annotations

import socket

_MOST = 4096
"""As long as a queue is, at the most, where nothing else was configured (`somaxconn`)."""


def accept_waiting(sock: socket.socket, most: int = _MOST) -> list[socket.socket]:
    """Accept the connections that wait; call it just before a listening socket is closed.

    For their clients they are established, and may carry a request. The kernel resets those that
    still wait when the last process closes the port.
    """
    accepted: list[socket.socket] = []
    while len(accepted) < most:
        try:
            client, _ = sock.accept()
        except ConnectionAbortedError:  # one that has left
            continue
        except OSError:  # none waits, or there are too many file descriptors
            break
        client.setblocking(False)
        accepted.append(client)
    return accepted
