"""A minimal HTTP server for GET: `/metrics`, and the probes `/livez` and `/readyz`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from http import HTTPStatus
from ssl import SSLContext

import orjson

from telemetry.exposition import TEXT, ExpositionFormat, accepted_format
from telemetry.options import TcpAddress

_JSON = "application/json"
_TIMEOUT_SECONDS = 10.0
_PATHS = (b"/metrics", b"/livez", b"/readyz")
_CLIENT_FAILURES = (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)


class HttpEndpoint:
    """Answers one request per connection.

    `/metrics` is what `render` returns, in the format that the client accepts. `/readyz` is what
    `readiness` returns, as JSON: 200 if its member `ready` is true, else 503. The probes need no
    token: they say little.
    """

    def __init__(
        self,
        render: Callable[[ExpositionFormat], bytes],
        readiness: Callable[[], Mapping[str, object]],
    ) -> None:
        self._render = render
        self._readiness = readiness
        self._server: asyncio.Server | None = None
        self._accepts: Callable[[bytes], bool] | None = None

    async def listen(
        self,
        address: TcpAddress,
        *,
        ssl: SSLContext | None = None,
        accepts: Callable[[bytes], bool] | None = None,
    ) -> TcpAddress:
        """Start listening; with `accepts`, it must accept the Authorization of `/metrics`.

        Return the address with the port that was bound. Raise OSError if it is taken.
        """
        self._accepts = accepts
        self._server = await asyncio.start_server(
            self._answer,
            address.host,
            address.port,
            ssl=ssl,
            ssl_handshake_timeout=_TIMEOUT_SECONDS if ssl else None,
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
        path = target.partition(b"?")[0]
        status, kind, body = HTTPStatus.OK, TEXT.content_type, b""
        if path not in _PATHS:
            status = HTTPStatus.NOT_FOUND
        elif method not in (b"GET", b"HEAD"):
            status = HTTPStatus.METHOD_NOT_ALLOWED
        elif path == b"/livez":
            kind, body = _JSON, orjson.dumps({"live": True})
        elif path == b"/readyz":
            answer = self._readiness()
            status = HTTPStatus.OK if answer["ready"] else HTTPStatus.SERVICE_UNAVAILABLE
            kind, body = _JSON, orjson.dumps(answer)
        elif self._is_authorized(request):
            form = accepted_format(_header(request, b"accept").decode("latin-1"))
            kind, body = form.content_type, self._render(form)
        else:
            status = HTTPStatus.UNAUTHORIZED
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        return head.encode() + (b"" if method == b"HEAD" else body)

    def _is_authorized(self, request: bytes) -> bool:
        return self._accepts is None or self._accepts(_header(request, b"authorization"))


def _header(request: bytes, wanted: bytes) -> bytes:
    """Return the first header of that name (in lower case); empty: there is none."""
    for line in request.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == wanted:
            return value.strip()
    return b""
