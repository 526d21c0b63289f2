"""One HTTP/1.1 connection of the load generator."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import cast

import httptools

from slipstream.bench.samples import Samples

_SERVER_TIMING = b"server-timing"
_RETRY_AFTER = b"retry-after"
_SUCCESS = 2
_MAX_ERROR_BYTES = 64 * 1024
"""How much of an error's body is kept; the error code is within it."""


class LoadConnection(asyncio.Protocol):
    """A keep-alive connection with at most one call in flight.

    Attributes:
        started_at: `perf_counter()` from which the call in flight is timed; None between calls.
        idle_since: `perf_counter()` of the last answer.
        is_open: False once the connection has ended.
        healthy: False once a call was lost or an answer was malformed.
    """

    def __init__(
        self,
        samples: Samples,
        on_idle: Callable[[LoadConnection], None],
        closed: asyncio.Future[None],
    ) -> None:
        """Call `on_idle` whenever a call can be sent; resolve `closed` when the connection ends."""
        self.started_at: float | None = None
        self.idle_since = 0.0
        self.is_open = True
        self.healthy = True
        self._samples = samples
        self._on_idle = on_idle
        self._closed = closed
        self._parser = httptools.HttpResponseParser(self)
        self._status = 0
        self._server_timing = b""
        self._retry_after = False
        self._error_body = b""

    def send(self, request: bytes, started_at: float) -> None:
        """Send a call that is timed from `started_at`."""
        self.started_at = started_at
        self._transport.write(request)

    def close(self) -> None:
        """Close without counting the call in flight."""
        self.started_at = None
        self.is_open = False
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Report the new connection as idle."""
        self._transport = cast("asyncio.Transport", transport)
        self._on_idle(self)

    def data_received(self, data: bytes) -> None:
        """Parse part of a response."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail("malformed_answer")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's name
        """Count the call that was in flight as failed."""
        self.is_open = False
        if self.started_at is not None:
            self._fail("connection_lost")
        if not self._closed.done():
            self._closed.set_result(None)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep Server-Timing, and note Retry-After. Lengths first: most headers differ there."""
        if len(name) == len(_SERVER_TIMING):
            if name.lower() == _SERVER_TIMING:
                self._server_timing = value
        elif len(name) == len(_RETRY_AFTER) and name.lower() == _RETRY_AFTER:
            self._retry_after = True

    def on_headers_complete(self) -> None:
        """Read the status."""
        self._status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        """Keep an error's body; a successful one is ignored."""
        if self._status // 100 != _SUCCESS and len(self._error_body) < _MAX_ERROR_BYTES:
            self._error_body += body

    def on_message_complete(self) -> None:
        """Count the response; the connection is idle again."""
        now = perf_counter()
        if self.started_at is None:
            return
        if self._status // 100 == _SUCCESS:
            self._samples.add_success(now - self.started_at, self._server_timing)
        else:
            self._samples.add_error(self._status, self._error_body, retry_after=self._retry_after)
            self._error_body = b""
            self._retry_after = False
        self._server_timing = b""
        self.started_at = None
        if self._parser.should_keep_alive():
            self.idle_since = now
            self._on_idle(self)
        else:
            self._transport.close()

    def _fail(self, code: str) -> None:
        self.started_at = None
        self.healthy = False
        self._samples.add_connection_failure(code)
        self._transport.abort()
