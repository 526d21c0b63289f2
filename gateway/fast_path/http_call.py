"""One request and its answer without ASGI between: what the short way costs, is what it does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Protocol
from urllib.parse import unquote_to_bytes

from gateway.errors import GatewayError
from gateway.web.asgi import too_large
from gateway.web.problems import Headers, problem
from protos.errors import ErrorCode

_STATUS_LINES = {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status.value, status.phrase.encode())
    for status in HTTPStatus
} | {499: b"HTTP/1.1 499 Client Closed Request\r\n"}
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_SMALL = 64 * 1024
_REQUEST_ID = b"req_failed"

log = logging.getLogger("gateway.web")


class Handler(Protocol):
    """Answers one request, on the event loop. Where it raises, the answer is a 500."""

    def complete(self, body: bytes) -> None:
        """Take the whole body; answer now or later."""

    def refuse(self, error: GatewayError) -> None:
        """Answer with an error: the request is not one that can be completed."""

    def disconnected(self) -> None:
        """The client has gone: nobody waits for the answer."""


class FastRoute(Protocol):
    """Requests that take the short way."""

    prefix: bytes
    """What the paths of these POSTs begin with."""
    max_body_bytes: int

    def open(self, exchange: HttpCall) -> Handler:
        """Return the handler of a request whose headers are there."""


class HttpCall:
    """A request, and its place on the connection. Stands where uvicorn has its own cycle."""

    __slots__ = (
        "_chunks",
        "_complete",
        "_expects_continue",
        "_handler",
        "_on_complete",
        "_route",
        "_size",
        "_transport",
        "disconnected",
        "headers",
        "keep_alive",
        "lines",
        "response_complete",
        "url",
    )

    def __init__(
        self,
        route: FastRoute,
        url: bytes,
        lines: Headers,
        transport: asyncio.Transport,
        *,
        keep_alive: bool,
        expects_continue: bool,
        on_complete: Callable[[], None],
    ) -> None:
        self.url = url
        """The target, from its path on."""
        self.lines = lines
        """The headers, each line of its own, names in lower case."""
        self.headers = dict(lines)
        """By lower-case name; of several of one name, the last."""
        self.keep_alive = keep_alive
        self.response_complete = False
        self.disconnected = False
        self._route = route
        self._transport = transport
        self._expects_continue = expects_continue
        self._on_complete = on_complete
        self._handler: Handler | None = None
        self._chunks: list[bytes] = []
        self._size = 0
        self._complete = False

    @property
    def peer(self) -> str:
        """The address of the connection's other end; empty where it has none."""
        name = self._transport.get_extra_info("peername")
        return str(name[0]) if isinstance(name, tuple) else ""

    @property
    def path(self) -> str:
        """The path, decoded."""
        return path_of(self.url)

    def respond(self, head: bytes, body: bytes) -> None:
        """Send the answer: status line and headers, each with its line's end, and the body."""
        transport = self._transport
        if self.response_complete or self.disconnected or transport.is_closing():
            return
        self.response_complete = True
        self._handler = None  # they know each other: nothing is to wait for the garbage collector
        self._chunks.clear()
        if self._expects_continue and not self._complete:
            self.keep_alive = False  # the client may send the body still, or leave it out
        end = b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n"
        if len(body) <= _SMALL:
            transport.write(b"%b%b%b" % (head, end, body))
        else:
            transport.writelines((head, end, body))
        if not self.keep_alive and (self._complete or self._expects_continue):
            transport.close()
        self._on_complete()

    # for the connection

    def begin(self) -> None:
        """Its turn has come: everything before it on the connection is answered."""
        try:
            handler = self._route.open(self)
            if self.response_complete:
                return
            self._handler = handler
            limit = self._route.max_body_bytes
            declared = self.headers.get(b"content-length", b"0")
            if self._size > limit or (declared.isdigit() and int(declared) > limit):
                handler.refuse(too_large(limit))
            elif self._complete:
                handler.complete(self._body())
            else:
                self._continue()
        except Exception as error:  # noqa: BLE001 - others' calls are on the stack below this one
            self._failed(error)

    def feed(self, chunk: bytes) -> None:
        """Take a piece of the body."""
        if self.response_complete:
            return
        self._size += len(chunk)
        self._chunks.append(chunk)
        limit, handler = self._route.max_body_bytes, self._handler
        if self._size > limit and handler is not None:
            try:
                handler.refuse(too_large(limit))
            except Exception as error:  # noqa: BLE001 - as above
                self._failed(error)

    def end(self) -> None:
        """The body is complete."""
        self._complete = True
        if self.response_complete:
            if not self.keep_alive:  # had it been closed before, the client had lost the answer
                self._transport.close()
        elif self._handler is not None:
            try:
                self._handler.complete(self._body())
            except Exception as error:  # noqa: BLE001 - as above
                self._failed(error)

    def cut_off(self, error: GatewayError) -> None:
        """Answer with `error` for a body that does not come."""
        handler = self._handler
        if handler is not None and not self.response_complete:
            try:
                handler.refuse(error)
            except Exception as failure:  # noqa: BLE001 - as above
                self._failed(failure)

    def lost(self) -> None:
        """The connection is gone."""
        if self.response_complete or self.disconnected:
            return
        self.disconnected = True
        self._chunks.clear()
        handler, self._handler = self._handler, None
        if handler is not None:
            handler.disconnected()

    def _body(self) -> bytes:
        chunks = self._chunks
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        return body

    def _continue(self) -> None:
        """Have a client that waits for it send the body."""
        if self._expects_continue:
            self._expects_continue = False
            self._transport.write(_CONTINUE)

    def _failed(self, error: Exception) -> None:
        """Answer for a handler that raised."""
        log.error("a handler failed", exc_info=error)
        message = "the gateway failed on this request; its log has the details"
        refusal = GatewayError(ErrorCode.INTERNAL, message)
        status, headers, body = problem(refusal, _REQUEST_ID)
        self.respond(head_of(status, headers, body), body)


def path_of(url: bytes) -> str:
    """Return the path of a target, decoded."""
    path = url.partition(b"?")[0]
    return (unquote_to_bytes(path) if b"%" in path else path).decode("utf-8", "replace")


def head_of(status: int, headers: Headers, body: bytes) -> bytes:
    """Return status line and headers of an answer; Content-Length is added."""
    lines = lines_of(headers)
    return b"%b%bcontent-length: %d\r\n" % (_STATUS_LINES[status], lines, len(body))


def lines_of(headers: Headers) -> bytes:
    """Return headers as lines of a head."""
    return b"".join([b"%b: %b\r\n" % header for header in headers])
