"""The guarded client with real servers on loopback, which the operator has to allow."""

from __future__ import annotations

import asyncio
import gzip
import ssl
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import GatewayError
from gateway.outbound.http import GuardedHttpClient
from gateway.outbound.messages import OutboundRequest, OutboundResponse
from protos.errors import ErrorCode
from tests.gateway.outbound.servers import StaticResolver, flood, plain, raw, serving

LOOPBACK = [ip_network("127.0.0.0/8"), ip_network("::1/128")]


@asynccontextmanager
async def client(
    names: StaticResolver | None = None, **options: Any
) -> AsyncIterator[GuardedHttpClient]:
    options = {"allowed": LOOPBACK, "allow_http": True, **options}
    async with GuardedHttpClient(
        resolver=names or StaticResolver(shop_example=[["127.0.0.1"]]), **options
    ) as http:
        yield http


async def send(
    http: GuardedHttpClient,
    url: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    max_bytes: int = 1000,
    within: float = 10.0,
) -> OutboundResponse:
    call = OutboundRequest(
        method=method, url=url, headers=headers or {}, body=body, max_bytes=max_bytes
    )
    return await http.send(call, asyncio.get_running_loop().time() + within)


async def refused(http: GuardedHttpClient, url: str, **options: Any) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        await send(http, url, **options)
    return caught.value


async def test_a_request_arrives_unchanged_except_for_connection_headers() -> None:
    async with (
        serving(plain("thanks", headers="X-Two: a\r\nX-Two: b\r\n")) as heard,
        client() as http,
    ):
        reply = await send(
            http,
            f"http://shop.example:{heard.port}/hook?a=b",
            method="post",
            headers={"X-Mine": "yes", "Host": "evil.example", "Content-Length": "7"},
            body=b"payload",
        )
    assert (reply.status, reply.body) == (200, b"thanks")
    assert reply.headers["x-two"] == "a, b"
    (head,) = heard.heads
    assert head.startswith("POST /hook?a=b HTTP/1.1\r\n")
    lines = head.lower().split("\r\n")
    assert f"host: shop.example:{heard.port}" in lines
    assert "x-mine: yes" in lines
    assert "user-agent: slipstream" in lines
    assert "evil" not in head
    assert lines.count("content-length: 7") == 1
    assert heard.bodies == [b"payload"]


async def test_a_name_with_a_blocked_address_is_refused() -> None:
    async with serving(plain("no")) as heard, client(allowed=()) as http:
        error = await refused(http, f"http://shop.example:{heard.port}/")
    assert error.code is ErrorCode.BLOCKED_TARGET
    assert "127.0.0.1" not in error.message
    assert not heard.heads


async def test_one_blocked_address_blocks_the_name() -> None:
    names = StaticResolver(shop_example=[["127.0.0.1", "10.0.0.1"]])
    async with serving(plain("no")) as heard, client(names) as http:
        error = await refused(http, f"http://shop.example:{heard.port}/")
    assert error.code is ErrorCode.BLOCKED_TARGET
    assert not heard.heads


async def test_a_name_rebound_after_the_check_is_refused() -> None:
    names = StaticResolver(shop_example=[["93.184.216.34"], ["127.0.0.1"]])
    async with serving(plain("secret")) as heard, client(names, allowed=()) as http:
        await http.check("https://shop.example/hook")
        error = await refused(http, "https://shop.example/hook")
    assert error.code is ErrorCode.BLOCKED_TARGET
    assert names.asked == ["shop.example", "shop.example"]
    assert not heard.heads


async def test_a_name_is_resolved_once_per_connection() -> None:
    names = StaticResolver(shop_example=[["127.0.0.1"], ["10.0.0.1"]])
    async with serving(plain("yes")) as heard, client(names) as http:
        reply = await send(http, f"http://shop.example:{heard.port}/")
    assert reply.body == b"yes"
    assert names.asked == ["shop.example"]


async def test_the_next_address_is_tried_if_one_does_not_answer() -> None:
    names = StaticResolver(shop_example=[["::1", "127.0.0.1"]])
    async with serving(plain("yes")) as heard, client(names) as http:
        assert (await send(http, f"http://shop.example:{heard.port}/")).body == b"yes"


