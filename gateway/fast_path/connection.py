"""uvicorn's HTTP/1.1 protocol, with a fast path for the requests of one route.

ASGI costs a task, a scope, and a coroutine with two messages per response: half of what a fast call
takes in the gateway. Requests of `FastPathApp.fast_route` go from the parser to their handler as
function calls, and the response goes to the socket as one piece of bytes. All other requests take
uvicorn's way through ASGI. See docs/adr/0008-fast-path.md.
"""

from __future__ import annotations

from asyncio import Transport
from collections.abc import Collection
from typing import Any
from urllib.parse import unquote_to_bytes

import httptools
from uvicorn.protocols.http.flow_control import FlowControl

from gateway.fast_path.connection_timeouts import BODY, HEAD, IDLE, TimedConnection
from gateway.fast_path.http_call import FastRoute, HttpCall

_MOST_BARREN_BYTES = 64 * 1024
"""That may be read without a head or a part of a body becoming complete; h11 allows 16 KiB."""
_MOST_WAITING = 16
"""Requests that may wait for their turn, and more be read: a client's leaving is noticed then."""
_GOODBYE_SECONDS = 1.0
"""That a client has to answer TLS's when the process ends."""


class HttpConnection(TimedConnection):
    """One client's connection."""

    # Any: uvicorn's own arguments
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Any: as `cycle`
        self._current: Any = None  # the last that had its turn; `cycle` is the last that came
        self._stalled = False  # nothing is being answered, for the client does not read
        self._going_on = False
        self._read = 0  # bytes of the present read
        self._barren = 0  # bytes read since a head or a part of a body was complete
        self._upgrading = False

    # the parser's events

    def on_message_begin(self) -> None:
        """A request begins."""
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self._phase = HEAD
        self._since = 0.0

    def on_headers_complete(self) -> None:
        """Choose the way."""
        read = self._barren if self._barren > self._read else self._read
        self._barren = self._body_bytes = 0
        self._phase = BODY
        self._since = 0.0
        if self.transport.is_closing():
            return  # the last answer has been given: what follows must not be acted upon
        limits = self._app.limits
        if (
            read > limits.max_header_bytes
            or len(self.url) > limits.max_url_bytes
            or len(self.headers) > limits.max_header_count
        ) and (fault := self._fault_of_head()) is not None:
            self._reject(fault)
            return
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._upgrading = True
            return
        self.idle_since = 0.0
        route = self._app.fast_route
        if route is not None and self.parser.get_method() == b"POST":
            url = self.url if self.url.startswith(b"/") else _relative(self.url)
            if url.startswith(route.prefix) or (b"%" in url and _leads_to(route, url)):
                self._take_short_way(route, url)
                self.headers = []  # as below
                return
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url = url
        self.headers += headers
        self.expect_100_continue = expects
        super().on_headers_complete()
        self.headers = []  # of trailers: they are no headers, and no proxy has looked at them

    def on_body(self, body: bytes) -> None:
        """A piece of a body has come."""
        self._barren = 0
        if self._refused:
            return
        self._body_bytes += len(body)
        if type(self.cycle) is HttpCall:
            self.cycle.feed(body)
            if self.pipeline:
                self.flow.pause_reading()  # it waits for its turn, and so can the rest of it
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is complete."""
        if self._upgrading:
            return
        self._phase = IDLE
        if self._refused:
            return
        if type(self.cycle) is HttpCall:
            self.cycle.end()
        else:
            super().on_message_complete()

    # the connection's events

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """A client has come; it is to send a request soon."""
        super().connection_made(transport)
        self.flow = _Flow(transport, self.pipeline)

    def data_received(self, data: bytes) -> None:
        """Take what the client sends."""
        if self._refused:
            return
        self._read = len(data)
        self._barren += self._read
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._read_on(memoryview(data), upgrade.args[0])
        except httptools.HttpParserError:
            self._refuse("Invalid HTTP request received.")
        else:
            if self._phase and not self._since:
                self._began_within_read()
            if self._barren > _MOST_BARREN_BYTES:
                self._give_up()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone, or has closed its side, which looks the same."""
        current, self._current = self._current, None
        self.cycle = None if type(current) is HttpCall else current
        super().connection_lost(exc)
        self.pipeline.clear()
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
        if type(current) is HttpCall:
            current.lost()

    def resume_writing(self) -> None:
        """The client has taken what was sent."""
        super().resume_writing()
        if self._stalled:
            self._stalled = False
            self._go_on()

    def _read_on(self, data: memoryview, start: int) -> None:
        """Read a request for an upgrade again, as one that does not ask for it, and what follows.

        The parser stops after its head. Java's client asks with every request; and where a proxy
        has read a body, what it holds must not be taken for requests.
        """
        try:
            while self._upgrading:
                self._upgrading = False
                head = self._head_without_upgrade()
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
                self.parser.feed_data(head)
                data = data[start:]
                try:
                    self.parser.feed_data(data)
                except httptools.HttpParserUpgrade as upgrade:
                    start = upgrade.args[0]
        except httptools.HttpParserError:
            self._refuse("Invalid HTTP request received.")

    def _head_without_upgrade(self) -> bytes:
        parser = self.parser
        version = parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (parser.get_method(), self.url, version)]
        lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    def _give_up(self) -> None:
        """Refuse a client that has sent much, and nothing that is a request or a part of one."""
        if self._refused or self.transport.is_closing():
            return
        if self._phase != HEAD:
            self._refuse("Too much received that is no request yet.")
        elif self._barren > _MOST_BARREN_BYTES + self._app.limits.max_header_bytes:
            self._reject(self._headers_too_large())

    def _refuse(self, message: str) -> None:
        self.logger.warning(message)
        self.send_400_response(message)

    # uvicorn's hooks

    def _take_short_way(self, route: FastRoute, url: bytes) -> None:
        parser = self.parser
        before = self.cycle
        http_10 = parser.get_http_version() == "1.0"
        self.cycle = exchange = HttpCall(
            route,
            url,
            self.headers,
            self.transport,
            keep_alive=not http_10 and parser.should_keep_alive(),
            expects_continue=not http_10 and self.expect_100_continue,
            on_complete=self.on_response_complete,
        )
        its_turn = before is None or before.response_complete
        if its_turn and not self.flow.write_paused:
            self._current = exchange
            exchange.begin()
        else:
            self.pipeline.appendleft((exchange, self.app))  # type: ignore[arg-type]
            if len(self.pipeline) >= _MOST_WAITING:
                self.flow.pause_reading()
            if its_turn:
                self._stalled = True

    # Any: uvicorn's cycle and application
    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._current = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """A request is answered: go on to the next one."""
        self.server_state.total_requests += 1
        if not self.transport.is_closing():
            self.idle_since = self.loop.time()
            if not self._going_on:
                self._go_on()

    def _go_on(self) -> None:
        """Begin the next pipelined request, unless the client does not read its answers."""
        self._going_on = True  # whatever is answered at once comes back here: a loop, no recursion
        while self.pipeline and not self.transport.is_closing():
            if self.flow.write_paused:
                self._stalled = True
                break
            cycle: Any
            cycle, app = self.pipeline.pop()
            self.idle_since = 0.0
            if type(cycle) is HttpCall:
                self._current = cycle
                cycle.begin()
            else:
                self._start_asgi_task(cycle, app)
            if not cycle.response_complete:
                break
        self._going_on = False
        if self.flow.read_paused and not self.transport.is_closing():
            self.flow.resume_reading()

    def _unset_keepalive_if_required(self) -> None:
        """Nothing: one timer looks after all pauses of the connection, see `_watch`."""

    def shutdown(self) -> None:
        """Close as soon as nothing is being answered.

        A client that is idle does not read TLS's goodbye, and so does not answer it.
        """
        super().shutdown()
        if self.transport.is_closing() and self.scheme == "https":
            self.loop.call_later(_GOODBYE_SECONDS, self._leave)

    def _leave(self) -> None:
        if not self.transport.get_write_buffer_size():  # else there is something to be read still
            self.transport.abort()


class _Flow(FlowControl):
    """Reads no more requests as long as many wait for their turn, whoever asks for it.

    uvicorn reads on after every answer, so that who sends faster than he is answered fills memory.
    Nothing waits for what is not read: of the requests before the last, all has come.
    """

    def __init__(self, transport: Transport, pipeline: Collection[object]) -> None:
        super().__init__(transport)
        self._pipeline = pipeline

    def resume_reading(self) -> None:
        """Read on, if not much waits."""
        if len(self._pipeline) < _MOST_WAITING:
            super().resume_reading()


def _leads_to(route: FastRoute, url: bytes) -> bool:
    """Whether it is the route's path in other letters: uvicorn would decode it, too."""
    return unquote_to_bytes(url.partition(b"?")[0]).startswith(route.prefix)


def _relative(url: bytes) -> bytes:
    """Return what follows the host in `http://host/path?query`, which proxies send."""
    parsed = httptools.parse_url(url)
    return (parsed.path or b"/") + (b"?" + parsed.query if parsed.query else b"")
