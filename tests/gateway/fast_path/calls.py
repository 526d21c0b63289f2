"""A route of the tests' own on the short way, and the same as an ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus

from gateway.errors import GatewayError
from gateway.fast_path.http_call import HttpCall
from gateway.web.asgi import Receive, Scope, Send
from gateway.web.connection_limits import ConnectionLimits

LIMIT = 100_000
"""Bytes of the largest body that the route takes."""


def echo_of(target: bytes, body: bytes) -> bytes:
    """Return what both ways answer with."""
    return b"%b %d " % (target, len(body)) + body


class Call:
    """One request; the last part of its path says what becomes of it.

    `echo` is answered at once, `wait` when the test says so, `large` with a megabyte. `early` is
    answered before its body is there. `open`, `complete` and `refuse` raise.
    """

    def __init__(self, route: EchoRoute, exchange: HttpCall) -> None:
        self.route = route
        self.exchange = exchange
        self.kind = exchange.path.rpartition("/")[2]
        self.body: bytes | None = None
        self.refusals: list[GatewayError] = []
        self.losses = 0
        self.lost = asyncio.Event()
        if self.kind == "early":
            self.answer(401, b"no key")
        self._fail_in("open")

    def complete(self, body: bytes) -> None:
        """See Handler."""
        assert self.body is None, "completed once"
        self.body = body
        self._fail_in("complete")
        if self.kind == "wait":
            self.route.waiting.put_nowait(self)
        elif self.kind == "large":
            self.answer(200, bytes(1_000_000))
        else:
            self.echo()

    def refuse(self, error: GatewayError) -> None:
        """See Handler."""
        self.refusals.append(error)
        self._fail_in("refuse")
        self.answer(error.code.http_status, error.code.encode())

    def disconnected(self) -> None:
        """See Handler."""
        self.losses += 1
        self.lost.set()

    def echo(self) -> None:
        """Answer as the route should."""
        self.answer(200, echo_of(self.exchange.url, self.body or b""))

    def answer(self, status: int, body: bytes) -> None:
        """Answer with anything."""
        phrase = HTTPStatus(status).phrase.encode()
        head = b"HTTP/1.1 %d %b\r\ncontent-length: %d\r\n" % (status, phrase, len(body))
        self.exchange.respond(head, body)

    def _fail_in(self, name: str) -> None:
        if self.kind == name:
            message = f"the handler fails in {name}"
            raise ValueError(message)


class EchoRoute:
    """Makes calls, and knows them."""

    prefix = b"/direct/"
    max_body_bytes = LIMIT

    def __init__(self) -> None:
        self.opened: asyncio.Queue[Call] = asyncio.Queue()
        """Calls whose turn has come."""
        self.waiting: asyncio.Queue[Call] = asyncio.Queue()
        """Calls that are complete, and wait to be answered."""

    def open(self, exchange: HttpCall) -> Call:
        """See Route."""
        call = Call(self, exchange)
        self.opened.put_nowait(call)
        return call


class Application:
    """Answers whatever does not take the short way; `…/wait` when the test says so."""

    def __init__(self, fast_route: EchoRoute | None) -> None:
        self.fast_route = fast_route
        self.limits = ConnectionLimits()
        self.waiting: asyncio.Queue[Callable[[], None]] = asyncio.Queue()
        self.disconnects: asyncio.Queue[str] = asyncio.Queue()
        """Targets of the calls of `…/leave` whose clients left."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
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
        await send({"type": "http.response.body", "body": answer})
