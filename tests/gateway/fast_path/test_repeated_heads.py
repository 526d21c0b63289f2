"""Requests that repeat the head of the one before: they are not parsed, and answered the same."""

from __future__ import annotations

import asyncio

import httptools
import pytest

from gateway.fast_path.connection import HttpConnection
from tests.gateway.fast_path.calls import LIMIT, echo_of
from tests.gateway.fast_path.client import Client, chunked, post
from tests.gateway.fast_path.conftest import Served
from tests.timing import TIMEOUT_SECONDS

ECHO, WAIT = b"/direct/echo", b"/direct/wait"


class Parsed:
    """How many reads of the connections of a test went through the parser."""

    def __init__(self) -> None:
        self.reads = 0


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> Parsed:
    """Count what is parsed from now on."""
    count = Parsed()

    class Parser(httptools.HttpRequestParser):
        def feed_data(self, data: bytes) -> None:
            count.reads += 1
            super().feed_data(data)

    monkeypatch.setattr(httptools, "HttpRequestParser", Parser)
    return count


def connection_of(served: Served) -> HttpConnection:
    """Return the server's only connection."""
    (connection,) = served.server.server_state.connections
    assert isinstance(connection, HttpConnection)
    return connection


async def test_a_repeated_head_is_parsed_once(
    parsed: Parsed, client: Client, served: Served
) -> None:
    for body in (b"one", b"two", b"", b"three", b"x" * 12_345, b"y"):
        assert (await client.asked(post(ECHO, body))).body == echo_of(ECHO, body)
        call = served.route.opened.get_nowait()
        assert call.head.headers[b"host"] == b"test"
    assert parsed.reads == 1
    assert served.server.server_state.total_requests == 6


async def test_any_other_head_is_parsed_and_its_headers_count(
    parsed: Parsed, client: Client, served: Served
) -> None:
    for number in range(4):
        key = b"x-key: %d" % number
        assert (await client.asked(post(ECHO, b"body", key))).status == 200
        assert served.route.opened.get_nowait().head.headers[b"x-key"] == b"%d" % number
    for target in (b"/direct/echo?a", b"/direct/echo/", ECHO):
        assert (await client.asked(post(target, b"body"))).body == echo_of(target, b"body")
    assert parsed.reads == 7


async def test_a_client_whose_heads_always_differ_is_compared_no_longer(
    client: Client, served: Served
) -> None:
    for number in range(12):
        await client.asked(post(ECHO, b"", b"x-number: %d" % number))
    assert connection_of(served)._repeated is None
    assert (await client.asked(post(ECHO, b"body"))).body == echo_of(ECHO, b"body")


@pytest.mark.parametrize(
    "second",
    [
        post(ECHO, b"abc") + post(ECHO, b"abc"),  # pipelined
        post(ECHO, b"abc")[:-1],  # not whole yet
        post(ECHO, b"abc").replace(b"content-length: 3", b"content-length: 2"),
        post(ECHO, b"abc").replace(b"content-length: 3", b"content-length: 03"),
        post(ECHO, b"abc").replace(b"content-length: 3", b"content-length:  3 "),
        post(ECHO, b"abc").replace(b"POST", b"PUT"),
        chunked(ECHO, b"abc"),
        b"\r\n" + post(ECHO, b"abc"),
    ],
    ids=["two", "partial", "short", "zeros", "spaces", "method", "chunked", "empty-line"],
)
async def test_nearly_identical_requests_get_the_parsers_answer(
    served: Served, second: bytes
) -> None:
    """The same bytes on a connection without a remembered head, and on one with it."""
    answers = []
    for warm in (False, True):
        client = await served.client()
        if warm:
            for _ in range(2):
                await client.asked(post(ECHO, b"abc"))
        client.send(second)
        await client.writer.drain()
        client.writer.write_eof()
        answers.append(await client.rest())
    assert answers[0] == answers[1]


@pytest.mark.parametrize("length", [b"+3", b"3, 3", b"3\r\ncontent-length: 3", b"0x3", b"-1", b" "])
async def test_an_invalid_length_in_a_known_head_is_refused(client: Client, length: bytes) -> None:
    for _ in range(2):
        await client.asked(post(ECHO, b"abc"))
    request = post(ECHO, b"abc").replace(b"content-length: 3", b"content-length: " + length)
    assert (await client.asked(request)).status == 400


async def test_a_head_with_two_meanings_is_not_remembered(client: Client, served: Served) -> None:
    expect = post(ECHO, b"", b"expect: 100-continue")
    for _ in range(2):
        assert (await client.asked(expect)).status in (100, 200)
    assert connection_of(served)._repeated is None
    both = post(ECHO, b"3\r\nabc\r\n0\r\n\r\n", b"transfer-encoding: chunked")
    client = await served.client()
    client.send(both)
    await client.writer.drain()
    client.writer.write_eof()
    assert (await client.rest()).startswith(b"HTTP/1.1 400")


async def test_a_body_over_the_limit_is_refused_in_a_known_head_too(client: Client) -> None:
    await client.asked(post(ECHO, b"small"))
    answer = await client.asked(post(ECHO, bytes(LIMIT + 1)))
    assert (answer.status, answer.body) == (413, b"payload_too_large")
    assert await client.rest() == b""


async def test_a_request_behind_one_in_progress_waits_for_its_turn(
    client: Client, served: Served
) -> None:
    for _ in range(3):
        client.send(post(WAIT, b"a"))
        (await served.route.waiting.get()).echo()
        await client.answer()
    client.send(post(WAIT, b"1"))
    first = await served.route.waiting.get()
    client.send(post(WAIT, b"2"))
    await client.writer.drain()
    await asyncio.sleep(0.05)
    assert served.route.waiting.empty()
    first.echo()
    (await served.route.waiting.get()).echo()
    assert (await client.answer()).body == echo_of(WAIT, b"1")
    assert (await client.answer()).body == echo_of(WAIT, b"2")


async def test_a_disconnect_during_a_repeated_request_is_noticed(
    client: Client, served: Served
) -> None:
    client.send(post(WAIT, b"a"))
    (await served.route.waiting.get()).echo()
    await client.answer()
    client.send(post(WAIT, b"b"))
    call = await served.route.waiting.get()
    client.abort()
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await call.lost_event.wait()


async def test_a_drain_closes_the_connection_after_a_repeated_request(
    client: Client, served: Served
) -> None:
    for _ in range(2):
        client.send(post(WAIT, b"a"))
        (await served.route.waiting.get()).echo()
        await client.answer()
    client.send(post(WAIT, b"b"))
    call = await served.route.waiting.get()
    connection_of(served).shutdown()
    call.echo()
    assert (await client.answer()).closes
    assert await client.rest() == b""
