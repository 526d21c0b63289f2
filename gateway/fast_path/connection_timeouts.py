"""A client's connection that takes no longer, and no more, than it may.

One timer looks after a connection: it runs for as long as the connection may be idle, and is set to
go off sooner where a read ends within a request. A request that comes in one piece costs nothing.
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
_SHARE = 100
"""One hundredth of the connections makes room at a time: to find them costs something."""


class FastPathApp(Protocol):
    """The application, which says what does not pass through it."""

    fast_route: FastRoute | None
    """Requests that take the short way; None as long as there is nobody to answer them."""
    limits: ConnectionLimits


class TimedConnection(HttpToolsProtocol):
    """uvicorn's connection, with deadlines."""

    # Any: uvicorn's own arguments
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._app = cast("FastPathApp", self.config.app)
        # Any: one of uvicorn's cycles, or an Exchange in the place of one
        self.cycle: Any = None
        self.idle_since = 0.0
        """When the last request was answered; 0: one is being answered."""
        self._phase = IDLE
        self._since = 0.0  # 0: the present phase has begun with the present read
        self._body_bytes = 0
        self._refused = False  # nothing of what follows is read
        self._due = 0.0
        self._unread = 0  # bytes of answers that the client had not taken when that was looked at
        self._unread_since = 0.0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """A client has come; it is to send a request soon."""
        super().connection_made(transport)
        self.idle_since = self.loop.time()
        self._watch(self.timeout_keep_alive)
        if len(self.connections) > self._app.limits.max_connections and not self._make_room():
            message = "the gateway keeps as many connections as it may: try again in a moment"
            error = GatewayError(ErrorCode.TOO_MANY_CONNECTIONS, message, retry_after=1)
            self._reject(error)

    def pause_writing(self) -> None:
        """The client does not take its answers as fast as they come."""
        super().pause_writing()
        self._unread, self._unread_since = 0, self.loop.time()
        self._look_within(self._app.limits.stall_seconds)

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection if something takes too long, or look again when it may."""
        if self.transport.is_closing():
            return
        now = self.loop.time()
        if self.idle_since and now - self.idle_since >= self.timeout_keep_alive:
            super().timeout_keep_alive_handler()
            return
        left = self.timeout_keep_alive - (now - self.idle_since if self.idle_since else 0.0)
        if self._phase and self._since:
            arrives = self._arrival_left(now)
            if arrives <= 0:
                self._cut_off()
                return
            left = min(left, arrives)
        if self.flow.write_paused:
            takes = self._taking_left(now)
            if takes <= 0:
                self.transport.abort()
                return
            left = min(left, takes)
        self._watch(left)

    # for the connection

    def _began_within_read(self) -> None:
        """The read has ended within a request: from now on, the rest of it is waited for."""
        self._since = self.loop.time()
        limits = self._app.limits
        seconds = limits.header_seconds if self._phase == HEAD else limits.body_seconds
        self._look_within(seconds)

    def _fault_of_head(self) -> GatewayError | None:
        """Return what is wrong with a head, if anything is."""
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
        """Answer what has not become a request, and close."""
        self._refused = True
        status, headers, body = problem(error, _REQUEST_ID)
        head = head_of(status, headers, body)
        self.transport.write(b"%bconnection: close\r\n\r\n%b" % (head, body))
        self.transport.close()

    def _watch(self, seconds: float) -> None:
        self._due = self.loop.time() + seconds
        self.timeout_keep_alive_task = self.loop.call_later(
            seconds, self.timeout_keep_alive_handler
        )

    def _look_within(self, seconds: float) -> None:
        if self._due > self.loop.time() + seconds:
            if self.timeout_keep_alive_task is not None:
                self.timeout_keep_alive_task.cancel()
            self._watch(seconds)

    def _arrival_left(self, now: float) -> float:
        """Return the seconds that the present request may take to arrive."""
        limits, cycle = self._app.limits, self.cycle
        answering = cycle is not None and not cycle.response_complete
        if self.flow.read_paused or (self._phase == HEAD and answering):
            self._since = now  # it is we who do not read, or who are not through with the last one
        if self._phase == HEAD:
            return self._since + limits.header_seconds - now
        earned = self._body_bytes / limits.bytes_per_second
        return self._since + limits.body_seconds + earned - now

    def _taking_left(self, now: float) -> float:
        """Return the seconds within which the client has to take something of what was sent."""
        unread = self.transport.get_write_buffer_size()
        if unread != self._unread:
            self._unread, self._unread_since = unread, now
        return self._unread_since + self._app.limits.stall_seconds - now

    def _cut_off(self) -> None:
        """Give a request up that does not arrive; its client is told, where that can be."""
        limits, cycle = self._app.limits, self.cycle
        what = "headers" if self._phase == HEAD else "body"
        seconds = limits.header_seconds if self._phase == HEAD else limits.body_seconds
        message = f"the request's {what} did not arrive in time: {seconds:g} s are given for it"
        error = GatewayError(ErrorCode.REQUEST_TIMEOUT, message)
        if self._phase == BODY and type(cycle) is HttpCall:
            self._refused = True
            cycle.keep_alive = False
            cycle.cut_off(error)
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

    def _make_room(self) -> bool:
        """Close those connections that have been idle for the longest; False: none is."""
        others = [
            one for one in self.connections if one is not self and isinstance(one, TimedConnection)
        ]
        idle = [one for one in others if one.idle_since and not one.transport.is_closing()]
        for one in nsmallest(len(others) // _SHARE + 1, idle, key=lambda one: one.idle_since):
            one.transport.close()
        return bool(idle)
