"""Limits on what a client's connection may cost in time and bytes.

One timer watches a connection: it runs for as long as the connection may be idle, and is set to
fire sooner where a read ends within a request. A request that arrives in one piece costs nothing.
"""

from __future__ import annotations

from asyncio import Transport
from heapq import nsmallest
from typing import Any, Protocol, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.errors import GatewayError
from gateway.fast_path.http_call import FastRoute, HttpCall, head_of
from gateway.web.connection_limits import ConnectionLimits
from gateway.web.problems import problem
from protos.errors import ErrorCode

IDLE, HEAD, BODY = 0, 1, 2
"""Where in a request a connection is."""

_REQUEST_ID = b"req_unread"
_CLOSED_SHARE = 100
"""One in so many connections is closed to admit new ones: finding the idle ones takes time."""


class FastPathApp(Protocol):
    """The application of a connection."""

    fast_route: FastRoute | None
    """Requests that bypass ASGI; None until the gateway has started."""
    limits: ConnectionLimits


class TimedConnection(HttpToolsProtocol):
    """uvicorn's connection, with deadlines."""

    # Any: uvicorn's own arguments
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._app = cast("FastPathApp", self.config.app)
        # Any: one of uvicorn's cycles, or an HttpCall in its place
        self.cycle: Any = None
        self.idle_since = 0.0
        """When the last request was answered; 0: a request is being handled."""
        self._phase = IDLE
        self._since = 0.0  # 0: the present phase has begun with the present read
        self._body_bytes = 0
        self._refused = False  # nothing that follows is read
        self._timer_due = 0.0
        self._unread = 0  # bytes of responses that the client had not read at the last look
        self._unread_since = 0.0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Accept a client, which has to send a request soon."""
        super().connection_made(transport)
        self.idle_since = self.loop.time()
        self._watch(self.timeout_keep_alive)
        too_many = len(self.connections) > self._app.limits.max_connections
        if too_many and not self._close_idle_connections():
            message = "the gateway has as many connections as it may: try again in a moment"
            error = GatewayError(ErrorCode.TOO_MANY_CONNECTIONS, message, retry_after=1)
            self._reject(error)

    def pause_writing(self) -> None:
        """Note that the client reads its responses more slowly than they are sent."""
        super().pause_writing()
        self._unread, self._unread_since = 0, self.loop.time()
        self._watch_within(self._app.limits.stall_seconds)

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection if something takes too long, or set the timer again."""
        if self.transport.is_closing():
            return
        now = self.loop.time()
        if self.idle_since and now - self.idle_since >= self.timeout_keep_alive:
            super().timeout_keep_alive_handler()
            return
        left = self.timeout_keep_alive - (now - self.idle_since if self.idle_since else 0.0)
        if self._phase and self._since:
            arrival_left = self._arrival_left(now)
            if arrival_left <= 0:
                self._time_out_request()
                return
            left = min(left, arrival_left)
        if self.flow.write_paused:
            stall_left = self._stall_left(now)
            if stall_left <= 0:
                self.transport.abort()
                return
            left = min(left, stall_left)
        self._watch(left)

    # for the connection

    def _began_within_read(self) -> None:
        """Watch for the rest of a request of which a read has brought the beginning."""
        self._since = self.loop.time()
        limits = self._app.limits
        seconds = limits.header_seconds if self._phase == HEAD else limits.body_seconds
        self._watch_within(seconds)

    def _head_error(self) -> GatewayError | None:
        """Return which limit a request head exceeds, if any."""
        limits = self._app.limits
        if len(self.url) > limits.max_url_bytes:
            message = f"the URL: expected at most {limits.max_url_bytes} bytes, got {len(self.url)}"
            return GatewayError(ErrorCode.URL_TOO_LONG, message)
        count = len(self.headers)
        if count > limits.max_header_count:
            message = f"expected at most {limits.max_header_count} headers, got {count}"
            return GatewayError(ErrorCode.HEADERS_TOO_LARGE, message)
        size = sum(len(name) + len(value) for name, value in self.headers)
        return self._headers_too_large() if size > limits.max_header_bytes else None

    def _headers_too_large(self) -> GatewayError:
        message = f"the headers: expected at most {self._app.limits.max_header_bytes} bytes"
        return GatewayError(ErrorCode.HEADERS_TOO_LARGE, message)

    def _reject(self, error: GatewayError) -> None:
        """Respond to an incomplete or invalid request, and close the connection."""
        self._refused = True
        status, headers, body = problem(error, _REQUEST_ID)
        head = head_of(status, headers, body)
        self.transport.write(b"%bconnection: close\r\n\r\n%b" % (head, body))
        self.transport.close()

    def _watch(self, seconds: float) -> None:
        self._timer_due = self.loop.time() + seconds
        self.timeout_keep_alive_task = self.loop.call_later(
            seconds, self.timeout_keep_alive_handler
        )

    def _watch_within(self, seconds: float) -> None:
        if self._timer_due > self.loop.time() + seconds:
            if self.timeout_keep_alive_task is not None:
                self.timeout_keep_alive_task.cancel()
            self._watch(seconds)

    def _arrival_left(self, now: float) -> float:
        """Return the seconds that the rest of the present request may take to arrive."""
        limits, cycle = self._app.limits, self.cycle
        answering = cycle is not None and not cycle.response_complete
        if self.flow.read_paused or (self._phase == HEAD and answering):
            self._since = now  # we do not read, or have not answered the previous request yet
        if self._phase == HEAD:
            return self._since + limits.header_seconds - now
        earned = self._body_bytes / limits.bytes_per_second
        return self._since + limits.body_seconds + earned - now

    def _stall_left(self, now: float) -> float:
        """Return the seconds left for the client to read a part of the response."""
        unread = self.transport.get_write_buffer_size()
        if unread != self._unread:
            self._unread, self._unread_since = unread, now
        return self._unread_since + self._app.limits.stall_seconds - now

    def _time_out_request(self) -> None:
        """Give up on a request that does not arrive, with a response where one is possible."""
        limits, cycle = self._app.limits, self.cycle
        what = "headers" if self._phase == HEAD else "body"
        seconds = limits.header_seconds if self._phase == HEAD else limits.body_seconds
        message = f"the request's {what} did not arrive in time: {seconds:g} s are given for it"
        error = GatewayError(ErrorCode.REQUEST_TIMEOUT, message)
        if self._phase == BODY and isinstance(cycle, HttpCall):
            self._refused = True
            cycle.keep_alive = False
            cycle.reject(error)
            self.transport.close()
            return
        if self._phase == BODY:
            answered = cycle.response_started
            if not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
            if answered:
                self._refused = True
                self.transport.close()
                return
        self._reject(error)

    def _close_idle_connections(self) -> bool:
        """Close the connections that have been idle for the longest; return whether any were."""
        others = [
            one for one in self.connections if one is not self and isinstance(one, TimedConnection)
        ]
        idle = [one for one in others if one.idle_since and not one.transport.is_closing()]
        count = len(others) // _CLOSED_SHARE + 1
        for one in nsmallest(count, idle, key=lambda one: one.idle_since):
            one.transport.close()
        return bool(idle)
