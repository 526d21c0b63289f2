"""An inference server in a process that it shares with others."""

from __future__ import annotations

import select
import socket
import threading

from slipstream.supervisor.process import ChildProcess


class HostedServer:
    """Has what Child needs of a process; `process` is the real one.

    The lifeline is a socket: closed at our end it tells the server to go, and the server sends its
    exit status back as one byte. If it closes without that, the whole house has ended.
    """

    def __init__(self, process: ChildProcess, lifeline: socket.socket) -> None:
        self.pid = process.pid
        self._process = process
        self._lifeline = lifeline
        self._status: int | None = None
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """Return the exit status; None while it runs."""
        with self._lock:
            if self._status is None and _readable(self._lifeline, 0):
                said = self._lifeline.recv(1)
                self._status = said[0] if said else self._process.wait()
                self._lifeline.close()
            return self._status

    def wait(self) -> int:
        """Block until it has ended; return its exit status."""
        while (status := self.poll()) is None:
            _readable(self._lifeline, None)
        return status

    def terminate(self) -> None:
        """Tell it to go, unless it has ended."""
        if self.poll() is None:
            self._lifeline.shutdown(socket.SHUT_WR)


def _readable(lifeline: socket.socket, timeout: float | None) -> bool:
    ready, _, _ = select.select([lifeline], [], [], timeout)
    return bool(ready)
