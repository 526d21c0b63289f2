"""Many requests in one write: answered in their order, whatever way they take and when they end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.fast_path.connection import HttpConnection
from gateway.fast_path.http_call import HttpCall
from tests.gateway.fast_path.calls import echo_of
from tests.gateway.fast_path.client import Client, chunked, post
from tests.gateway.fast_path.conftest import Served

ECHO, WAIT = b"/direct/echo", b"/direct/wait"
ASGI, ASGI_WAIT = b"/asgi/echo", b"/asgi/wait"
STILL_SECONDS = 0.5
"""A server that has read nothing for so long has stopped to."""
MUCH = 64 * 2**20
"""Bytes that would not fit into the kernel's buffers."""

SHAPES = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def calls_in_memory() -> int:
    """Return how many calls are in memory."""
    return sum(isinstance(each, HttpCall) for each in gc.get_objects())


@contextlib.contextmanager
def no_collector() -> Iterator[None]:
    """Leave garbage that only the collector could find."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.parametrize("count", [2, 3, 100, 2000])
@pytest.mark.parametrize(
    "targets", [(ECHO,), (ECHO, ASGI), (ASGI, ECHO, ECHO)], ids=["short", "mixed", "triple"]
)
async def test_answers_come_in_the_order_of_the_requests(
    client: Client, count: int, targets: tuple[bytes, ...]
) -> None:
    sent = [(targets[number % len(targets)], b"%d" % number) for number in range(count)]
    client.send(*[post(target, body) for target, body in sent])
    for target, body in sent:
        assert (await client.answer()).body == echo_of(target, body)


async def test_two_thousand_pipelined_requests_do_not_recurse(
    client: Client, served: Served
) -> None:
    client.send(post(WAIT, b"first"), *[post(ECHO, b"%d" % number) for number in range(2000)])
    call = await served.route.waiting.get()
    assert served.route.opened.qsize() == 1, "none begins before its turn"
    call.echo()
    assert (await client.answer()).body == echo_of(WAIT, b"first")
    for number in range(2000):
        assert (await client.answer()).body == echo_of(ECHO, b"%d" % number)


@SHAPES
@given(targets=st.lists(st.sampled_from([ECHO, WAIT, ASGI, ASGI_WAIT]), min_size=1, max_size=12))
async def test_any_mixture_is_answered_in_its_order(served: Served, targets: list[bytes]) -> None:
    client = await served.client()
    client.send(*[post(target, b"%d" % number) for number, target in enumerate(targets)])
    for number, target in enumerate(targets):
        if target == WAIT:
            (await served.route.waiting.get()).echo()
        elif target == ASGI_WAIT:
            (await served.application.waiting.get())()
        assert (await client.answer()).body == echo_of(target, b"%d" % number)
    await client.close()


@SHAPES
@given(data=st.data())
async def test_any_split_of_the_same_bytes_gives_the_same_answers(
    served: Served, data: st.DataObject
) -> None:
    bodies = [b"", b"short", b"x" * 3000]
    sent = [
        (target, body, make)
        for target, body in zip([ECHO, ASGI, ECHO, ECHO, ASGI, ECHO], bodies * 2, strict=True)
        for make in (post, chunked)
    ]
    stream = b"".join([make(target, body) for target, body, make in sent if body or make is post])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    client = await served.client()
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        client.send(stream[start:end])
        await client.writer.drain()
        for _ in range(data.draw(st.integers(0, 3))):
            await asyncio.sleep(0)
    for target, body, make in sent:
        if body or make is post:
            assert (await client.answer()).body == echo_of(target, body)
    await client.close()


async def flood(served: Served, client: Client, request: bytes) -> int:
    """Send `request` again and again until nothing more is taken; return how often it was sent."""
    await client.asked(post(ECHO))
    (connection,) = served.server.server_state.connections
    for end in (client.writer, connection.transport):
        for buffer in (socket.SO_SNDBUF, socket.SO_RCVBUF):  # the kernel's would take megabytes
            end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, buffer, 64 * 1024)
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    client.writer.transport.set_write_buffer_limits(0)
    times = 64 * 1024 // len(request)
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent * len(request) < MUCH:
            client.send(request * times)
            sent += times
            async with asyncio.timeout(STILL_SECONDS):
                await client.writer.drain()
    return sent


@pytest.mark.parametrize("target", [ECHO, WAIT, ASGI, ASGI_WAIT])
async def test_a_client_that_floods_and_reads_nothing_uses_bounded_memory(
    client: Client, served: Served, target: bytes
) -> None:
    sent = await flood(served, client, post(target))
    assert sent * len(post(target)) < MUCH
    (connection,) = served.server.server_state.connections
    assert isinstance(connection, HttpConnection)
    assert len(connection.pipeline) < 10_000  # what fits into one read
    assert connection.transport.get_write_buffer_size() < 2**20
    if target in (ECHO, ASGI):
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        for _ in range(sent):
            assert (await client.answer()).body == echo_of(target, b"")


async def test_a_client_that_does_not_read_gets_no_further_requests_handled(served: Served) -> None:
    client = await served.client()
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    client.send(*[post(b"/direct/large", b"%d" % number) for number in range(50)])
    for _ in range(2):  # some fit into the kernel's buffers
        await served.route.opened.get()
    await (await served.client()).asked(post(ECHO))
    assert served.route.opened.qsize() < 40
    client.writer.transport.resume_reading()  # type: ignore[attr-defined]
    for _ in range(50):
        assert (await client.answer()).body == bytes(1_000_000)


async def test_answered_calls_are_freed_without_the_garbage_collector(
    client: Client, served: Served
) -> None:
    before = calls_in_memory()
    with no_collector():
        for _ in range(50):
            await client.asked(post(ECHO, bytes(100)))
            served.route.opened.get_nowait()
            client.send(post(WAIT, b"later"))
            (await served.route.waiting.get()).echo()
            await client.answer()
            served.route.opened.get_nowait()
        assert calls_in_memory() <= before + 2
