"""The load generator against servers that answer in their own ways."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from slipstream.bench.load import Load
from slipstream.bench.plan import Plan
from slipstream.bench.result import Progress, Result
from slipstream.bench.target import Target
from tests.slipstream.running import free_port

Answer = Callable[[asyncio.StreamWriter, int], Awaitable[None]]
"""Writes the answer to the nth call of all."""

BODY = b'{"x": 1}'
GOOD = b"HTTP/1.1 200 OK\r\nServer-Timing: infer;dur=0.25\r\nContent-Length: 2\r\n\r\n{}"
CLOSING = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"
PROBLEM = b'HTTP/1.1 503 No\r\nContent-Length: 21\r\n\r\n{"code":"overloaded"}'


async def measured(
    answer: Answer, until: Callable[[Progress], bool], *, connections: int = 2
) -> Result:
    """Load a server that answers with `answer`, until it went so far."""
    calls = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        try:
            while await reader.readuntil(BODY):
                calls += 1
                await answer(writer, calls)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    async with server:
        return await load(port, until, connections=connections)


async def load(port: int, until: Callable[[Progress], bool], *, connections: int = 2) -> Result:
    target = Target(url=f"http://127.0.0.1:{port}/", body=BODY, key=None)
    stop = asyncio.Event()
    plan = Plan.of(target, connections=connections, seconds=60, warmup=0)

    def watch(progress: Progress) -> None:
        if until(progress):
            stop.set()

    result = await Load(Plan.from_line(plan.to_line())).run(stop, watch)
    assert result is not None
    assert result.connections == connections
    return result


def some_answered(progress: Progress) -> bool:
    return progress.answered > 10


def some_of_both(progress: Progress) -> bool:
    return progress.answered > 2 and progress.failed > 2


@pytest.mark.parametrize("form", [GOOD, CLOSING, CHUNKED])
async def test_every_form_of_answer_counts_and_closed_connections_are_opened_again(
    form: bytes,
) -> None:
    async def answer(writer: asyncio.StreamWriter, _call: int) -> None:
        writer.write(form)
        if form is CLOSING:
            writer.close()

    result = await measured(answer, some_answered)
    assert result.answered > 10
    assert result.failures == ()
    assert (result.model_seconds is not None) == (form is GOOD)


async def test_an_answer_may_come_in_pieces() -> None:
    async def answer(writer: asyncio.StreamWriter, _call: int) -> None:
        for at in range(0, len(GOOD), 20):
            writer.write(GOOD[at : at + 20])
            await asyncio.sleep(0)

    result = await measured(answer, some_answered)
    assert result.failures == ()


async def test_refusals_are_counted_by_status_and_code() -> None:
    async def answer(writer: asyncio.StreamWriter, call: int) -> None:
        writer.write(PROBLEM if call % 3 == 0 else GOOD)

    result = await measured(answer, some_of_both)
    (failure,) = result.failures
    assert (failure.status, failure.code) == (503, "overloaded")
    assert failure.count == result.failed > 2
    assert sum(bucket.count for bucket in result.histogram) == result.answered > 2


@pytest.mark.parametrize(
    ("sent", "code"), [(b"", "connection_lost"), (b"nonsense\r\n\r\n", "malformed_answer")]
)
async def test_calls_without_a_whole_answer_are_counted_and_others_go_on(
    sent: bytes, code: str
) -> None:
    async def answer(writer: asyncio.StreamWriter, call: int) -> None:
        writer.write(GOOD if call % 2 else sent)
        if not call % 2:
            writer.close()

    result = await measured(answer, some_of_both)
    (failure,) = result.failures
    assert (failure.status, failure.code) == (None, code)


async def test_where_nobody_listens_every_attempt_is_counted() -> None:
    result = await load(free_port(), lambda progress: progress.failed > 2)
    assert result.answered == 0
    assert result.latency_seconds is None
    assert [failure.code for failure in result.failures] == ["connection_refused"]


async def test_calls_that_are_never_answered_are_seen_to_wait() -> None:
    async def answer(writer: asyncio.StreamWriter, call: int) -> None:
        if call % 3:
            writer.write(GOOD)

    result = await measured(answer, lambda progress: progress.answered > 0, connections=1)
    assert result.answered == 2
    assert result.waiting == 1
    assert result.longest_wait_seconds > 0


async def test_a_load_that_is_stopped_before_it_measures_has_no_result() -> None:
    target = Target(url=f"http://127.0.0.1:{free_port()}/", body=BODY, key=None)
    plan = Plan.of(target, connections=1, seconds=60, warmup=60)
    stop = asyncio.Event()

    def watch(progress: Progress) -> None:
        assert progress.warming_up
        stop.set()

    assert await Load(plan).run(stop, watch) is None
