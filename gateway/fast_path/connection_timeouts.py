"""Limits on what a client's connection may cost in time and bytes.

One timer watches a connection: it runs for as long as the connection may be idle, and is set to
fire sooner where a read ends within a request. A request that arrives in one piece costs nothing.

A request that is answered before its body is complete ends its connection. Closed at once, the
unread bytes would make the kernel reset it, and the client could lose the response. So the
connection lingers: for a moment it discards what arrives, up to a limit (`close_when_read`).
"""

from __future__ import annotations

from asyncio import Transport
from heapq import nsmallest
from typing import Any, Protocol, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.errors import GatewayError
from gateway.fast_path.clients import (
    ADDRESS_BODIES,
    ADDRESS_CONNECTIONS,
    BODY_MEMORY,
    CONNECTIONS,
    UNCOUNTED_BODY_BYTES,
    Clients,
    UnfinishedBody,
)
from gateway.fast_path.http_call import FastRoute, HttpCall, head_of
from gateway.web.connection_limits import ConnectionLimits
from gateway.web.problems import problem, v2_error
from protos.errors import ErrorCode

IDLE, HEAD, BODY = 0, 1, 2
"""Where in a request a connection is."""

_REQUEST_ID = b"req_unread"
_CLOSED_SHARE = 100
"""One in so many connections is closed to admit new ones: finding the idle ones takes time."""
_LINGER_SECONDS = 2.0
"""That a client has to read a response while it still sends its request."""
_MAX_DISCARDED_BYTES = 2**20
"""Of such a request: many clients send all of it before they read."""
_REASONS = {
    ErrorCode.OVERLOADED: ADDRESS_BODIES,
    ErrorCode.BODY_MEMORY_EXHAUSTED: BODY_MEMORY,
}


