"""A request that reaches its target in time, or not at all."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import termios
from collections.abc import Callable
from contextvars import ContextVar
from time import monotonic
from types import TracebackType
from typing import Self

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""For SO_LINGER: the kernel sends nothing of what it still has."""


class Arrival:
    """Watches a request until its time is over; a context manager around it.

    Whether a request has arrived is known to TCP: the target has acknowledged every byte. One that
    has may wait for its response as long as it likes. Another one is ended, and not even the kernel
    sends what is left of it: it would go on to try, for minutes.
    """

    def __init__(self, arrive_by: Callable[[], float], end: Callable[[], None]) -> None:
        """Call `end` at `arrive_by`, `time.monotonic()`, if the request has not arrived.

        `arrive_by` is called again then: it may return a later time.
        """
        self._arrive_by = arrive_by
        self._end = end
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.late = False
        """Whether it was ended."""
        self.begun = False
        """Whether a part of it may have arrived then."""

    def __enter__(self) -> Self:
        self._token = _watched.set(self)
        self._look()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _watched.reset(self._token)
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        left = self._arrive_by() - monotonic()
        if left > 0:
            self._timer = asyncio.get_running_loop().call_later(left, self._look)
            return
        transport = self._transport
        self.begun = transport is not None and not transport.is_closing()
        if transport is not None and self.begun:
            used: socket.socket = transport.get_extra_info("socket")
            if not transport.get_write_buffer_size() and not _unacknowledged_bytes(used):
                return
            used.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            transport.abort()
        self.late = True
        self._end()

    def sent(self, transport: asyncio.Transport) -> None:
        """Note that the request is being written to a connection."""
        self._transport = transport


_watched: ContextVar[Arrival | None] = ContextVar("_watched", default=None)


def request_sent(transport: asyncio.Transport) -> None:
    """Note that the request of this context, if it is watched, is being written."""
    arrival = _watched.get()
    if arrival is not None:
        arrival.sent(transport)


def _unacknowledged_bytes(used: socket.socket) -> int:
    found: int = struct.unpack("i", fcntl.ioctl(used.fileno(), termios.TIOCOUTQ, bytes(4)))[0]
    return found
