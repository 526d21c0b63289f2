"""A connection to the real inference server, in a process of its own."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress

import numpy as np
import pytest

from gateway.errors import GatewayError
from protos import open_inference_pb2 as pb
from protos.errors import ErrorCode
from protos.parameters import INFER_SECONDS, QUEUE_SECONDS
from tests.gateway.upstream.conftest import Watch, until
from tests.inference_server.conftest import Publish, StartServer
from tests.inference_server.process import InferenceProcess
from tests.inference_server.requests import arrays, fp32, infer_request
from tests.timing import TIMEOUT_SECONDS, Timer

pytestmark = pytest.mark.processes


def quick() -> pb.ModelInferRequest:
    """Return a call that takes microseconds."""
    return infer_request("mlp", {"x": fp32([1, 2, 3, 4])})


def slow(number: int) -> pb.ModelInferRequest:
    """Return a call that takes 0.3 s."""
    return infer_request("slow_to_run", {"x": ("FP32", np.full(1, number, "f4"))})


async def test_many_calls_at_once_each_get_their_own_answer(
    shared_server: StartServer, watch: Watch
) -> None:
    rows = np.random.default_rng(0).normal(size=(200, 4)).astype("f4")
    stream = await watch(shared_server("mlp").address).connected()
    together = await stream.infer(infer_request("mlp", {"x": ("FP32", rows)}), TIMEOUT_SECONDS)
    answers = await asyncio.gather(
        *(
            stream.infer(
                infer_request("mlp", {"x": fp32(row)}, call_id=f"id {number}"), TIMEOUT_SECONDS
            )
            for number, row in enumerate(rows)
        )
    )
    assert [answer.id for answer in answers] == [f"id {number}" for number in range(200)]
    for answer, expected in zip(answers, arrays(together)["y"], strict=True):
        np.testing.assert_allclose(arrays(answer)["y"][0], expected, rtol=1e-5)
    assert together.parameters[INFER_SECONDS].double_param > 0
    assert together.parameters[QUEUE_SECONDS].double_param >= 0


async def test_the_servers_own_codes_come_through(shared_server: StartServer, watch: Watch) -> None:
    stream = await watch(shared_server("gather").address, "gather").connected()
    good = infer_request("gather", {"index": ("INT64", np.array([1]))})
    wrong = infer_request("gather", {"other": ("INT64", np.array([1]))}, call_id="mine")
    failing = infer_request("gather", {"index": ("INT64", np.array([99]))})
    mismatched = infer_request("iris", {"index": ("INT64", np.array([1]))})
    outcomes = await asyncio.gather(
        *(stream.infer(call, TIMEOUT_SECONDS) for call in (good, wrong, failing, mismatched)),
        return_exceptions=True,
    )
    assert isinstance(outcomes[0], pb.ModelInferResponse)
    errors = [error for error in outcomes if isinstance(error, GatewayError)]
    assert [error.code for error in errors] == [
        ErrorCode.INVALID_TENSOR,
        ErrorCode.INPUT_REJECTED,
        ErrorCode.NOT_FOUND,
    ]
    assert "other" in errors[0].message
    with pytest.raises(GatewayError) as caught:
        await stream.metadata("gather", "9")
    assert caught.value.code is ErrorCode.NOT_FOUND
    assert (await stream.metadata("gather", "1")).inputs[0].name == "index"


async def test_a_killed_server_fails_all_its_calls_at_once_and_is_found_again(
    start_server: StartServer, publish: Publish, watch: Watch
) -> None:
    server = start_server("mlp")
    watched = watch(server.address)
    stream = await watched.connected()
    await stream.infer(quick(), TIMEOUT_SECONDS)
    server.process.send_signal(signal.SIGSTOP)  # from here on no call is answered
    calls = [asyncio.create_task(stream.infer(quick(), TIMEOUT_SECONDS)) for _ in range(20)]
    await until(lambda: stream.in_flight == len(calls))
    server.process.kill()
    server.ended()
    timer = Timer()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert timer.seconds < 2
    errors = [outcome for outcome in outcomes if isinstance(outcome, GatewayError)]
    assert {error.code for error in errors} == {ErrorCode.INFERENCE_SERVER_UNAVAILABLE}
    assert len(errors) == len(calls)
    await watched.lost()
    with InferenceProcess(publish("mlp"), "mlp", server.socket.parent) as restarted:
        assert restarted.address == server.address
        again = await watched.connected()
        assert arrays(await again.infer(quick(), TIMEOUT_SECONDS))["y"].shape == (1, 3)


@pytest.mark.long
async def test_a_stopping_server_answers_its_pending_calls(
    start_server: StartServer, watch: Watch
) -> None:
    server = start_server("slow_to_run", "--threads", "1", "--max-batch-size", "1")
    watched = watch(server.address, "slow_to_run")
    stream = await watched.connected()
    calls = [
        asyncio.create_task(stream.infer(slow(number), TIMEOUT_SECONDS)) for number in range(3)
    ]
    await until(lambda: stream.in_flight == len(calls))
    await stream.metadata("slow_to_run", "1")  # on the same connection: the calls are there, too
    server.terminate()
    answers = await asyncio.gather(*calls)
    assert [arrays(answer)["y"].tolist() for answer in answers] == [[0.0], [1.0], [2.0]]
    await watched.lost()
    assert server.ended() == 0


async def test_a_server_that_boots_is_waited_for(start_server: StartServer, watch: Watch) -> None:
    watched = watch(start_server("mlp", until="listening").address)
    assert watched.link.stream is None
    stream = await watched.connected()
    assert arrays(await stream.infer(quick(), TIMEOUT_SECONDS))["y"].shape == (1, 3)


@pytest.mark.long
async def test_a_stopped_server_is_not_ready_and_an_idle_one_is(
    start_server: StartServer, watch: Watch
) -> None:
    server = start_server("mlp")
    watched = watch(server.address, unresponsive_seconds=1.0)
    stream = await watched.connected()
    await asyncio.sleep(3.0)
    assert watched.link.stream is stream
    waiting = asyncio.create_task(stream.infer(quick(), TIMEOUT_SECONDS))
    server.process.send_signal(signal.SIGSTOP)
    await watched.lost()
    with suppress(GatewayError):  # it may have been answered just before
        await waiting
    server.process.send_signal(signal.SIGCONT)
    assert await (await watched.connected()).infer(quick(), TIMEOUT_SECONDS)
