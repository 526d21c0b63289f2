"""The HTTP client for URLs that users choose: guarded, bounded in size and time, no redirects."""

from __future__ import annotations

import asyncio
import re
import ssl
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cache
from types import TracebackType
from typing import Self

import aiohttp
import certifi
from yarl import URL

from gateway.errors import GatewayError
from gateway.outbound.addresses import Network, embedded_ipv4, is_public
from gateway.outbound.arrival import Arrival, request_sent
from gateway.outbound.messages import NotSentError, OutboundRequest, OutboundResponse
from gateway.outbound.resolver import GuardedResolver, Resolver
from gateway.outbound.targets import OutboundTarget, ip_literal, parse_target
from protos.errors import ErrorCode

_CONNECTION_HEADERS = frozenset(
    {
        *("host", "connection", "content-length", "transfer-encoding", "te", "upgrade", "expect"),
        *("keep-alive", "proxy-authorization", "proxy-connection", "trailer", "accept-encoding"),
    }
)
"""Set by the client; a caller's values are dropped."""
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]*")
_AUTOMATIC_HEADERS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
_USER_AGENT = "slipstream"
_MAX_CONNECTIONS = 100
_KEEPALIVE_SECONDS = 15.0
_WINDOW_BITS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": 15}


@cache
def _public_authorities() -> ssl.SSLContext:
    # Once in a process: loading the authorities takes 20 ms, in which the event loop stands still.
    return ssl.create_default_context(cafile=certifi.where())


class _Response(aiohttp.ClientResponse):
    """Sees its connection before aiohttp takes it back, which is at the end of a short body."""

    peer: object = None

    async def start(self, connection: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
        if connection.transport is not None:
            self.peer = connection.transport.get_extra_info("peername")
            request_sent(connection.transport)
        if connection.protocol is not None and "connection" in self.request_info.headers:
            # The server need not honour `Connection: close`.
            connection.protocol.force_close()
        return await super().start(connection)


class GuardedHttpClient:
    """Follows no redirect, keeps no cookies, and ignores proxies and environment variables."""

    def __init__(
        self,
        allowed: Sequence[Network] = (),
        *,
        allow_http: bool = False,
        resolver: Resolver | None = None,
        ssl_context: ssl.SSLContext | None = None,
        max_connections: int = _MAX_CONNECTIONS,
    ) -> None:
        """Call the public internet and the operator's `allowed` networks.

        `ssl_context` replaces the default, which trusts certifi's authorities. At most
        `max_connections` requests are in progress; others wait.
        """
        self._allow_http = allow_http
        self._resolver = GuardedResolver(allowed, resolver=resolver)
        self._ssl_context = ssl_context
        self._max_connections = max_connections
        self._session: aiohttp.ClientSession | None = None
        self._kept_origins: OrderedDict[tuple[str, str, int], float] = OrderedDict()

    async def check(self, url: str) -> None:
        """Check whether `url` may be called now.

        Raises:
            GatewayError: BLOCKED_TARGET, UPSTREAM_UNREACHABLE.
        """
        await self._resolver.check(parse_target(url, allow_http=self._allow_http))

    async def send(
        self,
        request: OutboundRequest,
        deadline: float,
        *,
        arrive_by: Callable[[], float] | None = None,
    ) -> OutboundResponse:
        """Return the response, with any status.

        Name resolution, connection and body together end by `deadline`, in event loop time. The
        target gets nothing of the request after `arrive_by`, see `Arrival`.

        Raises:
            GatewayError: BLOCKED_TARGET, UPSTREAM_UNREACHABLE; INVALID_REQUEST if method or
                headers are not valid in HTTP.
            NotSentError: until `arrive_by` there was no connection.
        """
        target = parse_target(request.url, allow_http=self._allow_http)
        _check_syntax(request)
        if ip_literal(target.host) is not None:
            await self._resolver.check(target)
        arrival: Arrival | None = None
        try:
            async with asyncio.timeout_at(deadline) as limit:
                if arrive_by is None:
                    return await self._send(request, target)
                with Arrival(arrive_by, lambda: _end_now(limit)) as arrival:
                    return await self._send(request, target)
        except TimeoutError:
            if arrival is not None and arrival.late:
                if not arrival.begun:
                    raise NotSentError from None
                raise _unreachable(target, "it took the request in too slowly") from None
            raise _unreachable(target, "no response within the time limit") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _unreachable(target, str(error) or "the connection was lost") from None

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _send(self, request: OutboundRequest, target: OutboundTarget) -> OutboundResponse:
        async with self._open_session().request(
            request.method.upper(),
            # `encoded`: what was checked is what is sent, byte for byte.
            URL(f"{target.scheme}://{target.authority}{target.path.decode()}", encoded=True),
            headers=_headers(request, target, keep_alive=self._keeps_alive(target)),
            data=request.body,
            skip_auto_headers=_AUTOMATIC_HEADERS,
            allow_redirects=False,
        ) as response:
            received = {name.lower(): "" for name in response.headers}
            for name in received:
                received[name] = ", ".join(response.headers.getall(name))
            encoding = received.get("content-encoding", "")
            return OutboundResponse(
                status=response.status,
                headers=received,
                body=await _read(response, encoding, request, target),
                public=isinstance(response, _Response) and _is_public(response.peer),
            )

    def _open_session(self) -> aiohttp.ClientSession:
        # Not in __init__, which may run outside the event loop.
        if self._session is None:
            context = self._ssl_context or _public_authorities()
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    resolver=self._resolver,
                    use_dns_cache=False,
                    ssl=context,
                    limit=self._max_connections,
                    keepalive_timeout=_KEEPALIVE_SECONDS,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(),  # one deadline covers the whole request
                auto_decompress=False,
                response_class=_Response,
            )
        return self._session

    def _keeps_alive(self, target: OutboundTarget) -> bool:
        """Return whether the connection stays open after the request.

        aiohttp does not limit idle connections, and a flow may call any number of hosts: only so
        many origins keep theirs.
        """
        now, origin = time.monotonic(), (target.scheme, target.host, target.port)
        while self._kept_origins:
            oldest, used_at = next(iter(self._kept_origins.items()))
            if used_at > now - _KEEPALIVE_SECONDS:
                break
            del self._kept_origins[oldest]
        if origin not in self._kept_origins and len(self._kept_origins) >= self._max_connections:
            return False
        self._kept_origins[origin] = now
        self._kept_origins.move_to_end(origin)
        return True


