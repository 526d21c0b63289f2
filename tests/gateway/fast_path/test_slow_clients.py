"""Clients that take their time, send too much of what is cheap, or come in crowds."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from gateway.web.connection_limits import ConnectionLimits
from tests.gateway.fast_path.client import Answer, Client, post
from tests.gateway.fast_path.conftest import Serve, Served
from tests.timing import TIMEOUT_SECONDS, Timer

ECHO = b"/direct/echo"
ASGI = b"/asgi/echo"
SECONDS = 0.4


# Any: limits of all types
async def limited(serve: Serve, **limits: Any) -> Served:
    """Return a server with other limits than usual."""
    served = await serve()
    served.application.limits = ConnectionLimits(**limits)
    return served


async def drip(client: Client, data: bytes, pause: float) -> None:
    """Send byte by byte, until the server closes the connection."""
    for position in range(len(data)):
        if client.writer.is_closing():
            return
        client.send(data[position : position + 1])
        await asyncio.sleep(pause)


def code_of(answer: Answer) -> str:
    code: str = orjson.loads(answer.body)["code"]
    return code


@pytest.mark.parametrize("target", [ECHO, ASGI])
async def test_slow_headers_are_answered_408(serve: Serve, target: bytes) -> None:
    served = await limited(serve, header_seconds=SECONDS)
    client = await served.client()
    timer = Timer()
    dripping = asyncio.create_task(drip(client, post(target, b"", b"x: " + b"y" * 500), 0.05))
    answer = await client.answer()
    assert (answer.status, answer.closes, code_of(answer)) == (408, True, "request_timeout")
    assert timer.elapsed > 0.9 * SECONDS
    assert await client.rest() == b""
    dripping.cancel()


@pytest.mark.parametrize("target", [ECHO, ASGI])
async def test_a_slow_body_is_answered_408(serve: Serve, target: bytes) -> None:
    served = await limited(serve, body_seconds=SECONDS)
    client = await served.client()
    dripping = asyncio.create_task(drip(client, post(target, b"z" * 2000)[:-1500], 0.01))
    answer = await client.answer()
    assert answer.status == 408
    assert await client.rest() == b""
    dripping.cancel()


async def test_a_slow_second_request_is_answered_408(serve: Serve) -> None:
    served = await limited(serve, header_seconds=SECONDS)
    client = await served.client()
    assert (await client.asked(post(ECHO))).status == 200
    await asyncio.sleep(1.5 * SECONDS)
    assert (await client.asked(post(ECHO))).status == 200, "idle is not slow"
    client.send(post(ECHO)[:20])
    assert (await client.answer()).status == 408


async def test_a_large_body_that_keeps_coming_has_more_time(serve: Serve) -> None:
    served = await limited(serve, body_seconds=SECONDS, bytes_per_second=20_000)
    client = await served.client()
    request = post(ECHO, b"z" * 60_000)
    for start in range(0, len(request), 4000):
        client.send(request[start : start + 4000])
        await asyncio.sleep(0.06)
    assert (await client.answer()).status == 200


async def test_a_slow_head_behind_a_call_leaves_the_call_alone(serve: Serve) -> None:
    served = await limited(serve, header_seconds=SECONDS)
    client = await served.client()
    client.send(post(b"/direct/wait", b"1"))
    call = await served.route.waiting.get()
    client.send(post(ECHO)[:10])
    await asyncio.sleep(3 * SECONDS)
    call.echo()
    assert (await client.answer()).status == 200
    assert (await client.answer()).status == 408


async def test_an_unread_response_ends_its_connection(serve: Serve) -> None:
    served = await limited(serve, stall_seconds=SECONDS)
    client = await served.client()
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    client.send(post(b"/direct/large") * 12)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while served.server.server_state.connections:  # noqa: ASYNC110 - uvicorn's own set
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("target", [ECHO, ASGI])
async def test_a_url_that_is_too_long_is_answered_414(serve: Serve, target: bytes) -> None:
    served = await limited(serve, max_url_bytes=300)
    client = await served.client()
    long = await client.asked(post(target + b"?" + b"q" * 300, b"body that is not read"))
    assert (long.status, long.closes, code_of(long)) == (414, True, "url_too_long")
    assert (await (await served.client()).asked(post(target + b"?" + b"q" * 200))).status == 200
    assert served.route.waiting.empty()


@pytest.mark.parametrize("target", [ECHO, ASGI])
@pytest.mark.parametrize(
    "headers",
    [
        [b"x-%d: y" % number for number in range(120)],
        [b"x: " + b"y" * 40_000],
        [b"x: " + b"y" * 500_000],
    ],
)
async def test_headers_that_are_too_many_or_too_large_are_answered_431(
    serve: Serve, target: bytes, headers: list[bytes]
) -> None:
    served = await limited(serve)
    client = await served.client()
    client.send(post(target, b"body", *headers))
    try:
        answer = await client.answer()
    except (ConnectionResetError, asyncio.IncompleteReadError):
        assert sum(map(len, headers)) > 100_000, "only of the largest is the answer lost"
    else:
        assert (answer.status, code_of(answer)) == (431, "headers_too_large")
    assert served.route.opened.empty()


async def test_a_second_head_in_one_read_is_measured_as_well(serve: Serve) -> None:
    served = await limited(serve, max_header_bytes=2000)
    client = await served.client()
    client.send(post(ECHO, b"1"), post(ECHO, b"2", b"x: " + b"y" * 3000))
    assert (await client.answer()).status == 200
    assert (await client.answer()).status == 431


async def test_many_headers_of_usual_size_pass(client: Client) -> None:
    headers = [b"x-%d: %b" % (number, b"y" * 200) for number in range(90)]
    assert (await client.asked(post(ECHO, b"", *headers))).status == 200


async def test_idle_connections_are_closed_to_admit_new_ones(serve: Serve) -> None:
    served = await limited(serve, max_connections=20)
    crowd = [await served.client() for _ in range(60)]
    for client in crowd[30:]:
        client.send(b"POST /direct/echo HTTP/1.1\r\n")
    newcomer = await served.client()
    assert (await newcomer.asked(post(ECHO, b"in"))).status == 200
    assert len(served.server.server_state.connections) <= 21
    assert await crowd[0].rest() == b""


async def test_a_new_connection_is_answered_503_while_all_are_busy(serve: Serve) -> None:
    served = await limited(serve, max_connections=3)
    busy = [await served.client() for _ in range(3)]
    for client in busy:
        client.send(post(b"/direct/wait"))
    calls = [await served.route.waiting.get() for _ in busy]
    answer = await (await served.client()).answer()
    assert (answer.status, code_of(answer)) == (503, "too_many_connections")
    for call in calls:
        call.echo()
    for client in busy:
        assert (await client.answer()).status == 200
