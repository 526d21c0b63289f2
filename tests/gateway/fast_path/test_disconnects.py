"""How connections end: by the client, by time, by the server, in the middle of everything."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.gateway.fast_path.calls import echo_of
from tests.gateway.fast_path.client import Client, post
from tests.gateway.fast_path.conftest import Serve, Served
from tests.timing import TIMEOUT_SECONDS, Timer

ECHO, WAIT = b"/direct/echo", b"/direct/wait"
IDLE_SECONDS = 1


async def soon(event: asyncio.Event) -> None:
    """Wait for something that must come."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await event.wait()


async def leave(client: Client, how: str) -> None:
    """End a connection, as programs do or as a crash does; or only say that no more will come."""
    if how == "abort":
        client.abort()
    elif how == "half":
        client.writer.write_eof()
    else:
        await client.close()


@pytest.mark.parametrize("how", ["close", "abort"])
async def test_a_disconnect_within_the_body_is_noticed_once(
    client: Client, served: Served, how: str
) -> None:
    client.send(post(ECHO, b"body")[:-1])
    call = await served.route.opened.get()
    await leave(client, how)
    await soon(call.lost_event)
    call.echo()
    assert (call.losses, call.body) == (1, None)
    assert not served.server.server_state.connections


# A client that only closes its own side looks like one that has left: who waited for the answer of
# the first could not cancel the second's. uvicorn decides so, too.
@pytest.mark.parametrize("how", ["close", "abort", "half"])
async def test_the_call_of_a_disconnected_client_is_abandoned(
    client: Client, served: Served, how: str
) -> None:
    client.send(post(WAIT, b"body"), post(ECHO), post(WAIT))
    call = await served.route.waiting.get()
    await leave(client, how)
    await soon(call.lost_event)
    call.echo()
    assert call.losses == 1
    assert served.route.opened.get_nowait() is call
    assert served.route.opened.empty(), "what is behind it does not begin"
    if how == "half":
        assert await client.rest() == b"", "nothing is written after it"
    assert (await (await served.client()).asked(post(ECHO))).status == 200


async def test_a_half_closed_connection_gets_the_responses_that_are_ready(
    client: Client, served: Served
) -> None:
    client.send(post(ECHO, b"1"), post(ECHO, b"2"))
    client.writer.write_eof()
    assert (await client.answer()).body == echo_of(ECHO, b"1")
    assert (await client.answer()).body == echo_of(ECHO, b"2")
    assert await client.rest() == b""


async def test_an_asgi_application_gets_a_disconnect_with_requests_queued(
    client: Client, served: Served
) -> None:
    client.send(post(b"/asgi/leave"))
    client.send(post(ECHO))
    await asyncio.sleep(0)
    client.abort()
    async with asyncio.timeout(TIMEOUT_SECONDS):
        assert await served.application.disconnects.get() == "/asgi/leave"
    assert served.route.opened.empty()


async def test_idle_connections_are_closed_in_time_and_not_before(serve: Serve) -> None:
    served = await serve(timeout_keep_alive=IDLE_SECONDS)
    busy, reading = await served.client(), await served.client()
    busy.send(post(WAIT, b"longer"))
    reading.send(post(ECHO, b"longer")[:-1])
    call = await served.route.waiting.get()

    async def is_closed_in_time(*parts: bytes) -> None:
        client = await served.client()
        client.send(*parts)
        if parts[:1] == (post(ECHO),):
            await client.answer()
        timer = Timer()
        assert await client.rest() == b""
        assert timer.elapsed > 0.9 * IDLE_SECONDS
        assert timer.seconds < 10 * IDLE_SECONDS

    head = post(ECHO)[:-10]
    beginnings = [(), (head,), (post(ECHO),), (post(ECHO), head)]
    await asyncio.gather(*(is_closed_in_time(*parts) for parts in beginnings))
    call.echo()
    assert (await busy.answer()).body == echo_of(WAIT, b"longer")
    reading.send(b"r")
    assert (await reading.answer()).status == 200


@pytest.mark.long
async def test_a_connection_in_use_lives_longer_than_an_idle_one(serve: Serve) -> None:
    served = await serve(timeout_keep_alive=IDLE_SECONDS)
    client = await served.client()
    until = time.monotonic() + 2.5 * IDLE_SECONDS
    while time.monotonic() < until:
        client.send(post(WAIT))
        call = await served.route.waiting.get()
        asyncio.get_running_loop().call_later(0.3 * IDLE_SECONDS, call.echo)
        assert (await client.answer()).status == 200


async def test_a_large_answer_is_read_to_its_end_however_long_that_takes(serve: Serve) -> None:
    served = await serve(timeout_keep_alive=IDLE_SECONDS)
    slow, idle = await served.client(), await served.client()
    slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
    slow.send(post(b"/direct/large"), post(b"/direct/large"))
    assert await idle.rest() == b""
    await asyncio.sleep(0)
    slow.writer.transport.resume_reading()  # type: ignore[attr-defined]
    assert (await slow.answer()).body == bytes(1_000_000)


async def test_a_server_that_ends_answers_what_it_has_and_closes_the_rest(serve: Serve) -> None:
    served = await serve()
    pending, queued, idle, silent = [await served.client() for _ in range(4)]
    assert (await idle.asked(post(ECHO))).status == 200
    pending.send(post(WAIT, b"last"))
    call = await served.route.waiting.get()
    queued.send(post(WAIT, b"first"), post(ECHO, b"second"))
    first = await served.route.waiting.get()
    served.server.should_exit = True
    for client in (idle, silent):
        assert await client.rest() == b""
    assert not served.server.ended.done()
    call.echo()
    first.echo()
    answer = await pending.answer()
    assert (answer.body, answer.closes) == (echo_of(WAIT, b"last"), True)
    assert not (await queued.answer()).closes
    assert (await queued.answer()).closes
    for client in (pending, queued):
        assert await client.rest() == b""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await served.server.ended
