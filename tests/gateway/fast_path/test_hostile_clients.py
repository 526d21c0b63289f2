"""Malformed and ambiguous requests: they are judged as by uvicorn, and harm no other client."""

from __future__ import annotations

import asyncio

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tests.gateway.fast_path.client import Client, post
from tests.gateway.fast_path.conftest import Serve, Served

ECHO = b"/direct/echo"
WAITS = 1.0
"""A server that has not answered for so long waits for more."""


def lines(*given: bytes, body: bytes = b"", end: bytes = b"\r\n") -> bytes:
    """Return a request that ends its connection, with header lines as they are given."""
    return end.join(
        [b"POST /direct/echo HTTP/1.1", b"host: x", *given, b"connection: close", b"", body]
    )


HIDDEN = post(b"/direct/hidden")
CASES = {
    "both lengths": lines(b"content-length: 4", b"transfer-encoding: chunked", body=b"0\r\n\r\n"),
    "both lengths turned": lines(
        b"transfer-encoding: chunked", b"content-length: 5", body=b"0\r\n\r\n" + HIDDEN
    ),
    "two lengths": lines(b"content-length: 1", b"content-length: 2", body=b"ab"),
    "two equal lengths": lines(b"content-length: 2", b"content-length: 2", body=b"ab"),
    "listed lengths": lines(b"content-length: 2, 2", body=b"ab"),
    "signed length": lines(b"content-length: +2", body=b"ab"),
    "negative length": lines(b"content-length: -2", body=b"ab"),
    "hexadecimal length": lines(b"content-length: 0x2", body=b"ab"),
    "no length": lines(b"content-length: ", body=b"ab"),
    "word for a length": lines(b"content-length: two", body=b"ab"),
    "spaced length": lines(b"content-length: \t 2 ", body=b"ab"),
    "endless length": lines(b"content-length: " + b"9" * 40),
    "folded header": lines(b"x-a: b", b" c: d", b"content-length: 0"),
    "folded length": lines(b"content-length:", b" 2", body=b"ab"),
    "line feeds": lines(b"content-length: 2", body=b"ab", end=b"\n"),
    "carriage returns": lines(b"content-length: 2", body=b"ab", end=b"\r"),
    "space before colon": lines(b"content-length : 2", body=b"ab"),
    "no colon": lines(b"content-length 2", body=b"ab"),
    "no name": lines(b": 2", body=b"ab"),
    "zero byte": lines(b"x-a: b\0c"),
    "other coding": lines(b"transfer-encoding: gzip", body=b"ab"),
    "coding of chunks": lines(b"transfer-encoding: chunked, gzip", body=b"0\r\n\r\n"),
    "chunks of a coding": lines(b"transfer-encoding: gzip, chunked", body=b"0\r\n\r\n"),
    "almost chunked": lines(b"transfer-encoding: xchunked", body=b"0\r\n\r\n"),
    "chunked twice": lines(
        b"transfer-encoding: chunked", b"transfer-encoding: chunked", body=b"0\r\n\r\n"
    ),
    "bad chunk size": lines(b"transfer-encoding: chunked", body=b"g\r\n"),
    "endless chunk size": lines(b"transfer-encoding: chunked", body=b"f" * 20 + b"\r\n"),
    "signed chunk size": lines(b"transfer-encoding: chunked", body=b"+1\r\na\r\n0\r\n\r\n"),
    "long chunk": lines(b"transfer-encoding: chunked", body=b"1\r\nab\r\n0\r\n\r\n"),
    "chunk line feeds": lines(b"transfer-encoding: chunked", body=b"1\na\n0\n\n"),
    "chunk extension": lines(b"transfer-encoding: chunked", body=b"1;a=b\r\nc\r\n0\r\n\r\n"),
    "small method": lines().replace(b"POST", b"post"),
    "other version": lines().replace(b"HTTP/1.1", b"HTTP/1.2"),
    "new version": lines().replace(b"HTTP/1.1", b"HTTP/2.0"),
    "no version": lines().replace(b" HTTP/1.1", b""),
    "two spaces": lines().replace(b"POST ", b"POST  "),
    "relative target": lines().replace(b"/direct", b"direct"),
    "other scheme": lines().replace(ECHO, b"ftp://x" + ECHO),
    "target of bytes": lines().replace(ECHO, b"/direct\xff/echo"),
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    "preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "text": b"hello?\r\n\r\n",
    "empty lines first": b"\r\n\r\n" + lines(),
}


async def verdict(client: Client, data: bytes) -> tuple[bytes, bool]:
    """Return all that is answered, and whether the connection was closed then."""
    client.send(data)
    came = b""
    try:
        async with asyncio.timeout(WAITS):
            while part := await client.reader.read(1 << 16):
                came += part
    except TimeoutError:
        return came, False
    except ConnectionResetError:  # with something of ours unread
        pass
    return came, True