class FastPathApp(Protocol):
    """The application of a connection."""

    fast_route: FastRoute | None
    """Requests that bypass ASGI; None until the gateway has started."""
    limits: ConnectionLimits
    clients: Clients
    draining: bool
    """Each connection gets one more response at most."""
    idle_seconds: float
    """How long a connection has been idle when it may be closed, while the process drains."""


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
        self._counted_as = ""  # the client among others; empty: not at all
        self._unfinished: UnfinishedBody | None = None  # the present body, if it came in parts
        self._linger_until = 0.0  # 0: the connection does not linger
        self._discarded_bytes = 0
        self._timer_due = 0.0
        self._unread = 0  # bytes of responses that the client had not read at the last look
        self._unread_since = 0.0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Accept a client, which has to send a request soon."""
        super().connection_made(transport)
        self.idle_since = self.loop.time()
        self._watch(self.timeout_keep_alive)
        clients, limits = self._app.clients, self._app.limits
        own = self._counted_as = clients.connect(self.client[0] if self.client else "")
        if clients.connections_of(own) > limits.max_connections_per_address:
            if not self._close_idle_connections(own):
                self._turn_away("this address has", ADDRESS_CONNECTIONS)
        elif len(self.connections) > limits.max_connections and not self._close_idle_connections():
            self._turn_away("the gateway has", CONNECTIONS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Count the connection no longer."""
        self._forget_body()
        self._app.clients.disconnect(self._counted_as)
        super().connection_lost(exc)

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
        if self._linger_until:
            self._end_lingering(now)
            return
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

    def close_when_read(self) -> None:
        """Read nothing more, and close when the client has had time to read the response."""
        self._refused = True
        self._phase = IDLE
        self._forget_body()
        if self._linger_until or self.transport.is_closing():
            return
        self.idle_since = self.loop.time()  # closed sooner if a new connection needs its place
        self._linger_until = self.idle_since + _LINGER_SECONDS
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._watch_within(_LINGER_SECONDS)
        self.flow.resume_reading()  # to see that the client closes

    def give_up(self, error: GatewayError) -> None:
        """End the request that is arriving, with a response where one is possible."""
        cycle, reason = self.cycle, _REASONS.get(error.code)
        if reason is not None:
            self._app.clients.on_refusal(reason)
        if self._phase != BODY:
            self._reject(error)
        elif self.pipeline:  # the responses before it are still missing
            self._refused = True
            self._forget_body()
            self.transport.close()
        elif isinstance(cycle, HttpCall):
            cycle.keep_alive = False
            cycle.reject(error)
            self.close_when_read()
        else:
            answered = cycle.response_started
            if not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
            if answered:
                self._refused = True
                self._forget_body()
                self.transport.close()
            else:
                self._reject(error)

    # for the connection

    def _count_body(self) -> None:
        """Count a body of which the present read has brought a part and not the end."""
        bodies, limits = self._app.clients.bodies, self._app.limits
        try:
            if self._unfinished is None:
                address = self._counted_as or self._forwarded_address()
                self._unfinished = bodies.add(self, address, limits.max_bodies_per_address)
            if self._body_bytes > UNCOUNTED_BODY_BYTES:
                bodies.resize(self._unfinished, self._body_bytes, limits.max_unfinished_bytes)
        except GatewayError as error:
            self.give_up(error)

    def _forwarded_address(self) -> str:
        """Return the client of the present request, which came through a trusted proxy.

        Empty for a Unix socket.
        """
        if self.client is None:
            return ""
        cycle = self.cycle
        headers = cycle.head.lines if isinstance(cycle, HttpCall) else self.scope["headers"]
        return self._app.clients.address(self.client[0], headers)

    def _forget_body(self) -> None:
        body, self._unfinished = self._unfinished, None
        if body is not None:
            self._app.clients.bodies.remove(body)

    def _discard(self, size: int) -> None:
        """Take `size` bytes that arrived while the connection lingers."""
        self._discarded_bytes += size
        if self._discarded_bytes > _MAX_DISCARDED_BYTES:
            self.flow.pause_reading()

    def _end_lingering(self, now: float) -> None:
        if now < self._linger_until:
            self._watch(self._linger_until - now)
        elif self.transport.get_write_buffer_size():
            self.transport.close()  # when it has been sent
        else:
            self.transport.abort()

    def _read_ended_within_request(self) -> None:
        """Watch for the rest of a request of which a read has brought a part."""
        if not self._since:
            self._since = self.loop.time()
            limits = self._app.limits
            seconds = limits.header_seconds if self._phase == HEAD else limits.body_seconds
            self._watch_within(seconds)
        if self._phase == BODY:
            self._count_body()

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
        """Respond to an incomplete or invalid request, and end the connection."""
        self._write_error(error)
        self.close_when_read()

    def _turn_away(self, who: str, reason: str) -> None:
        """Refuse a new connection, of which there are too many, and close it at once."""
        message = f"{who} as many connections as it may: try again in a moment"
        self._write_error(GatewayError(ErrorCode.TOO_MANY_CONNECTIONS, message, retry_after=1))
        self._refused = True
        self._app.clients.on_refusal(reason)
        self.transport.close()

    def _write_error(self, error: GatewayError, *, v2: bool = False) -> None:
        v2 = v2 or (self._phase == BODY and self.url.startswith(b"/v2/"))
        status, headers, body = v2_error(error) if v2 else problem(error, _REQUEST_ID)
        head = head_of(status, headers, body)
        self.transport.write(b"%bconnection: close\r\n\r\n%b" % (head, body))

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
        """Give up on a request that does not arrive."""
        limits = self._app.limits
        what = "headers" if self._phase == HEAD else "body"
        seconds = limits.header_seconds if self._phase == HEAD else limits.body_seconds
        message = f"the request's {what} did not arrive in time: {seconds:g} s are given for it"
        self.give_up(GatewayError(ErrorCode.REQUEST_TIMEOUT, message))

    def _close_idle_connections(self, counted_as: str = "") -> bool:
        """Close the connections that have been idle for the longest; return whether any were.

        Only those of one client, if it is given.
        """
        others = [
            one
            for one in self.connections
            if one is not self
            and isinstance(one, TimedConnection)
            and (not counted_as or one._counted_as == counted_as)  # noqa: SLF001 - of this class
        ]
        idle = [one for one in others if one.idle_since and not one.transport.is_closing()]
        count = len(others) // _CLOSED_SHARE + 1
        for one in nsmallest(count, idle, key=lambda one: one.idle_since):
            one.transport.close()
        return bool(idle)
