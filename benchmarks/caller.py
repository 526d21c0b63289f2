"""A client of one connection: asks, waits, asks again, and keeps the time of each call."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable
from itertools import cycle
from types import TracebackType
from typing import Self

from benchmarks.wire import Answer, Reader

_READ_BYTES = 1 << 16
_PATIENCE_SECONDS = 30.0


class CallFailedError(Exception):
    """A call was not answered with 200."""


class Caller:
    """One keep-alive connection. Bodies can be as large as they like, which wrk's cannot.

    Blocking, so that nothing but the socket stands between the clock and the server.
    """

    def __init__(self, port: int) -> None:
        """Connect to `port` of this machine."""
        self._socket = socket.create_connection(("127.0.0.1", port), _PATIENCE_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = Reader()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._socket.close()

    def ask(self, request: bytes) -> Answer:
        """Return the answer; raise CallFailedError unless its status is 200."""
        self._socket.sendall(request)
        answer = None
        while answer is None:
            data = self._socket.recv(_READ_BYTES)
            if not data:
                raise CallFailedError("the server has closed the connection")
            answer = self._reader.feed(data)
        if answer.status != 200:
            raise CallFailedError(f"HTTP {answer.status}: {answer.body[:300]!r}")
        return answer

    def time(self, requests: Iterable[bytes], seconds: float) -> list[float]:
        """Ask in turns for `seconds`; return what each call took, in microseconds."""
        turns = cycle(requests)
        return timed(lambda: self.ask(next(turns)), seconds)


def timed(work: Callable[[], object], seconds: float) -> list[float]:
    """Do the work over and over for `seconds`; return what each time took, in microseconds."""
    took: list[float] = []
    end = time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        work()
        took.append((time.perf_counter() - began) * 1e6)
    return took
