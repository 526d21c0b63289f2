"""Clients that keep a connection, and do nothing with it or not enough."""

from __future__ import annotations

import asyncio
from typing import Protocol

from transport.exchanges import UnaryExchange
from transport.http2 import ErrorCode, PeerError
from transport.limits import Limits
from transport.status import Status, StatusCode
from transport.streams import BaseStream
from transport.timers import Timers

_TIMER = "loiterers"
_LATE = Status(StatusCode.DEADLINE_EXCEEDED, "the call's message did not arrive in time")


class Visited(Protocol):
    """The connection."""

    limits: Limits
    streams: dict[int, BaseStream]
    idle_since: float

    @property
    def block_open(self) -> bool:
        """Whether the rest of a header block is still to come."""
        ...

    def fail(self, fault: PeerError) -> None:
        """End the connection, and say why."""

    def shut(self) -> None:
        """End the connection in good order."""


class Loiterers:
    """Looks at a connection from time to time, so that no call pays for it."""

    def __init__(self, link: Visited) -> None:
        self._link = link
        self._suspects: set[int] = set()
        self._block_was_open = False

    def watch(self, timers: Timers) -> None:
        """Begin; ends when the timers are cleared."""
        limits = self._link.limits
        given = [limits.message_seconds, limits.idle_seconds]
        seconds = min((one for one in given if one is not None), default=None)
        if seconds is not None:
            timers.set(_TIMER, seconds, lambda: self._look(timers))

    def _look(self, timers: Timers) -> None:
        link, limits = self._link, self._link.limits
        if limits.message_seconds is not None:
            self._end_late_calls()
            if link.block_open and self._block_was_open:
                text = "the rest of a header block did not arrive in time"
                link.fail(PeerError(ErrorCode.ENHANCE_YOUR_CALM, text))
                return
            self._block_was_open = link.block_open
        if limits.idle_seconds is not None and not link.streams:
            now = asyncio.get_running_loop().time()
            if now - link.idle_since >= limits.idle_seconds:
                link.shut()
                return
        self.watch(timers)

    def _end_late_calls(self) -> None:
        arriving = {
            number: stream
            for number, stream in self._link.streams.items()
            if isinstance(stream, UnaryExchange) and not stream.remote_ended
        }
        for number in self._suspects & arriving.keys():
            arriving[number].conclude(_LATE)
        self._suspects = set(arriving)
