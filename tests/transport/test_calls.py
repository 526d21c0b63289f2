from __future__ import annotations

import asyncio
import socket

import pytest

from tests.timing import TIMEOUT_SECONDS
from tests.transport.conftest import Dial, Start
from tests.transport.services import BUG, ECHO, FAIL, SLOW, STREAM, TRAILERS, HandlerLog
from transport import GrpcServer, RpcError, Status, StatusCode, connect, frames
from transport.addresses import parse_address

KIND = 3
"""Where in the header of a frame its kind is."""


class CallLog:
    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.ended: asyncio.Future[Status] = asyncio.get_running_loop().create_future()
        self.received = asyncio.Event()

    def on_message(self, message: bytes) -> None:
        self.messages.append(message)
        self.received.set()

    @property
    def callbacks(self) -> dict[str, object]:
        return {"on_message": self.on_message, "on_end": self.ended.set_result}


@pytest.mark.parametrize("size", [0, 1, 16_379, 16_380, 70_000, 20 * 2**20])
async def test_a_unary_call_of_any_size_is_answered(start: Start, dial: Dial, size: int) -> None:
    connection = await dial(await start("127.0.0.1:0"))
    assert await connection.unary(ECHO, bytes(size), timeout=TIMEOUT_SECONDS) == bytes(size)
    assert connection.in_flight == 0


async def test_errors_carry_code_message_and_trailers(start: Start, dial: Dial) -> None:
    connection = await dial(await start())
    with pytest.raises(RpcError) as caught:
        await connection.unary(FAIL, b"")
    assert caught.value.code is StatusCode.NOT_FOUND
    assert caught.value.message == "né 100 %\n"
    assert caught.value.trailers == TRAILERS


async def test_an_exception_in_a_handler_is_reported_but_not_sent_to_the_client(
    start: Start, dial: Dial
) -> None:
    bugs: list[object] = []
    address = await start(server={"on_error": lambda path, error: bugs.append((path, type(error)))})
    connection = await dial(address)
    with pytest.raises(RpcError) as caught:
        await connection.unary(BUG, b"")
    assert caught.value.code is StatusCode.INTERNAL
    assert "secret" not in caught.value.message
    assert bugs == [(BUG, KeyError)]


async def test_an_unknown_method_is_unimplemented(start: Start, dial: Dial) -> None:
    connection = await dial(await start())
    with pytest.raises(RpcError) as caught:
        await connection.unary("/test.T/None", b"")
    assert caught.value.code is StatusCode.UNIMPLEMENTED


async def test_metadata_and_deadline_reach_the_handler(
    start: Start, dial: Dial, handler_log: HandlerLog
) -> None:
    connection = await dial(await start())
    await connection.unary(ECHO, b"", timeout=7, metadata=(("a", "b"), ("c-bin", b"\x00\x80")))
    assert ("a", "b") in handler_log.metadata[0]  # type: ignore[operator]
    assert ("c-bin", b"\x00\x80") in handler_log.metadata[0]  # type: ignore[operator]
    assert 6 < (handler_log.remaining[0] or 0) <= 7


async def test_a_deadline_ends_the_call_on_both_sides(
    start: Start, dial: Dial, handler_log: HandlerLog
) -> None:
    connection = await dial(await start())
    with pytest.raises(RpcError) as caught:
        await connection.unary(SLOW, b"", timeout=0.05)
    assert caught.value.code is StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(handler_log.cancelled.wait(), TIMEOUT_SECONDS)
    assert await connection.unary(ECHO, b"still") == b"still"


async def test_a_cancelled_task_cancels_the_handler(
    start: Start, dial: Dial, handler_log: HandlerLog
) -> None:
    connection = await dial(await start())
    task = asyncio.create_task(connection.unary(SLOW, b""))
    await handler_log.slow.wait()
    task.cancel()
    await asyncio.wait_for(handler_log.cancelled.wait(), TIMEOUT_SECONDS)
    assert connection.in_flight == 0


async def test_messages_sent_in_one_loop_turn_arrive_as_one_batch(
    start: Start, dial: Dial, handler_log: HandlerLog
) -> None:
    connection = await dial(await start())
    log = CallLog()
    stream = connection.open_stream(STREAM, **log.callbacks)  # type: ignore[arg-type]
    for number in range(50):
        stream.send(b"%d" % number)
    stream.half_close()
    status = await asyncio.wait_for(log.ended, TIMEOUT_SECONDS)
    assert log.messages == [b"%d" % number for number in range(50)]
    assert handler_log.batches == [50]
    assert status.ok
    assert status.trailers == (("plain", "text"), ("raw-bin", b"\x00\xff"))
    with pytest.raises(RpcError):
        stream.send(b"late")


