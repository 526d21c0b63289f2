"""Which server takes a call, and the error where none does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.errors import GatewayError
from gateway.upstream import inference_stream
from gateway.upstream import servers as servers_module
from gateway.upstream.servers import InferenceServers, ReplicaStatus, ServerStatus
from gateway.web.problems import problem
from protos import open_inference_pb2 as pb
from protos.errors import ErrorCode
from tests.gateway.upstream.conftest import LIMIT, soon, until
from tests.gateway.upstream.stock_server import Answer, Request, StockServer, echo, failure
from tests.timing import TIMEOUT_SECONDS, Clock


def status(
    version: int = 1,
    state: str = "ready",
    *,
    model: str = "iris",
    wanted: bool = True,
    asleep: bool = False,
    generation: int = 1,
    address: str | tuple[str, ...] = (),
    phase: str | None = None,
    reason: str | None = None,
    seconds_ago: float | None = None,
    boot_seconds: float | None = None,
) -> ServerStatus:
    """Return a status as the fleet would have it."""
    addresses = (address,) if isinstance(address, str) else address
    started = None if seconds_ago is None else datetime.now(UTC) - timedelta(seconds=seconds_ago)
    return ServerStatus(
        model=model,
        version=version,
        wanted=wanted and not asleep,
        asleep=asleep,
        generation=generation,
        state=state,
        replicas=tuple(
            ReplicaStatus(slot=slot, address=each) for slot, each in enumerate(addresses or [None])
        ),
        phase=phase,
        reason=reason,
        started_at=started,
        boot_seconds=boot_seconds,
    )


@pytest_asyncio.fixture
async def servers() -> AsyncIterator[InferenceServers]:
    """An empty list of servers."""
    made = InferenceServers(max_message_bytes=LIMIT, drain_seconds=TIMEOUT_SECONDS)
    yield made
    await soon(made.close())


@pytest_asyncio.fixture
async def other(socket_folder: Path) -> AsyncIterator[StockServer]:
    """A second server."""
    async with StockServer(socket_folder / "other.sock") as server:
        yield server


def absence(servers: InferenceServers, model: str = "iris", version: int = 1) -> GatewayError:
    """Return what a caller is told."""
    with pytest.raises(GatewayError) as caught:
        servers.stream(model, version)
    return caught.value


def retry_after(error: GatewayError) -> str | None:
    """Return the header that the caller gets."""
    _, headers, _ = problem(error, b"r")
    found = dict(headers).get(b"retry-after")
    return found.decode() if found else None


async def called(servers: InferenceServers, version: int = 1) -> bytes:
    """Return what comes back of a call."""
    request = pb.ModelInferRequest(model_name="iris", raw_input_contents=[b"sent"])
    answer = await servers.stream("iris", version).infer(request, TIMEOUT_SECONDS)
    return answer.raw_output_contents[0]


async def test_a_model_that_is_not_served_is_no_active_inference(servers: InferenceServers) -> None:
    servers.apply([status(2, "stopped", wanted=False)])
    for model, version, title, command in (
        ("iris", 1, "iris version 1", "iris --version 1"),
        ("iris", 2, "iris version 2", "iris --version 2"),
        ("mlp", 0, "the model 'mlp'", "mlp"),
    ):
        error = absence(servers, model, version)
        assert error.code is ErrorCode.NO_ACTIVE_INFERENCE
        assert error.message == (
            f"no inference server is active for {title}: start one with "
            f"`slipstream models serve {command}` or POST /node/inference-servers/"
        )
        assert retry_after(error) is None


async def test_a_booting_server_reports_its_phase_and_when_to_retry(
    servers: InferenceServers,
) -> None:
    servers.apply([status(3, "booting", phase="loading", seconds_ago=2.0, boot_seconds=6.5)])
    error = absence(servers, version=3)
    assert error.code is ErrorCode.INFERENCE_SERVER_BOOTING
    assert error.message == (
        "the inference server for iris version 3 is booting (phase loading, 2.0 s elapsed, "
        "usually 6.5 s): retry after 4 s"
    )
    assert error.details["phase"] == "loading"
    assert error.details["elapsed_seconds"] == pytest.approx(2.0, abs=0.2)
    assert retry_after(error) == "5"  # whole seconds, rounded up


@pytest.mark.parametrize(
    ("seconds_ago", "boot_seconds", "expected"),
    [
        (None, None, "5"),  # unknown: the default
        (0.0, None, "5"),
        (50.0, None, "50"),  # as long again
        (600.0, None, "60"),  # clocks may differ
        (9.0, 6.0, "1"),  # overdue
        (-5.0, 6.0, "6"),  # the clock was set back
    ],
)
async def test_the_wait_is_never_less_than_a_second(
    servers: InferenceServers, seconds_ago: float | None, boot_seconds: float | None, expected: str
) -> None:
    servers.apply([status(1, "booting", seconds_ago=seconds_ago, boot_seconds=boot_seconds)])
    error = absence(servers)
    assert "phase spawning" in error.message
    assert int(retry_after(error) or 0) in (int(expected), int(expected) + 1)


async def test_a_failed_server_does_not_say_why(servers: InferenceServers) -> None:
    servers.apply([status(1, "failed", reason="no such operator")])
    error = absence(servers)
    assert error.code is ErrorCode.INFERENCE_SERVER_FAILED
    assert error.message == (
        "the inference server for iris version 1 failed: the model failed to load. Its owner and "
        "administrators are shown why"
    )
    assert retry_after(error) == "30"
    failed = servers.failure("iris", 1)
    assert failed is not None
    assert failed.reason == "no such operator"


async def test_a_wanted_server_without_a_process_yet_is_booting(servers: InferenceServers) -> None:
    servers.apply([status(1, "stopped")])
    assert absence(servers).code is ErrorCode.INFERENCE_SERVER_BOOTING


@pytest.mark.parametrize("state", ["ready", "draining"])
async def test_a_server_that_is_not_connected_is_unavailable(
    servers: InferenceServers, state: str
) -> None:
    servers.apply([status(1, state)])
    error = absence(servers)
    assert error.code is ErrorCode.INFERENCE_SERVER_UNAVAILABLE
    assert error.message == "the inference server for iris version 1 is being connected"
    assert retry_after(error) == "1"


async def test_a_server_with_an_address_is_connected_and_answers(
    servers: InferenceServers, stock: StockServer
) -> None:
    servers.apply([status(address=stock.address)])
    await until(lambda: servers.is_ready("iris", 1))
    assert await called(servers) == b"sent"


async def test_a_server_that_is_lost_is_not_ready_until_it_is_back(
    servers: InferenceServers, stock: StockServer
) -> None:
    servers.apply([status(address=stock.address)])
    await until(lambda: servers.is_ready("iris", 1))
    await stock.stop()
    await until(lambda: not servers.is_ready("iris", 1))
    assert absence(servers).code is ErrorCode.INFERENCE_SERVER_UNAVAILABLE
    servers.apply([status(state="booting", phase="spawning", address=stock.address)])
    assert absence(servers).code is ErrorCode.INFERENCE_SERVER_BOOTING
    await stock.start()
    await until(lambda: servers.is_ready("iris", 1))
    assert await called(servers) == b"sent"


async def test_the_same_fleet_again_changes_no_connection(
    servers: InferenceServers, stock: StockServer
) -> None:
    servers.apply([status(address=stock.address)])
    await until(lambda: servers.is_ready("iris", 1))
    before = servers.stream("iris", 1)
    servers.apply([status(address=stock.address), status(2, "booting")])
    assert servers.stream("iris", 1) is before


@pytest.mark.parametrize("after", ["stopped", "gone"])
async def test_a_stopped_server_takes_no_calls_and_finishes_those_in_flight(
    servers: InferenceServers, stock: StockServer, after: str
) -> None:
    gate = asyncio.Event()

    async def answer(call: Request) -> Answer:
        await gate.wait()
        return await echo(call)

    stock.answer = answer
    servers.apply([status(address=stock.address)])
    await until(lambda: servers.is_ready("iris", 1))
    call = asyncio.create_task(called(servers))
    await soon(stock.received.get())
    servers.apply([status(wanted=False, address=stock.address)] if after == "stopped" else [])
    assert not servers.is_ready("iris", 1)
    assert absence(servers).code is ErrorCode.NO_ACTIVE_INFERENCE
    closing = asyncio.create_task(servers.close())
    gate.set()
    assert await call == b"sent"
    await soon(closing)


async def test_a_new_address_takes_over_while_the_old_one_drains(
    servers: InferenceServers, stock: StockServer, other: StockServer
) -> None:
    gate = asyncio.Event()

    async def old(call: Request) -> Answer:
        await gate.wait()
        answer = await echo(call)
        answer.infer_response.raw_output_contents[:] = [b"old"]
        return answer

    stock.answer = old
    servers.apply([status(address=stock.address)])
    await until(lambda: servers.is_ready("iris", 1))
    call = asyncio.create_task(called(servers))
    await soon(stock.received.get())
    before = servers.stream("iris", 1)
    servers.apply([status(address=other.address)])
    await until(lambda: servers.stream("iris", 1) is not before)
    assert await called(servers) == b"sent"
    gate.set()
    assert await call == b"old"
    await soon(stock.left.wait())  # the old connection is given up …
    assert servers.is_ready("iris", 1)  # … and the new one stays
    assert await called(servers) == b"sent"


async def test_calls_without_a_version_go_to_the_highest_that_is_ready(
    servers: InferenceServers, stock: StockServer, other: StockServer
) -> None:
    assert servers.choose("iris") == 0
    servers.apply([status(4, "stopped", wanted=False), status(3, "booting"), status(1)])
    assert servers.choose("iris") == 3  # the error shall say what it waits for
    servers.apply([status(4, "stopped", wanted=False)])
    assert servers.choose("iris") == 4
    servers.apply(
        [
            status(1, address=stock.address),
            status(2, address=other.address),
            status(3, "booting"),
            status(9, model="mlp", address=stock.address),
        ]
    )
    await until(lambda: servers.ready_versions("iris") == [1, 2])
    assert servers.choose("iris") == 2
    assert servers.is_ready("iris", None)
    assert servers.is_ready("iris", 2)
    assert not servers.is_ready("iris", 3)
    assert not servers.is_ready("other", None)


async def test_statuses_come_by_model_and_version(servers: InferenceServers) -> None:
    servers.apply([status(10), status(2), status(1, model="a"), status(3, "failed", wanted=False)])
    shown = [(each.model, each.version) for each in servers.statuses()]
    assert shown == [("a", 1), ("iris", 2), ("iris", 3), ("iris", 10)]
    assert servers.statuses()[0].title == "a version 1"


async def test_a_server_at_a_new_address_is_used_when_it_answers(
    servers: InferenceServers, stock: StockServer, socket_folder: Path
) -> None:
    servers.apply([status(address=stock.address)])
    await until(lambda: servers.is_ready("iris", 1))
    before = servers.stream("iris", 1)
    path = socket_folder / "successor.sock"
    servers.apply([status(address=f"unix:{path}")])
    assert servers.stream("iris", 1) is before, "nothing listens at the new address yet"
    assert await called(servers) == b"sent"
    async with StockServer(path) as successor:
        await until(lambda: servers.stream("iris", 1) is not before)
        assert await called(servers) == b"sent"
        assert successor.address in servers._connectors["iris", 1, 0].addresses
        servers.apply([])
        assert not servers.is_ready("iris", 1)
        assert not servers._replaced


async def test_a_new_address_does_not_keep_a_server_that_has_ended(
    servers: InferenceServers, socket_folder: Path
) -> None:
    async with StockServer(socket_folder / "first.sock") as first:
        servers.apply([status(address=first.address)])
        await until(lambda: servers.is_ready("iris", 1))
        servers.apply([status(address=f"unix:{socket_folder}/successor.sock")])
        assert servers.is_ready("iris", 1)
    await until(lambda: not servers.is_ready("iris", 1))


async def two_replicas_that_wait(
    servers: InferenceServers, stock: StockServer, other: StockServer
) -> asyncio.Event:
    """Connect to both as replicas of one server; they answer once the event is set."""
    gate = asyncio.Event()

    async def wait(call: Request) -> Answer:
        await gate.wait()
        return await echo(call)

    stock.answer = other.answer = wait
    servers.apply([status(address=(stock.address, other.address))])
    await until(lambda: len(servers.streams("iris", 1)) == 2)
    return gate


async def test_calls_go_to_the_replica_with_the_fewest(
    servers: InferenceServers, stock: StockServer, other: StockServer
) -> None:
    gate = await two_replicas_that_wait(servers, stock, other)
    calls = [asyncio.create_task(called(servers)) for _ in range(6)]
    await until(lambda: stock.received.qsize() + other.received.qsize() == 6)
    assert (stock.received.qsize(), other.received.qsize()) == (3, 3)
    gate.set()
    assert await asyncio.gather(*calls) == [b"sent"] * 6


async def connected_replicas(servers: InferenceServers, *replicas: StockServer) -> None:
    """Connect to two replicas of a model."""
    servers.apply([status(1, address=tuple(each.address for each in replicas))])
    await until(lambda: len(servers.streams("iris", 1)) == len(replicas))


def slowly(seconds: list[float]) -> Callable[[Request], Awaitable[Answer]]:
    """Return what answers each call after the first of `seconds`, which may change."""

    async def answer(request: Request) -> Answer:
        await asyncio.sleep(seconds[0])
        return await echo(request)

    return answer


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """What calls are timed by: with real time, a busy machine would make a quick replica slow."""
    clock = Clock()
    for module in (inference_stream, servers_module):
        monkeypatch.setattr(module, "monotonic", clock)
    return clock


def taking(
    clock: Clock, next_seconds: Callable[[], float]
) -> Callable[[Request], Awaitable[Answer]]:
    """Return what answers each call, and lets the next of the seconds pass for it."""

    async def answer(request: Request) -> Answer:
        clock.advance(next_seconds())
        return await echo(request)

    return answer


async def test_a_slow_replica_is_avoided_until_it_is_quick_again(
    servers: InferenceServers, stock: StockServer, other: StockServer, clock: Clock
) -> None:
    takes = [0.1]
    stock.answer, other.answer = taking(clock, lambda: takes[0]), taking(clock, lambda: 0.001)
    await connected_replicas(servers, stock, other)
    for _ in range(10):
        await called(servers)
    assert servers.slow_streams("iris", 1) == 1
    before = len(stock.requests)
    for _ in range(50):
        await called(servers)
    assert len(stock.requests) == before, "it was not avoided"
    takes[0] = 0.001
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while servers.slow_streams("iris", 1):
            await called(servers)
            clock.advance(0.05)
        while len(stock.requests) < before + 10:
            await called(servers)


async def test_calls_that_differ_make_no_replica_slow(
    servers: InferenceServers, stock: StockServer, other: StockServer, clock: Clock
) -> None:
    """Every third call takes long, on either replica."""
    turn = count()
    stock.answer = other.answer = taking(clock, lambda: 0.001 if next(turn) % 3 else 0.1)
    await connected_replicas(servers, stock, other)
    for _ in range(40):
        await called(servers)
    assert servers.slow_streams("iris", 1) == 0
    assert abs(len(stock.requests) - len(other.requests)) <= 4


async def test_a_replica_that_stops_answering_gets_no_further_calls(
    servers: InferenceServers, stock: StockServer, other: StockServer
) -> None:
    await connected_replicas(servers, stock, other)
    for _ in range(10):
        await called(servers)
    stock.answer = slowly([TIMEOUT_SECONDS])
    hanging = [asyncio.create_task(called(servers)) for _ in range(2)]
    await until(lambda: servers.slow_streams("iris", 1) == 1)
    before = len(stock.requests)
    more = [asyncio.create_task(called(servers)) for _ in range(8)]
    await asyncio.gather(*more)
    assert len(stock.requests) == before
    for call in hanging:
        call.cancel()


async def test_a_replica_whose_calls_time_out_gets_few_calls(
    servers: InferenceServers, stock: StockServer, other: StockServer
) -> None:
    stock.answer = slowly([TIMEOUT_SECONDS])
    await connected_replicas(servers, stock, other)
    for _ in range(30):
        with suppress(GatewayError):
            request = pb.ModelInferRequest(model_name="iris", raw_input_contents=[b"sent"])
            await servers.stream("iris", 1).infer(request, 0.1)
    assert len(stock.requests) <= 6
    assert servers.slow_streams("iris", 1) == 1


async def test_a_replica_that_refuses_at_once_does_not_attract_calls(
    servers: InferenceServers, stock: StockServer, other: StockServer
) -> None:
    async def refuse(request: Request) -> Answer:
        return failure(request, "no")

    stock.answer, other.answer = refuse, slowly([0.03])
    await connected_replicas(servers, stock, other)
    for _ in range(30):
        with suppress(GatewayError):
            await called(servers)
    assert servers.slow_streams("iris", 1) == 0
    assert len(other.requests) >= 14


async def test_a_slow_replica_takes_calls_when_the_others_have_many(
    servers: InferenceServers, stock: StockServer, other: StockServer, clock: Clock
) -> None:
    stock.answer, other.answer = taking(clock, lambda: 0.1), taking(clock, lambda: 0.001)
    await connected_replicas(servers, stock, other)
    for _ in range(10):
        await called(servers)
    before = len(stock.requests)
    stock.answer = other.answer = slowly([0.2])  # all calls are under way at the same time
    await asyncio.gather(*(called(servers) for _ in range(80)))
    assert 10 < len(stock.requests) - before < 35


async def test_replicas_that_are_all_slow_share_the_calls(
    servers: InferenceServers, stock: StockServer, other: StockServer, clock: Clock
) -> None:
    stock.answer = other.answer = taking(clock, lambda: 0.05)
    await connected_replicas(servers, stock, other)
    for _ in range(20):
        await called(servers)
    assert servers.slow_streams("iris", 1) == 0
    assert (len(stock.requests), len(other.requests)) == (10, 10)


def chosen(servers: InferenceServers, sequences: range) -> list[int]:
    """Return the slot of the replica that each sequence goes to."""
    slots = {stream: slot for (_, _, slot), stream in servers._current.items()}
    return [slots[servers.stream("iris", 1, str(sequence))] for sequence in sequences]


async def test_the_calls_of_a_sequence_go_to_one_replica_whichever_gateway_has_them(
    servers: InferenceServers, stock: StockServer, other: StockServer
) -> None:
    await connected_replicas(servers, stock, other)
    sequences = range(100)
    first = chosen(servers, sequences)
    assert 20 < first.count(0) < 80, "they spread"
    assert chosen(servers, sequences) == first
    another = InferenceServers(max_message_bytes=LIMIT, drain_seconds=TIMEOUT_SECONDS)
    await connected_replicas(another, stock, other)
    assert chosen(another, sequences) == first
    await soon(another.close())


async def test_a_replica_that_comes_or_goes_moves_no_other_sequences(
    servers: InferenceServers, stock: StockServer, other: StockServer, socket_folder: Path
) -> None:
    sequences = range(100)
    async with StockServer(socket_folder / "third.sock") as third:
        await connected_replicas(servers, stock, other, third)
        of_three = chosen(servers, sequences)
        await connected_replicas(servers, stock, other)
        of_two = chosen(servers, sequences)
    assert {one for one, three in zip(of_two, of_three, strict=True) if three == 2} == {0, 1}
    assert all(three in (one, 2) for one, three in zip(of_two, of_three, strict=True))


async def test_a_sequence_goes_to_another_replica_while_its_own_refuses_calls(
    servers: InferenceServers, stock: StockServer, other: StockServer
) -> None:
    await connected_replicas(servers, stock, other)
    own = servers.stream("iris", 1, "a")
    refusal = GatewayError(ErrorCode.SHUTTING_DOWN, "it ends")
    (next_one,) = [each for each in servers.streams("iris", 1) if each is not own]
    own.refuses = True
    assert servers.other_stream("iris", 1, refusal, "a") is next_one
    assert servers.stream("iris", 1, "a") is next_one
    own.refuses = False
    assert servers.stream("iris", 1, "a") is own


async def test_a_replica_that_is_lost_fails_only_its_own_calls(
    servers: InferenceServers, stock: StockServer, other: StockServer
) -> None:
    gate = await two_replicas_that_wait(servers, stock, other)
    calls = [asyncio.create_task(called(servers)) for _ in range(4)]
    await until(lambda: stock.received.qsize() + other.received.qsize() == 4)
    await stock.stop()
    await until(lambda: len(servers.streams("iris", 1)) == 1)
    gate.set()
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(each == b"sent" for each in ended) == 2
    assert sum(isinstance(each, GatewayError) for each in ended) == 2
    assert servers.is_ready("iris", 1)
    assert [await called(servers) for _ in range(3)] == [b"sent"] * 3
    await stock.start()
    await until(lambda: len(servers.streams("iris", 1)) == 2)


async def test_fewer_replicas_close_the_connections_of_the_others(
    servers: InferenceServers, stock: StockServer, other: StockServer
) -> None:
    servers.apply([status(address=(stock.address, other.address))])
    await until(lambda: len(servers.streams("iris", 1)) == 2)
    servers.apply([status(address=stock.address)])
    assert len(servers.streams("iris", 1)) == 1
    await soon(other.left.wait())
    assert await called(servers) == b"sent"
