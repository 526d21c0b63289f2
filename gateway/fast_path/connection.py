"""uvicorn's HTTP/1.1 protocol, with a fast path for the requests of one route.

ASGI costs a task, a scope, and a coroutine with two messages per response: half of what a fast call
takes in the gateway. Requests of `FastPathApp.fast_route` go from the parser to an `HttpCall` as
function calls, and the response goes to the socket as one piece of bytes. All other requests take
uvicorn's way through ASGI. See docs/adr/0008-fast-path.md.

A keep-alive client repeats its request head byte for byte, but for Content-Length. A head that the
parser has accepted is remembered by its connection; a read that consists of the same head and the
whole body is not parsed again (`_RepeatedHead`). Everything else goes through the parser.
"""

from __future__ import annotations

import select
from asyncio import Transport
from collections.abc import Collection
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

import httptools
from uvicorn.protocols.http.flow_control import FlowControl

from gateway.errors import GatewayError
from gateway.fast_path.clients import UNCOUNTED_BODY_BYTES
from gateway.fast_path.connection_timeouts import BODY, HEAD, IDLE, TimedConnection
from gateway.fast_path.http_call import FastRoute, HttpCall, RequestHead
from gateway.fast_path.request_head import check_single_lines, check_target
from gateway.web.asgi import STREAMED_BODY, App, Message, Receive, Scope, Send
from transport.read_turns import LARGE_READ_BYTES, read_on_in_turn

_MAX_UNUSABLE_BYTES = 64 * 1024
"""That may be read before a head or a part of a body is complete; h11 allows 16 KiB."""
_PIECE_BYTES = 1 << 20
"""Of a body for an ASGI application, which gets it in pieces of about this size."""
_MAX_PIPELINED = 16
"""Requests that may wait in the pipeline. Up to here we keep reading, to notice a disconnect."""
_LOOK_SECONDS = 1.0
"""Between two looks at whether a connection is idle, when the process shuts down."""
_TLS_CLOSE_SECONDS = 1.0
"""That a client has to answer the TLS closure alert when the process shuts down."""
_MAX_HEAD_MISSES = 8
"""Heads in a row that differ from the one before, after which a connection stops comparing."""
_END_OF_HEAD = b"\r\n\r\n"
_CONTENT_LENGTH = b"\r\ncontent-length:"
_MAX_LENGTH_DIGITS = 8


class _RepeatedHead(NamedTuple):
    """A request head as bytes, cut at the value of its Content-Length."""

    route: FastRoute
    whole: bytes
    body_bytes: int
    """The Content-Length in `whole`."""
    before: bytes
    after: bytes
    """What precedes and what follows the value."""
    head: RequestHead

    def body_in(self, data: bytes) -> bytes | None:
        """Return the body if `data` is exactly this head and a whole body, else None."""
        whole = self.whole
        if len(data) == len(whole) + self.body_bytes and data.startswith(whole):
            return data[len(whole) :]
        start = len(self.before)
        end = data.find(b"\r", start, start + _MAX_LENGTH_DIGITS + 1)
        digits = data[start:end]
        if (
            end > 0
            and digits.isdigit()
            and data.startswith(self.before)
            and data.startswith(self.after, end)
        ):
            body_start = end + len(self.after)
            if len(data) - body_start == int(digits):
                return data[body_start:]
        return None