async def test_cancelling_a_stream_notifies_both_ends(
    start: Start, dial: Dial, handler_log: HandlerLog
) -> None:
    connection = await dial(await start())
    log = CallLog()
    stream = connection.open_stream(STREAM, **log.callbacks)  # type: ignore[arg-type]
    stream.send(b"x")
    await log.received.wait()
    stream.cancel()
    assert log.ended.result().code is StatusCode.CANCELLED
    await asyncio.wait_for(handler_log.cancelled.wait(), TIMEOUT_SECONDS)
    assert handler_log.calls[0].send(b"too late") == 0


async def test_calls_past_the_servers_stream_limit_are_queued(start: Start, dial: Dial) -> None:
    connection = await dial(await start(max_concurrent_streams=3))
    answers = await asyncio.gather(*(connection.unary(ECHO, b"%d" % n) for n in range(40)))
    assert answers == [b"%d" % n for n in range(40)]


async def test_a_callback_that_raises_ends_its_own_call_only(start: Start, dial: Dial) -> None:
    connection = await dial(await start())
    loop = asyncio.get_running_loop()
    reported: list[object] = []
    loop.set_exception_handler(lambda _loop, context: reported.append(context["exception"]))
    end = loop.create_future()

    def broken(_message: bytes) -> None:
        raise ZeroDivisionError

    stream = connection.open_stream(STREAM, on_message=broken, on_end=end.set_result)
    stream.send(b"x")
    assert (await asyncio.wait_for(end, TIMEOUT_SECONDS)).code is StatusCode.INTERNAL
    assert isinstance(reported[0], ZeroDivisionError)
    assert await connection.unary(ECHO, b"fine") == b"fine"


async def test_draining_finishes_open_calls_and_accepts_no_new_ones(
    start: Start, servers: list[GrpcServer]
) -> None:
    drain_announced = asyncio.Event()
    connection = await connect(await start(), on_drain=drain_announced.set)
    log = CallLog()
    stream = connection.open_stream(STREAM, **log.callbacks)  # type: ignore[arg-type]
    stream.send(b"before")
    await log.received.wait()
    draining = asyncio.create_task(servers[0].drain(10))
    await asyncio.wait_for(drain_announced.wait(), TIMEOUT_SECONDS)
    assert not connection.usable
    with pytest.raises(RpcError) as caught:
        await connection.unary(ECHO, b"")
    assert caught.value.code is StatusCode.UNAVAILABLE
    stream.send(b"during")
    stream.half_close()
    assert (await asyncio.wait_for(log.ended, TIMEOUT_SECONDS)).ok
    assert log.messages == [b"before", b"during"]
    await asyncio.wait_for(draining, TIMEOUT_SECONDS)
    await asyncio.wait_for(connection.closed, TIMEOUT_SECONDS)


@pytest.mark.parametrize("address", ["", "127.0.0.1:0"])
async def test_a_client_that_was_not_accepted_yet_is_told_that_the_server_drains(
    start: Start, servers: list[GrpcServer], address: str
) -> None:
    bound = await start(address)
    target = parse_address(bound)
    family = socket.AF_UNIX if target.path else socket.AF_INET
    with socket.socket(family) as waiting:
        waiting.settimeout(TIMEOUT_SECONDS)
        # The kernel makes the connection: the event loop has had no turn to accept it.
        waiting.connect(target.path or (target.host, target.port))
        await servers[0].drain(0.1)
        assert waiting.recv(9)[KIND] == frames.SETTINGS


async def test_draining_ends_calls_that_outlast_the_grace_period(
    start: Start, dial: Dial, servers: list[GrpcServer], handler_log: HandlerLog
) -> None:
    connection = await dial(await start())
    task = asyncio.create_task(connection.unary(SLOW, b""))
    await handler_log.slow.wait()
    await servers[0].drain(0.05)
    with pytest.raises(RpcError) as caught:
        await task
    assert caught.value.code is StatusCode.UNAVAILABLE
    await asyncio.wait_for(handler_log.cancelled.wait(), TIMEOUT_SECONDS)


async def test_connecting_without_a_server_is_unavailable(folder: object) -> None:
    with pytest.raises(RpcError) as caught:
        await connect(f"unix:{folder}/missing")
    assert caught.value.code is StatusCode.UNAVAILABLE