@pytest.mark.parametrize(
    "host", ["[::ffff:127.0.0.1]", "[::127.0.0.1]", "[2002:7f00:1::]", "[64:ff9b::7f00:1]", "[::]"]
)
async def test_an_embedded_ipv4_address_is_judged(host: str) -> None:
    async with client(allowed=()) as http:
        error = await refused(http, f"https://{host}/")
    assert error.code is ErrorCode.BLOCKED_TARGET


async def test_cloud_metadata_is_blocked_even_if_everything_is_allowed() -> None:
    everything = [ip_network("0.0.0.0/0"), ip_network("::/0")]
    names = StaticResolver(shop_example=[["169.254.169.254"]])
    async with client(names, allowed=everything) as http:
        for url in ("http://shop.example/", "http://169.254.169.254/latest/meta-data/"):
            assert (await refused(http, url)).code is ErrorCode.BLOCKED_TARGET


async def test_a_public_address_is_allowed_only_at_the_usual_ports() -> None:
    names = StaticResolver(shop_example=[["93.184.216.34"]])
    async with client(names) as http:
        assert "port 22" in (await refused(http, "https://shop.example:22/")).message


async def test_a_redirect_is_returned_and_not_followed() -> None:
    async with serving(plain("secret")) as inner:
        location = f"location: http://127.0.0.1:{inner.port}/\r\n"
        moved = plain("", status="302 Found", headers=location)
        async with serving(moved) as outer, client() as http:
            reply = await send(http, f"http://shop.example:{outer.port}/")
        assert reply.status == 302
        assert not inner.heads


async def test_proxy_variables_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(plain("proxied")) as proxy, serving(plain("direct")) as heard:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        async with client() as http:
            assert (await send(http, f"http://shop.example:{heard.port}/")).body == b"direct"
        assert not proxy.heads


async def test_a_name_without_an_address_is_unreachable() -> None:
    async with client() as http:
        error = await refused(http, "https://nowhere.example/")
    assert error.code is ErrorCode.UPSTREAM_UNREACHABLE


async def test_a_port_without_a_listener_is_unreachable() -> None:
    async with serving(plain("")) as heard:
        port = heard.port
    async with client() as http:
        error = await refused(http, f"http://shop.example:{port}/")
    assert error.code is ErrorCode.UPSTREAM_UNREACHABLE


HEAD = b"HTTP/1.1 200 OK\r\nconnection: close\r\n"


async def test_a_body_may_have_max_bytes_and_not_one_more() -> None:
    async with serving(plain("x" * 1000)) as heard, client() as http:
        url = f"http://shop.example:{heard.port}/"
        assert len((await send(http, url, max_bytes=1000)).body) == 1000
        error = await refused(http, url, max_bytes=999)
    assert error.code is ErrorCode.UPSTREAM_UNREACHABLE
    assert "999 bytes" in error.message


async def test_an_endless_body_is_aborted() -> None:
    async with serving(flood(HEAD + b"\r\n", b"x" * 65536)) as heard, client() as http:
        error = await refused(http, f"http://shop.example:{heard.port}/")
    assert "1000 bytes" in error.message


async def test_an_endless_head_is_aborted() -> None:
    async with serving(flood(HEAD, b"x-more: " + b"x" * 1000 + b"\r\n")) as heard, client() as http:
        error = await refused(http, f"http://shop.example:{heard.port}/")
    assert error.code is ErrorCode.UPSTREAM_UNREACHABLE