def _end_now(limit: asyncio.Timeout) -> None:
    if not limit.expired():
        limit.reschedule(asyncio.get_running_loop().time())


def _check_syntax(request: OutboundRequest) -> None:
    """Raise INVALID_REQUEST for a method or header that is not valid, or would add a header."""
    faults = [repr(request.method)] if not _TOKEN.fullmatch(request.method) else []
    for name, text in request.headers.items():
        if not _TOKEN.fullmatch(name) or not _HEADER_VALUE.fullmatch(text):
            faults.append(f"the header {name!r}")
    if faults:
        message = f"method, headers: expected what HTTP allows, got {', '.join(faults)}"
        raise GatewayError(ErrorCode.INVALID_REQUEST, message)


def _headers(
    request: OutboundRequest, target: OutboundTarget, *, keep_alive: bool
) -> dict[str, str]:
    headers = {"host": target.authority, "accept-encoding": "identity"}
    if not keep_alive:
        headers["connection"] = "close"
    given = {name.lower(): text for name, text in request.headers.items()}
    kept = {name: text for name, text in given.items() if name not in _CONNECTION_HEADERS}
    return {**headers, "user-agent": _USER_AGENT, **kept}


async def _read(
    response: aiohttp.ClientResponse,
    encoding: str,
    request: OutboundRequest,
    target: OutboundTarget,
) -> bytes:
    """Return the body, decompressed if it is compressed although `identity` was requested."""
    inflate = _inflater(encoding.strip().lower(), target)
    body = bytearray()
    async for chunk in response.content.iter_any():
        try:
            # At most one byte more than allowed is decompressed: a bomb stays small.
            body += inflate.decompress(chunk, request.max_bytes + 1 - len(body))
        except zlib.error:
            raise _unreachable(target, f"the body is not valid {encoding}") from None
        if len(body) > request.max_bytes:
            response.close()
            if request.truncate:
                return bytes(body[: request.max_bytes])
            raise _unreachable(target, f"the response has more than {request.max_bytes} bytes")
    return bytes(body)


class _Identity:
    """Stands in for a decompressor."""

    def decompress(self, chunk: bytes, _max_length: int, /) -> bytes:
        return chunk


def _inflater(encoding: str, target: OutboundTarget) -> _Identity | zlib._Decompress:
    if encoding in {"", "identity"}:
        return _Identity()
    if encoding in _WINDOW_BITS:
        return zlib.decompressobj(_WINDOW_BITS[encoding])
    raise _unreachable(target, f"the content-encoding is {encoding[:40]!r}, not identity")


def _is_public(peer: object) -> bool:
    """Return whether the peer's address belongs to the public internet."""
    address = ip_literal(str(peer[0])) if isinstance(peer, tuple) else None
    if address is None:
        return False
    return is_public(embedded_ipv4(address) or address)


def _unreachable(target: OutboundTarget, reason: str) -> GatewayError:
    message = f"{target.scheme}://{target.authority}: {reason}"
    return GatewayError(ErrorCode.UPSTREAM_UNREACHABLE, message)
