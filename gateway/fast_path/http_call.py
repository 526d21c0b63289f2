"""An HTTP request and its response without ASGI: what a request on the fast path costs is here."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Protocol
from urllib.parse import unquote_to_bytes

from gateway.errors import GatewayError
from gateway.ids import new_id, request_id_of
from gateway.web.asgi import too_large
from gateway.web.problems import Headers, problem
from protos.errors import ErrorCode

_STATUS_LINES = {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status.value, status.phrase.encode())
    for status in HTTPStatus
} | {499: b"HTTP/1.1 499 Client Closed Request\r\n"}
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_JOINED_ON_LOOP_BYTES = 1 << 20
"""Larger bodies are joined on a thread: tens of megabytes take long, without the interpreter's
lock."""
_MAX_COPIED_BYTES = 64 * 1024
"""A response body up to this size is copied behind its head: one write, and one packet."""
_MAX_UNREAD_BYTES = 64 * 1024
"""The rest of a body up to this size is read behind its response; else the connection closes."""


class RequestHead:
    """Target and headers of a request; shared by requests that repeat them byte for byte."""

    __slots__ = ("expects_continue", "headers", "keep_alive", "lines", "resolution", "url")

    def __init__(
        self, url: bytes, lines: Headers, *, keep_alive: bool, expects_continue: bool
    ) -> None:
        self.url = url
        """The target, from its path on."""
        self.lines = lines
        """All header lines, names in lower case."""
        self.headers = dict(lines)
        """By lower-case name; the last line of a name wins."""
        self.keep_alive = keep_alive
        self.expects_continue = expects_continue
        self.resolution: object = None
        """What the route has found out about this head, for the next request that repeats it."""

    @property
    def path(self) -> str:
        """The decoded path."""
        return path_of(self.url)


class FastRoute(Protocol):
    """A route whose requests bypass ASGI."""

    prefixes: tuple[bytes, ...]
    """What the paths of its POST requests begin with: one of these."""
    max_body_bytes: int

    def new_call(self, connection: Connection, head: RequestHead) -> HttpCall:
        """Return the call for a request whose headers have arrived."""


class Connection(Protocol):
    """The client's connection, as far as a call needs it."""

    transport: asyncio.Transport
    client: tuple[str, int] | None

    def on_response_complete(self) -> None:
        """Start the next request of the connection."""

    def resume_reading(self) -> None:
        """Read on, after the call had `accepts_body` unset."""

    def close_when_read(self) -> None:
        """Close when the client has read the response, and read nothing more."""