@pytest.mark.parametrize(
    ("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)]
)
async def test_a_decompression_bomb_stays_small(encoding: str, compress: Any) -> None:
    head = HEAD + f"content-encoding: {encoding}\r\n\r\n".encode()
    bomb = compress(bytes(50_000_000))
    async with serving(raw(head, bomb)) as heard, client() as http:
        error = await refused(http, f"http://shop.example:{heard.port}/", max_bytes=100_000)
    assert "100000 bytes" in error.message


async def test_an_unrequested_compression_is_decoded() -> None:
    head = HEAD + b"content-encoding: gzip\r\n\r\n"
    async with serving(raw(head, gzip.compress(b"small"))) as heard, client() as http:
        assert (await send(http, f"http://shop.example:{heard.port}/")).body == b"small"


@pytest.mark.parametrize(
    ("encoding", "body"), [(b"br", b"xx"), (b"gzip", b"not gzip"), (b"gzip, gzip", b"xx")]
)
async def test_an_unsupported_encoding_is_reported(encoding: bytes, body: bytes) -> None:
    head = HEAD + b"content-encoding: " + encoding + b"\r\n\r\n"
    async with serving(raw(head, body)) as heard, client() as http:
        error = await refused(http, f"http://shop.example:{heard.port}/")
    assert error.code is ErrorCode.UPSTREAM_UNREACHABLE


async def test_a_slow_body_is_aborted_at_the_deadline() -> None:
    slow = raw(HEAD + b"content-length: 100\r\n\r\n", *[b"x"] * 100, pause=0.05)
    async with serving(slow) as heard, client() as http:
        error = await refused(http, f"http://shop.example:{heard.port}/", within=0.5)
    assert error.code is ErrorCode.UPSTREAM_UNREACHABLE
    assert "within the time limit" in error.message


async def test_a_missing_response_is_aborted_at_the_deadline() -> None:
    async with serving(raw(b"", pause=30)) as heard, client() as http:
        error = await refused(http, f"http://shop.example:{heard.port}/", within=0.3)
    assert "within the time limit" in error.message


async def test_a_response_that_is_not_http_is_unreachable() -> None:
    async with serving(raw(b"SSH-2.0-OpenSSH_9.6\r\n")) as heard, client() as http:
        error = await refused(http, f"http://shop.example:{heard.port}/")
    assert error.code is ErrorCode.UPSTREAM_UNREACHABLE


@pytest.mark.parametrize(
    ("method", "headers"),
    [("GET / HTTP/1.1\r\nx: y", {}), ("GET", {"a b": "c"}), ("GET", {"a": "b\r\nc: d"})],
)
async def test_header_injection_is_refused(method: str, headers: dict[str, str]) -> None:
    async with serving(plain("no")) as heard, client() as http:
        error = await refused(
            http, f"http://shop.example:{heard.port}/", method=method, headers=headers
        )
    assert error.code is ErrorCode.INVALID_REQUEST
    assert not heard.heads


async def test_tls_uses_the_name_for_sni_and_certificate(
    certificate: tuple[Path, Path],
) -> None:
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(*certificate)
    asked: list[str | None] = []

    def note(_: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> None:
        asked.append(name)

    server_side.sni_callback = note
    trusting = ssl.create_default_context(cafile=str(certificate[0]))
    names = StaticResolver(shop_example=[["127.0.0.1"]], other_example=[["127.0.0.1"]])
    async with (
        serving(plain("safe"), tls=server_side) as heard,
        client(names, ssl_context=trusting, allow_http=False) as http,
    ):
        reply = await send(http, f"https://shop.example:{heard.port}/")
        error = await refused(http, f"https://other.example:{heard.port}/")
    assert reply.body == b"safe"
    assert asked == ["shop.example", "other.example"]
    assert f"host: shop.example:{heard.port}" in heard.heads[0].lower()
    assert error.code is ErrorCode.UPSTREAM_UNREACHABLE


async def test_a_long_body_is_truncated_on_request() -> None:
    async with serving(flood(HEAD + b"\r\n", b"x" * 65536)) as heard, client() as http:
        url = f"http://shop.example:{heard.port}/"
        call = OutboundRequest(
            method="GET", url=url, headers={}, body=None, max_bytes=1000, truncate=True
        )
        reply = await http.send(call, asyncio.get_running_loop().time() + 10.0)
    assert reply.body == b"x" * 1000


async def test_a_response_from_an_allowed_private_network_is_not_public() -> None:
    async with serving(plain("yes")) as heard, client() as http:
        assert not (await send(http, f"http://shop.example:{heard.port}/")).public
