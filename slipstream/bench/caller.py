"""One connection that calls again as soon as it has its answer."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import cast

import httptools

from slipstream.bench.tally import Tally

_TIMING = b"server-timing"
_SUCCESS = 2
_LONGEST_ERROR = 64 * 1024
"""Bytes of an error's body that are kept: its code is in there."""


class Caller(asyncio.Protocol):
    """The client's side of a keep-alive connection, with one call in flight.

    Attributes:
        began: `perf_counter()` when the call in flight was written; None between two calls.
        good: whether every call so far was answered.
    """

    def __init__(self, request: bytes, tally: Tally, lost: asyncio.Future[None]) -> None:
        """Get ready to call; `lost` gets its result when the connection is gone."""
        self.began: float | None = None
        self.good = True
        self._request = request
        self._tally = tally
        self._lost = lost
        self._parser = httptools.HttpResponseParser(self)
        self._status = 0
        self._timing = b""
        self._error = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Make the first call."""
        self._transport = cast("asyncio.Transport", transport)
        self._call()

    def data_received(self, data: bytes) -> None:
        """Read what has come of an answer."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._break("malformed_answer")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's name
        """Count the call that is lost with it."""
        if self.began is not None:
            self._break("connection_lost")
        if not self._lost.done():
            self._lost.set_result(None)

    def hang_up(self) -> None:
        """Close at once, and count nothing any more."""
        self.began = None
        self._transport.abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the header that says where the time went."""
        if len(name) == len(_TIMING) and name.lower() == _TIMING:
            self._timing = value

    def on_headers_complete(self) -> None:
        """Note the status."""
        self._status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        """Keep an error's body; a success is not looked at."""
        if self._status // 100 != _SUCCESS and len(self._error) < _LONGEST_ERROR:
            self._error += body

    def on_message_complete(self) -> None:
        """Count the answer and call again."""
        now = perf_counter()
        if self.began is None:
            return
        if self._status // 100 == _SUCCESS:
            self._tally.answered(now - self.began, self._timing)
        else:
            self._tally.refused(self._status, self._error)
            self._error = b""
        self._timing = b""
        self.began = None
        if self._parser.should_keep_alive():
            self._call()
        else:
            self._transport.close()

    def _call(self) -> None:
        self.began = perf_counter()
        self._transport.write(self._request)

    def _break(self, code: str) -> None:
        self.began = None
        self.good = False
        self._tally.broken(code)
        self._transport.abort()
