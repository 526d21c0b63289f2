"""A route of the tests' own on the fast path, and the same as an ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus

from gateway.errors import GatewayError
from gateway.fast_path.clients import Clients
from gateway.fast_path.http_call import Connection, HttpCall, RequestHead
from gateway.web.asgi import Receive, Scope, Send
from gateway.web.connection_limits import ConnectionLimits

LIMIT = 100_000
"""Bytes of the largest body that the route takes."""


def echo_of(target: bytes, body: bytes) -> bytes:
    """Return what both paths answer with."""
    return b"%b %d " % (target, len(body)) + body


class Call(HttpCall):
    """One request; the last part of its path says what becomes of it.

    `echo` is answered at once, `wait` when the test says so, `large` with a megabyte. `early` is
    answered before its body is there, and `unknown` does not accept its body until the test says
    so. `headers`, `complete` and `error` raise.
    """

    def __init__(self, route: EchoRoute, connection: Connection, head: RequestHead) -> None:
        super().__init__(connection, head, route.max_body_bytes)
        self.route = route
        self.kind = head.path.rpartition("/")[2]
        self.body: bytes | None = None
        self.errors: list[GatewayError] = []
        self.losses = 0
        self.lost_event = asyncio.Event()

    def on_headers(self) -> None:
        """See HttpCall."""
        self.route.opened.put_nowait(self)
        self.accepts_body = self.kind != "unknown"
        if self.kind == "early":
            self.answer(401, b"no key")
        self._fail_in("headers")

    def on_body(self, body: bytes) -> None:
        """See HttpCall."""
        assert self.body is None, "completed once"
        self.body = body
        self._fail_in("complete")
        if self.kind == "wait":
            self.route.waiting.put_nowait(self)
        elif self.kind == "large":
            self.answer(200, bytes(1_000_000))
        else:
            self.echo()

    def on_error(self, error: GatewayError) -> None:
        """See HttpCall."""
        self.errors.append(error)
        self._fail_in("error")
        self.answer(error.code.http_status, error.code.encode())

    def on_disconnect(self) -> None:
        """See HttpCall."""
        self.losses += 1
        self.lost_event.set()

    def echo(self) -> None:
        """Answer as the route should."""
        self.answer(200, echo_of(self.head.url, self.body or b""))

    def answer(self, status: int, body: bytes) -> None:
        """Answer with anything."""
        phrase = HTTPStatus(status).phrase.encode()
        head = b"HTTP/1.1 %d %b\r\ncontent-length: %d\r\n" % (status, phrase, len(body))
        self.respond(head, body)

    def _fail_in(self, name: str) -> None:
        if self.kind == name:
            message = f"the handler fails in {name}"
            raise ValueError(message)


class EchoRoute:
    """Makes calls, and knows them."""

    prefixes = (b"/direct/",)
    max_body_bytes = LIMIT

    def __init__(self) -> None:
        self.opened: asyncio.Queue[Call] = asyncio.Queue()
        """Calls whose turn has come."""
        self.waiting: asyncio.Queue[Call] = asyncio.Queue()
        """Calls that are complete, and wait to be answered."""

    def new_call(self, connection: Connection, head: RequestHead) -> Call:
        """See FastRoute."""
        return Call(self, connection, head)


class Application:
    """Answers whatever does not take the fast path.

    `…/wait` is answered when the test says so, `…/early` before its body is there, and the head of
    `…/begun` is sent before the test says that its body is.
    """

    def __init__(self, fast_route: EchoRoute | None) -> None:
        self.fast_route = fast_route
        self.limits = ConnectionLimits()
        self.clients = Clients()
        self.draining = False
        self.idle_seconds = 1.0
        self.waiting: asyncio.Queue[Callable[[], None]] = asyncio.Queue()
        self.disconnects: asyncio.Queue[str] = asyncio.Queue()
        """Targets of the calls of `…/leave` whose clients left."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["path"].endswith("/early"):
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        path: str = scope["path"]
        if path.endswith("/wait"):
            turn = asyncio.Event()
            self.waiting.put_nowait(turn.set)
            await turn.wait()
        elif path.endswith("/leave"):
            assert (await receive())["type"] == "http.disconnect"
            self.disconnects.put_nowait(path)
            return
        query: bytes = scope["query_string"]
        answer = echo_of(scope["raw_path"] + (b"?" + query if query else b""), body)
        length = (b"content-length", b"%d" % len(answer))
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        if path.endswith("/begun"):
            turn = asyncio.Event()
            self.waiting.put_nowait(turn.set)
            await turn.wait()
        await send({"type": "http.response.body", "body": answer})