@pytest.mark.parametrize("name", CASES)
async def test_malformed_requests_are_judged_as_by_uvicorn(serve: Serve, name: str) -> None:
    ours, theirs = await serve(), await serve(http=HttpToolsProtocol)
    data = CASES[name]
    mine, expected = await asyncio.gather(
        verdict(await ours.client(), data), verdict(await theirs.client(), data)
    )
    assert mine == expected
    assert b"hidden" not in mine[0]
    answer = await (await ours.client()).asked(post(ECHO, b"next"))
    assert answer.status == 200, "the server lives"


@pytest.mark.parametrize("target", [b"GET *", b"POST *", b"OPTIONS *a"])
async def test_an_asterisk_is_a_target_of_options_only(client: Client, target: bytes) -> None:
    client.send(lines().replace(b"POST " + ECHO, target))
    answer = await client.answer()
    assert (answer.status, answer.closes) == (400, True)
    assert b"expected a path such as /livez, got '" + target in answer.body


async def test_options_may_ask_about_the_whole_server(client: Client) -> None:
    client.send(lines().replace(b"POST " + ECHO, b"OPTIONS *"))
    assert (await client.answer()).status != 400


async def test_garbage_is_refused_and_ends_its_connection(client: Client, served: Served) -> None:
    client.send(b"\0 garbage\r\n\r\n", post(ECHO))
    answer = await client.answer()
    assert (answer.status, answer.closes) == (400, True)
    assert await client.rest() == b""
    assert served.route.opened.empty()


async def test_garbage_behind_a_response_leaves_the_response_intact(client: Client) -> None:
    client.send(post(ECHO), b"garbage\r\n\r\n")
    assert (await client.answer()).status == 200
    assert (await client.answer()).status == 400
    assert await client.rest() == b""


async def test_garbage_behind_a_call_abandons_the_call(client: Client, served: Served) -> None:
    client.send(post(b"/direct/wait"))
    call = await served.route.waiting.get()
    client.send(b"garbage\r\n\r\n")
    assert (await client.answer()).status == 400
    assert await client.rest() == b""
    await call.lost_event.wait()
    call.echo()
    assert call.losses == 1


async def test_a_malformed_body_abandons_its_call(client: Client, served: Served) -> None:
    client.send(lines(b"transfer-encoding: chunked", body=b"3\r\nabc\r\nz"))
    call = await served.route.opened.get()
    assert (await client.answer()).status == 400
    await call.lost_event.wait()
    assert call.body is None


@pytest.mark.parametrize(
    "begun",
    [
        b"POST /" + b"x",
        b"POST /direct/echo HTTP/1.1\r\nx: ",
        post(ECHO)[:-2],
        post(b"/asgi/echo")[:-2],
        lines(b"transfer-encoding: chunked", body=b"0\r\nx: "),
        lines(b"transfer-encoding: chunked", body=b"1;"),
    ],
)
async def test_bytes_that_never_become_a_request_are_not_buffered(
    client: Client, served: Served, begun: bytes
) -> None:
    client.send(begun)
    filler = b"name: value\r\n" if begun.endswith(b"\r\n") else b"x"
    client.send(filler * (2**21 // len(filler)))
    # the answer is lost where the connection is closed before all of it was read
    assert (await client.rest())[:13] in (b"", b"HTTP/1.1 400 ", b"HTTP/1.1 431 ")
    assert (await (await served.client()).asked(post(ECHO))).status == 200


def headed(*lines: bytes, target: bytes = ECHO, version: bytes = b"1.1") -> bytes:
    """Return a request with only these header lines."""
    head = [b"POST %b HTTP/%b" % (target, version), b"content-length: 0", *lines]
    return b"\r\n".join([*head, b"", b""])


@pytest.mark.parametrize(
    "lines",
    [
        (),
        (b"host:",),
        (b"host: a", b"host: a"),
        (b"host: a", b"Host: b"),
        (b"host: a, b",),
        (b"host: a b",),
        (b"host: user@a",),
        (b"host: a/path",),
        (b"host: a:port",),
        (b"host: a:80:80",),
        (b"host: [::1",),
        (b"host: a", b"x-api-key: one", b"X-API-Key: two"),
        (b"host: a", b"x-api-key: one", b"x-api-key: one"),
    ],
)
@pytest.mark.parametrize("target", [ECHO, b"/asgi/echo", b"http://a/direct/echo"])
async def test_host_and_key_are_one_line_each(
    client: Client, served: Served, lines: tuple[bytes, ...], target: bytes
) -> None:
    client.send(headed(*lines, target=target), HIDDEN)
    answer = await client.answer()
    assert (answer.status, answer.closes) == (400, True)
    assert b"invalid_request" in answer.body
    assert await client.rest() == b""
    assert served.route.opened.empty()


@pytest.mark.parametrize(
    "host", [b"a", b"a.example:8000", b"127.0.0.1", b"[::1]:80", b"a:", b"xn--bcher-kva.example"]
)
async def test_a_host_with_or_without_a_port_is_accepted(client: Client, host: bytes) -> None:
    assert (await client.asked(headed(b"host: " + host))).status == 200
    assert (await client.asked(headed(version=b"1.0"))).status == 200, "HTTP/1.0 needs none"
