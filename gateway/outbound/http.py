"""The HTTP client for what users name: guarded, bounded in size and time, follows no redirect."""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import httpcore

from gateway.errors import GatewayError
from gateway.outbound.addresses import Network, embedded_ipv4, is_public
from gateway.outbound.connection_pool import ConnectionPool
from gateway.outbound.dialer import GuardedDialer, Resolver
from gateway.outbound.targets import OutboundTarget, ip_literal, parse_target
from protos.errors import ErrorCode

_OURS = frozenset(
    {
        *("host", "connection", "content-length", "transfer-encoding", "te", "upgrade", "expect"),
        *("keep-alive", "proxy-authorization", "proxy-connection", "trailer", "accept-encoding"),
    }
)
"""Headers that belong to the connection: what a caller says of them is left out."""
_USER_AGENT = "slipstream"
_CONNECTIONS = 100
_KEPT_SECONDS = 15.0
_WINDOW_BITS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": 15}


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundRequest:
    """One request."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None
    max_bytes: int
    """The most that the reply's body may have, decompressed."""
    truncate: bool = False
    """Take the first `max_bytes` of a longer body, instead of refusing it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundResponse:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    """By name in lower case; several of one name are joined by a comma."""
    body: bytes
    public: bool = False
    """Whether it came from the public internet, and not from a network of the operator's."""


class GuardedHttpClient:
    """Follows no redirect, and knows no proxy and no environment variable."""

    def __init__(
        self,
        allowed: Sequence[Network] = (),
        *,
        allow_http: bool = False,
        resolver: Resolver | None = None,
        ssl_context: ssl.SSLContext | None = None,
        connections: int = _CONNECTIONS,
    ) -> None:
        """Dial the public internet and the operator's `allowed` networks.

        `ssl_context` replaces the usual one, which trusts the usual authorities. `connections` is
        the most that are open at a time.
        """
        self._allow_http = allow_http
        self._dialer = GuardedDialer(allowed, resolver=resolver)
        self._connections = ConnectionPool(
            self._dialer,
            ssl_context=ssl_context,
            most=connections,
            kept_seconds=_KEPT_SECONDS,
        )

    async def check(self, url: str) -> None:
        """Return where `url` could be sent to now.

        Raises:
            GatewayError: BLOCKED_TARGET, UPSTREAM_UNREACHABLE.
        """
        await self._dialer.check(parse_target(url, allow_http=self._allow_http))

    async def send(self, call: OutboundRequest, deadline: float) -> OutboundResponse:
        """Return the reply, whatever its status.

        The whole of it, name, connection and body, ends by `deadline`, the event loop's time.

        Raises:
            GatewayError: BLOCKED_TARGET, UPSTREAM_UNREACHABLE; INVALID_REQUEST where method or
                headers are not HTTP's.
        """
        target = parse_target(call.url, allow_http=self._allow_http)
        try:
            async with asyncio.timeout_at(deadline):
                return await self._send(call, target)
        except (TimeoutError, httpcore.TimeoutException):
            raise _unreachable(target, "it did not answer in time") from None
        except (httpcore.LocalProtocolError, UnicodeError) as error:
            message = f"method, headers: expected what HTTP allows: {error}"
            raise GatewayError(ErrorCode.INVALID_REQUEST, message) from None
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            raise _unreachable(target, str(error) or "the connection was lost") from None

    async def close(self) -> None:
        """Close every connection; those that a call has when that is through."""
        await self._connections.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _send(self, call: OutboundRequest, target: OutboundTarget) -> OutboundResponse:
        url = httpcore.URL(
            scheme=target.scheme, host=target.host, port=target.port, target=target.path
        )
        headers = _headers(call.headers, target, call.body)
        request = httpcore.Request(call.method.upper(), url, headers=headers, content=call.body)
        async with self._connections.to((target.scheme, target.host, target.port)) as connection:
            response = await connection.handle_async_request(request)
            try:
                received = _received(response.headers)
                encoding = received.get("content-encoding", "")
                body = await _read(response, encoding, call, target)
                public = _is_public(response)
            finally:
                await response.aclose()
        return OutboundResponse(status=response.status, headers=received, body=body, public=public)


def _headers(
    given: Mapping[str, str], target: OutboundTarget, body: bytes | None
) -> list[tuple[bytes, bytes]]:
    headers = [(b"host", target.authority.encode("ascii")), (b"accept-encoding", b"identity")]
    names = {name.lower() for name in given}
    if "user-agent" not in names:
        headers.append((b"user-agent", _USER_AGENT.encode()))
    if body is not None:
        headers.append((b"content-length", str(len(body)).encode()))
    for name, value in given.items():
        if name.lower() not in _OURS:
            headers.append((name.encode("ascii"), value.encode("latin-1")))
    return headers


def _received(headers: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    received: dict[str, str] = {}
    for raw, content in headers:
        name, value = raw.decode("latin-1").lower(), content.decode("latin-1")
        received[name] = f"{received[name]}, {value}" if name in received else value
    return received


async def _read(
    response: httpcore.Response, encoding: str, call: OutboundRequest, target: OutboundTarget
) -> bytes:
    """Return the body, decompressed if it came compressed though we had asked for it plain."""
    inflate = _inflater(encoding.strip().lower(), target)
    body = bytearray()
    async for chunk in response.aiter_stream():
        try:
            body += inflate(chunk, call.max_bytes + 1 - len(body))
        except zlib.error:
            raise _unreachable(target, f"its body is not the {encoding} that it says") from None
        if len(body) > call.max_bytes:
            if call.truncate:
                return bytes(body[: call.max_bytes])
            raise _unreachable(target, f"its answer has more than {call.max_bytes} bytes")
    return bytes(body)


def _is_public(response: httpcore.Response) -> bool:
    """Whether the connection that an answer came by leads to the public internet."""
    server = response.extensions["network_stream"].get_extra_info("server_addr")
    address = ip_literal(str(server[0])) if isinstance(server, tuple) else None
    if address is None:
        return False
    return is_public(embedded_ipv4(address) or address)


class _Plain:
    def __call__(self, chunk: bytes, _most: int) -> bytes:
        return chunk


class _Inflater:
    """Decompresses no more than is asked for: a bomb stays as small as it came."""

    def __init__(self, window_bits: int) -> None:
        self._inflate = zlib.decompressobj(window_bits)

    def __call__(self, chunk: bytes, most: int) -> bytes:
        return self._inflate.decompress(chunk, most)


def _inflater(encoding: str, target: OutboundTarget) -> _Plain | _Inflater:
    if encoding in {"", "identity"}:
        return _Plain()
    if encoding in _WINDOW_BITS:
        return _Inflater(_WINDOW_BITS[encoding])
    raise _unreachable(target, f"it answered in {encoding[:40]!r}, which was not asked for")


def _unreachable(target: OutboundTarget, reason: str) -> GatewayError:
    message = f"{target.scheme}://{target.authority}: {reason}"
    return GatewayError(ErrorCode.UPSTREAM_UNREACHABLE, message)
