"""A minimal HTTP server for `GET /metrics`, which is all that Prometheus needs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from http import HTTPStatus

from inference_server.settings import TcpAddress
from telemetry.instruments import CONTENT_TYPE
from transport import ServerTls
from transport.bearer_tokens import BearerTokens

_TIMEOUT_SECONDS = 10.0
_CLIENT_FAILURES = (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)


class MetricsEndpoint:
    """Answers with what `render` returns; one request per connection."""

    def __init__(self, render: Callable[[], bytes]) -> None:
        self._render = render
        self._server: asyncio.Server | None = None
        self._tokens: BearerTokens | None = None

    async def listen(
        self,
        address: TcpAddress,
        *,
        tls: ServerTls | None = None,
        tokens: BearerTokens | None = None,
    ) -> TcpAddress:
        """Start listening; with `tokens`, requests must present one of them.

        Return the address with the port that was bound. Raise OSError if it is taken.
        """
        self._tokens = tokens
        self._server = await asyncio.start_server(
            self._answer,
            address.host,
            address.port,
            ssl=tls.context if tls else None,
            ssl_handshake_timeout=_TIMEOUT_SECONDS if tls else None,
        )
        host, port = self._server.sockets[0].getsockname()[:2]
        return TcpAddress(host, port)

    def close(self) -> None:
        """Stop listening."""
        if self._server:
            self._server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A client that is slow, disconnects or sends garbage gets no response.
        with contextlib.suppress(*_CLIENT_FAILURES):
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._response(head))
                await writer.drain()
        writer.close()

    def _response(self, request: bytes) -> bytes:
        method, _, rest = request.partition(b" ")
        target = rest.partition(b" ")[0]
        status, body = HTTPStatus.OK, b""
        if not self._is_authorized(request):
            status = HTTPStatus.UNAUTHORIZED
        elif target.partition(b"?")[0] != b"/metrics":
            status = HTTPStatus.NOT_FOUND
        elif method not in (b"GET", b"HEAD"):
            status = HTTPStatus.METHOD_NOT_ALLOWED
        else:
            body = self._render()
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {CONTENT_TYPE}\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        return head.encode() + (b"" if method == b"HEAD" else body)

    def _is_authorized(self, request: bytes) -> bool:
        if self._tokens is None:
            return True
        for line in request.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"authorization":
                return self._tokens.accepts(value.strip())
        return False