class HttpCall:
    """One request with its place on the connection, in the role of uvicorn's request cycle.

    The connection calls `begin`, `feed`, `end`, `reject` and `lost`; a subclass implements the
    `on_…` methods, which run on the event loop, and answers with `respond`. Whatever they raise is
    answered with 500.

    Attributes that most calls never change are class attributes, so that a new call costs few
    stores. CPython keeps attributes within an object while all calls together have at most 30 names
    for them, slots not counted; a call with another one gets a dictionary, for a microsecond or
    two.
    """

    __slots__ = ("__dict__", "_max_body_bytes", "connection", "head")

    response_complete = False
    disconnected = False
    keep_alive = True
    """Whether the connection stays open after the response."""
    accepts_body = True
    """Whether to read on when much of the body has arrived; unset until the caller is known."""
    _expects_continue = False
    _body_complete = False
    _started = False
    _size = 0
    _chunks: list[bytes] | None = None

    def __init__(self, connection: Connection, head: RequestHead, max_body_bytes: int) -> None:
        self.connection = connection
        self.head = head
        self._max_body_bytes = max_body_bytes
        if not head.keep_alive:
            self.keep_alive = False
        if head.expects_continue:
            self._expects_continue = True

    def on_headers(self) -> None:
        """The request's turn has come: everything before it on the connection is answered."""
        raise NotImplementedError

    def on_body(self, body: bytes) -> None:
        """Take the whole body; respond now or later."""
        raise NotImplementedError

    def on_error(self, error: GatewayError) -> None:
        """Respond with an error: the request cannot be completed."""
        raise NotImplementedError

    def on_disconnect(self) -> None:
        """Stop working: the client has disconnected before the response."""
        raise NotImplementedError

    def respond(self, head: bytes, *body: bytes) -> None:
        """Send the response: status line and header lines, each with its CRLF, and the body."""
        transport = self.connection.transport
        if self.response_complete or self.disconnected or transport.is_closing():
            return
        self.response_complete = True
        if self._chunks is not None:
            self._chunks = None
        if not self._body_complete and not self._rest_is_small():
            self.keep_alive = False
        end = b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n"
        if len(body) == 1 and len(body[0]) <= _MAX_COPIED_BYTES:
            transport.write(b"%b%b%b" % (head, end, body[0]))
        else:
            transport.writelines((head, end, *body))
        if not self.keep_alive:
            if self._body_complete:
                transport.close()
            else:
                self.connection.close_when_read()
        self.connection.on_response_complete()

    # for the connection

    def begin_complete(self, body: bytes) -> None:
        """Start a request that has arrived whole, in its turn."""
        self._body_complete = self._started = True
        try:
            self.on_headers()
            if not self.response_complete:
                self.on_body(body)
        except Exception as error:  # noqa: BLE001 - other calls are on the stack below this one
            self._on_bug(error)

    def begin(self) -> None:
        """Start the request: everything before it on the connection is answered."""
        try:
            self.on_headers()
            if self.response_complete:
                return
            self._started = True
            declared = self.head.headers.get(b"content-length", b"0")
            limit = self._max_body_bytes
            if self._size > limit or (declared.isdigit() and int(declared) > limit):
                self.on_error(too_large(limit))
            elif self._body_complete:
                self._pass_on_body()
            elif self._expects_continue:
                self._expects_continue = False
                self.connection.transport.write(_CONTINUE)
        except Exception as error:  # noqa: BLE001 - as above
            self._on_bug(error)

    def feed(self, chunk: bytes) -> None:
        """Take a piece of the body."""
        if self.response_complete:
            return
        self._size += len(chunk)
        if self._chunks is None:
            self._chunks = [chunk]
        else:
            self._chunks.append(chunk)
        if self._started and self._size > self._max_body_bytes:
            self.reject(too_large(self._max_body_bytes))

    def end(self) -> None:
        """The body is complete."""
        self._body_complete = True
        if self._started and not self.response_complete:
            try:
                self._pass_on_body()
            except Exception as error:  # noqa: BLE001 - as above
                self._on_bug(error)

    def reject(self, error: GatewayError) -> None:
        """Respond with `error` to a request whose body is not going to be accepted."""
        if self._started and not self.response_complete:
            try:
                self.on_error(error)
            except Exception as failure:  # noqa: BLE001 - as above
                self._on_bug(failure)

    def lost(self) -> None:
        """The connection is gone."""
        if self.response_complete or self.disconnected:
            return
        self.disconnected = True
        self._chunks = None
        if self._started:
            self.on_disconnect()

    def _rest_is_small(self) -> bool:
        """Whether so little of the body is missing that it is read, to keep the connection."""
        headers = self.head.headers
        if self._expects_continue or b"transfer-encoding" in headers:
            return False  # the client may leave the body out; its length is unknown
        declared = headers.get(b"content-length", b"0")
        return declared.isdigit() and int(declared) - self._size <= _MAX_UNREAD_BYTES

    def _pass_on_body(self) -> None:
        chunks, self._chunks = self._chunks or [], None
        if self._size > _JOINED_ON_LOOP_BYTES:
            joining = asyncio.get_running_loop().run_in_executor(None, b"".join, chunks)
            joining.add_done_callback(self._on_joined)
        else:
            self.on_body(chunks[0] if len(chunks) == 1 else b"".join(chunks))

    def _on_joined(self, joining: asyncio.Future[bytes]) -> None:
        if self.response_complete or self.disconnected or joining.cancelled():
            return
        try:
            self.on_body(joining.result())
        except Exception as error:  # noqa: BLE001 - as above
            self._on_bug(error)

    def _on_bug(self, error: Exception) -> None:
        """Respond in place of an `on_…` method that raised."""
        from telemetry.logs import logger  # noqa: PLC0415 - the process listens before that

        request_id = request_id_of(self.head.headers, new_id())
        name = request_id.decode()
        logger("gateway.web").error("request_failed", request_id=name, exc_info=error)
        message = f"the gateway failed on this request; its log has the details under {name}"
        status, headers, body = problem(GatewayError(ErrorCode.INTERNAL, message), request_id)
        self.respond(head_of(status, headers, body), body)


def path_of(url: bytes) -> str:
    """Return the decoded path of a request target."""
    path = url.partition(b"?")[0]
    return (unquote_to_bytes(path) if b"%" in path else path).decode("utf-8", "replace")


def head_of(status: int, headers: Headers, body: bytes) -> bytes:
    """Return the status line and headers of a response; Content-Length is added."""
    return b"%b%bcontent-length: %d\r\n" % (
        _STATUS_LINES[status],
        header_lines(headers),
        len(body),
    )


def header_lines(headers: Headers) -> bytes:
    """Return headers as the lines of a head."""
    return b"".join([b"%b: %b\r\n" % header for header in headers])
