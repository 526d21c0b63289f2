"""The load generator against servers that answer in various ways."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from slipstream.bench.load import create_load
from slipstream.bench.plan import LoadPlan
from slipstream.bench.result import LoadProgress, LoadResult
from slipstream.bench.target import BenchTarget
from tests.slipstream.running import free_port

Answer = Callable[[asyncio.StreamWriter, int], Awaitable[None]]
"""Writes the answer to the nth call of all."""

BODY = b'{"x": 1}'
GOOD = b"HTTP/1.1 200 OK\r\nServer-Timing: infer;dur=0.25\r\nContent-Length: 2\r\n\r\n{}"
CLOSING = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"
REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\n" + BODY
THROTTLED = b"HTTP/1.1 429 No\r\nContent-Length: 0\r\n\r\n"
PROBLEM = b'HTTP/1.1 503 No\r\nContent-Length: 21\r\n\r\n{"code":"overloaded"}'


async def measured(
    answer: Answer, until: Callable[[LoadProgress], bool], *, connections: int = 2
) -> LoadResult:
    """Load a server that answers with `answer`, until `until` is true."""
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


async def load(
    port: int, until: Callable[[LoadProgress], bool], *, connections: int = 2
) -> LoadResult:
    target = BenchTarget(url=f"http://127.0.0.1:{port}/", body=BODY, key=None)
    stop = asyncio.Event()
    plan = LoadPlan.of(target, connections=connections, seconds=60, warmup=0)

    def watch(progress: LoadProgress) -> None:
        if until(progress):
            stop.set()

    result = await create_load(LoadPlan.from_line(plan.to_line())).run(stop, watch)
    assert result is not None
    assert result.connections == connections
    return result


def some_answered(progress: LoadProgress) -> bool:
    return progress.answered > 10


def some_of_both(progress: LoadProgress) -> bool:
    return progress.answered > 2 and progress.failed > 2


@pytest.mark.parametrize("form", [GOOD, CLOSING, CHUNKED])
async def test_every_response_framing_counts_and_closed_connections_are_reopened(
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


async def test_a_response_may_arrive_in_pieces() -> None:
    async def answer(writer: asyncio.StreamWriter, _call: int) -> None:
        for at in range(0, len(GOOD), 20):
            writer.write(GOOD[at : at + 20])
            await asyncio.sleep(0)

    result = await measured(answer, some_answered)
    assert result.failures == ()


async def test_error_responses_are_counted_by_status_and_code() -> None:
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
async def test_calls_without_a_complete_response_are_counted_as_failed(
    sent: bytes, code: str
) -> None:
    async def answer(writer: asyncio.StreamWriter, call: int) -> None:
        writer.write(GOOD if call % 2 else sent)
        if not call % 2:
            writer.close()

    result = await measured(answer, some_of_both)
    (failure,) = result.failures
    assert (failure.status, failure.code) == (None, code)


async def test_refused_connections_are_counted() -> None:
    result = await load(free_port(), lambda progress: progress.failed > 2)
    assert result.answered == 0
    assert result.latency_seconds is None
    assert [failure.code for failure in result.failures] == ["connection_refused"]


async def test_unanswered_calls_are_reported_as_waiting() -> None:
    async def answer(writer: asyncio.StreamWriter, call: int) -> None:
        if call % 3:
            writer.write(GOOD)

    result = await measured(answer, lambda progress: progress.answered > 0, connections=1)
    assert result.answered == 2
    assert result.waiting == 1
    assert result.longest_wait_seconds > 0


async def test_a_load_that_is_stopped_before_it_measures_has_no_result() -> None:
    target = BenchTarget(url=f"http://127.0.0.1:{free_port()}/", body=BODY, key=None)
    plan = LoadPlan.of(target, connections=1, seconds=60, warmup=60)
    stop = asyncio.Event()

    def watch(progress: LoadProgress) -> None:
        assert progress.warming_up
        stop.set()

    assert await create_load(plan).run(stop, watch) is None


async def test_calls_at_a_rate_arrive_whether_or_not_earlier_ones_are_answered() -> None:
    calls = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(BODY):
                calls += 1
                if calls % 4 == 0:
                    writer.write(THROTTLED)
                else:
                    # slower than the deadline every second time
                    await asyncio.sleep(0.3 if calls % 2 else 0.0)
                    writer.write(GOOD)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    async with server:
        plan = LoadPlan(
            host="127.0.0.1",
            port=port,
            tls=False,
            requests=(REQUEST,),
            connections=100,
            seconds=1.0,
            warmup=0.2,
            rate=100.0,
            deadline=0.2,
        )
        result = await create_load(plan).run(asyncio.Event(), lambda _: None)
    assert result is not None
    arrivals = result.arrivals
    assert arrivals is not None
    assert 60 < arrivals.offered < 150
    assert result.answered + result.failed == pytest.approx(arrivals.offered, abs=40)
    assert result.answered > arrivals.late > 0
    assert 0 < arrivals.good_per_second < result.answered
    assert arrivals.without_retry_after == result.failed > 0
    assert [failure.status for failure in result.failures] == [429]