class HttpConnection(TimedConnection):
    """One client's connection."""

    # Any: uvicorn's own arguments
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Any: as `cycle`
        self._current: Any = None  # the request being handled; `cycle` is the one that came last
        self._stalled = False  # nothing is handled: the client does not read its responses
        self._starting_next = False
        self._read_bytes = 0  # bytes of the present read
        self._unusable_bytes = 0  # bytes read since a head or a part of a body was complete
        self._upgrading = False
        self._messages = 0  # requests that began in the present read
        self._repeated: _RepeatedHead | None = None
        self._fast_head: RequestHead | None = None  # of a request that began in the present read
        self._head_misses = 0

    # the connection's events

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Accept a client, which has to send a request soon."""
        super().connection_made(transport)
        self.flow = _FlowControl(transport, self.pipeline)
        if self._app.draining:  # it was accepted just before
            self.shutdown()

    def data_received(self, data: bytes) -> None:
        """Take what the client has sent."""
        repeated, at_boundary = self._repeated, self._phase == IDLE
        if repeated is not None and at_boundary and self._handle_repeated(repeated, data):
            return
        if self._refused:
            self._discard(len(data))
            self._let_others_read(len(data))
            return
        self._read_bytes = len(data)
        self._unusable_bytes += self._read_bytes
        self._messages = 0
        self._fast_head = None
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._parse_without_upgrade(memoryview(data), upgrade.args[0])
        except httptools.HttpParserError:
            self._refuse("Invalid HTTP request received.")
        else:
            if self._phase and not self._refused:
                self._read_ended_within_request()
            if at_boundary:
                self._remember_head(data)
            if self._unusable_bytes > _MAX_UNUSABLE_BYTES:
                self._refuse_flood()
            self._let_others_read(self._read_bytes)

    def _let_others_read(self, read_bytes: int) -> None:
        if (
            read_bytes >= LARGE_READ_BYTES
            and not self.flow.read_paused
            and not self.transport.is_closing()
        ):
            self.transport.pause_reading()
            read_on_in_turn(self.loop, self._read_on)

    def _read_on(self) -> None:
        if not self.flow.read_paused and not self.transport.is_closing():
            self.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop: the client has disconnected, or closed its side, which looks the same."""
        current, self._current = self._current, None
        self.cycle = None if isinstance(current, HttpCall) else current
        super().connection_lost(exc)
        self.pipeline.clear()
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
        if isinstance(current, HttpCall):
            current.lost()

    def resume_reading(self) -> None:
        """Read on, after a call has paused it."""
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def resume_writing(self) -> None:
        """Continue: the client has read what was sent."""
        super().resume_writing()
        if self._stalled:
            self._stalled = False
            self._start_next()

    # heads that repeat

    def _handle_repeated(self, repeated: _RepeatedHead, data: bytes) -> bool:
        """Handle a request with the same head as the one before; False: `data` is not that."""
        cycle, route = self.cycle, repeated.route
        if (
            (cycle is not None and not cycle.response_complete)
            or self._refused
            or self.flow.write_paused
            or route is not self._app.fast_route
            or self.transport.is_closing()
        ):
            return False
        body = repeated.body_in(data)
        if body is None or len(body) > route.max_body_bytes:
            return False
        self._head_misses = self._unusable_bytes = 0
        self.idle_since = 0.0
        self.cycle = self._current = call = route.new_call(self, repeated.head)
        call.begin_complete(body)
        return True

    def _remember_head(self, data: bytes) -> None:
        """Remember the head of the request in `data` if it is the only one there, and complete."""
        head, route = self._fast_head, self._app.fast_route
        if head is None or route is None or self._phase != IDLE or self._messages != 1:
            return
        self._repeated = None
        if self._head_misses > _MAX_HEAD_MISSES:
            return
        self._head_misses += 1
        end = data.find(_END_OF_HEAD) + len(_END_OF_HEAD)
        whole = data[:end]
        folded = whole.lower()
        start = folded.find(_CONTENT_LENGTH) + len(_CONTENT_LENGTH)
        value_end = whole.find(b"\r\n", start)
        value = whole[start:value_end]
        digits = value.strip(b" \t")
        if (
            whole.startswith(b"POST ")
            and start >= len(_CONTENT_LENGTH)
            and _CONTENT_LENGTH not in folded[start:]
            and b"\r\ntransfer-encoding:" not in folded
            and whole[value_end + 2 : value_end + 3] not in (b" ", b"\t")
            and digits.isdigit()
            and int(digits) == len(data) - end
        ):
            cut = start + value.index(digits)
            after = whole[cut + len(digits) :]
            self._repeated = _RepeatedHead(route, whole, len(data) - end, whole[:cut], after, head)

    # the parser's events

    def on_message_begin(self) -> None:
        """Prepare for a request."""
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self._phase = HEAD
        self._since = 0.0
        self._messages += 1

    def on_headers_complete(self) -> None:
        """Send the request down the fast path or through ASGI."""
        read = max(self._unusable_bytes, self._read_bytes)
        self._unusable_bytes = self._body_bytes = 0
        self._phase = BODY
        self._since = 0.0
        if self._refused or self.transport.is_closing():
            return  # the last response has been sent: what follows must not have an effect
        limits = self._app.limits
        if (
            read > limits.max_header_bytes
            or len(self.url) > limits.max_url_bytes
            or len(self.headers) > limits.max_header_count
        ) and (error := self._head_error()) is not None:
            self._reject(error)
            return
        try:
            check_target(self.parser.get_method(), self.url)
            check_single_lines(self.headers, needs_host=self.parser.get_http_version() == "1.1")
        except GatewayError as error:
            self._reject(error)
            return
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._upgrading = True
            return
        self.idle_since = 0.0
        route = self._app.fast_route
        if route is not None and self.parser.get_method() == b"POST":
            url = self.url if self.url.startswith(b"/") else _relative(self.url)
            if url.startswith(route.prefixes) or (b"%" in url and _leads_to(route, url)):
                self._open_call(route, url)
                self.headers = []  # as below
                return
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url = url
        self.headers += headers
        self.expect_100_continue = expects
        super().on_headers_complete()
        if self._app.draining:
            self.cycle.keep_alive = False
        self.headers = []  # for trailers, which are no headers: no proxy has checked them

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body."""
        self._unusable_bytes = 0
        if self._refused:
            return
        self._body_bytes += len(body)
        cycle = self.cycle
        if isinstance(cycle, HttpCall):
            cycle.feed(body)
            if self.pipeline or (
                self._body_bytes > UNCOUNTED_BODY_BYTES
                and not cycle.accepts_body
                and not cycle.response_complete
            ):
                self.flow.pause_reading()  # it waits, and so can the rest of it
        elif not (self._upgrading or cycle.response_complete):
            # Not uvicorn's, which stops reading and wakes the application for each 64 KiB.
            cycle.body += body
            if len(cycle.body) >= _PIECE_BYTES:
                self.flow.pause_reading()
                cycle.message_event.set()

    def on_message_complete(self) -> None:
        """Finish the request."""
        if self._upgrading:
            return
        self._phase = IDLE
        if self._unfinished is not None:
            self._forget_body()
        if self._refused:
            return
        if isinstance(self.cycle, HttpCall):
            self.cycle.end()
        else:
            super().on_message_complete()

    def _open_call(self, route: FastRoute, url: bytes) -> None:
        parser = self.parser
        before = self.cycle
        http_10 = parser.get_http_version() == "1.0"
        head = RequestHead(
            url,
            self.headers,
            keep_alive=not (http_10 or self._app.draining) and parser.should_keep_alive(),
            expects_continue=not http_10 and self.expect_100_continue,
        )
        if head.keep_alive and not head.expects_continue:
            self._fast_head = head
        self.cycle = call = route.new_call(self, head)
        its_turn = before is None or before.response_complete
        if its_turn and not self.flow.write_paused:
            self._current = call
            call.begin()
        else:
            self.pipeline.appendleft((call, self.app))  # type: ignore[arg-type]
            if len(self.pipeline) >= _MAX_PIPELINED:
                self.flow.pause_reading()
            if its_turn:
                self._stalled = True

    # uvicorn's hooks

    # Any: uvicorn's cycle and application
    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._current = cycle
        super()._start_asgi_task(cycle, partial(self._run_asgi, cycle, app))

    async def _run_asgi(
        self,
        cycle: Any,  # as above
        app: App,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Run the application; a response to a request that is still arriving is the last."""

        async def send_last(message: Message) -> None:
            if (
                message["type"] == "http.response.start"
                and cycle is self.cycle
                and self._phase == BODY
            ):
                cycle.keep_alive = False
                cycle.transport = _LingeringTransport(self)
            await send(message)

        scope["extensions"] = {STREAMED_BODY: partial(self._stream_body, cycle)}
        await app(scope, receive, send_last)

    def _stream_body(self, cycle: Any) -> None:  # Any: as above
        """Note that the application does not keep the request's body in memory."""
        if cycle is self.cycle and self._unfinished is not None:
            self._app.clients.bodies.stream(self._unfinished)

    def on_response_complete(self) -> None:
        """Continue with the next request."""
        self.server_state.total_requests += 1
        if not self.transport.is_closing():
            self.idle_since = self.loop.time()
            if not self._starting_next and (self.pipeline or self.flow.read_paused):
                self._start_next()

    def _start_next(self) -> None:
        """Start the next pipelined request, unless the client does not read its responses."""
        self._starting_next = True  # a call that responds at once comes back here: no recursion
        while self.pipeline and not self.transport.is_closing():
            if self.flow.write_paused:
                self._stalled = True
                break
            cycle: Any
            cycle, app = self.pipeline.pop()
            self.idle_since = 0.0
            if isinstance(cycle, HttpCall):
                self._current = cycle
                cycle.begin()
            else:
                self._start_asgi_task(cycle, app)
            if not cycle.response_complete:
                break
        self._starting_next = False
        if self.flow.read_paused and not self.transport.is_closing():
            self.flow.resume_reading()

    def _unset_keepalive_if_required(self) -> None:
        """Do nothing: one timer watches all pauses of the connection, see `_watch`."""

    def shutdown(self) -> None:
        """Close with the next response, or when it has been idle for long enough.

        A client that sends a request while an idle connection is closed gets no answer: it stays
        open for longer than clients usually use one again. Needs `draining` of the application.
        """
        self._repeated = None
        cycle = self.cycle
        answers = cycle is not None and not cycle.response_complete
        if answers and (isinstance(cycle, HttpCall) or not cycle.response_started):
            cycle.keep_alive = False
        else:  # idle, or the client has been told already that the connection stays open
            self.loop.call_later(_LOOK_SECONDS, self._close_if_idle)

    def interrupt(self, error: GatewayError) -> None:
        """Answer what is being handled with `error`, and close: the process ends."""
        cycle = self._current
        if self.transport.is_closing():
            return
        if isinstance(cycle, HttpCall):
            cycle.keep_alive = False
            cycle.reject(error)
        elif cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
            if not cycle.response_started:
                self._write_error(error, v2=cycle.scope["path"].startswith("/v2/"))
        self.transport.close()

    def _close_if_idle(self) -> None:
        """Close if it has been idle for long enough; else look again.

        An idle client does not read the TLS closure alert, and so does not answer it.
        """
        if self.transport.is_closing():
            return
        handled = self.cycle is not None and not self.cycle.response_complete
        left = self.idle_since + self._app.idle_seconds - self.loop.time()
        if handled or self._phase != IDLE or self._has_unread():
            left = _LOOK_SECONDS  # the response to what has come is the last
        if left > 0:
            self.loop.call_later(min(left, _LOOK_SECONDS), self._close_if_idle)
            return
        self.transport.close()
        if self.scheme == "https":
            self.loop.call_later(_TLS_CLOSE_SECONDS, self._abort_if_drained)

    def _has_unread(self) -> bool:
        """Whether the kernel has something of the client's that the event loop has not read yet.

        On a busy machine it may be a while. To close would reset the connection.
        """
        unread = select.poll()
        unread.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(unread.poll(0))

    def _abort_if_drained(self) -> None:
        if not self.transport.get_write_buffer_size():  # else the client has something to read
            self.transport.abort()

    # what is not a usual request

    def _parse_without_upgrade(self, data: memoryview, start: int) -> None:
        """Parse a request for an upgrade again as one without, and everything behind it.

        The parser stops after its head. Java's client asks with every request; and where a proxy
        has read a body, the body must not be parsed as requests.
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

    def _refuse_flood(self) -> None:
        """Refuse a client that has sent much, and no request or part of one."""
        if self._refused or self.transport.is_closing():
            return
        if self._phase != HEAD:
            self._refuse("Too much received that is no request yet.")
        elif self._unusable_bytes > _MAX_UNUSABLE_BYTES + self._app.limits.max_header_bytes:
            self._reject(self._headers_too_large())

    def _refuse(self, message: str) -> None:
        if self._refused:
            return
        self.logger.warning(message)
        self.send_400_response(message)


class _FlowControl(FlowControl):
    """Reads no further requests while many wait in the pipeline.

    uvicorn reads on after every response, so that a client which sends faster than it is answered
    fills memory. Nothing waits for what is not read: all requests but the last are complete.
    """

    def __init__(self, transport: Transport, pipeline: Collection[object]) -> None:
        super().__init__(transport)
        self._pipeline = pipeline

    def resume_reading(self) -> None:
        """Read on, unless the pipeline is full."""
        if len(self._pipeline) < _MAX_PIPELINED:
            super().resume_reading()


class _LingeringTransport:
    """The transport of a response whose request is still arriving, as uvicorn's cycle uses it."""

    def __init__(self, connection: HttpConnection) -> None:
        self.write = connection.transport.write
        self.is_closing = connection.transport.is_closing
        self.close = connection.close_when_read


def _leads_to(route: FastRoute, url: bytes) -> bool:
    """Whether `url` is a path of the route, percent-encoded: uvicorn would decode it, too."""
    return unquote_to_bytes(url.partition(b"?")[0]).startswith(route.prefixes)


def _relative(url: bytes) -> bytes:
    """Return what follows the host in `http://host/path?query`, which proxies send."""
    parsed = httptools.parse_url(url)
    return (parsed.path or b"/") + (b"?" + parsed.query if parsed.query else b"")
