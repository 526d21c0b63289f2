"""Large bodies are parsed in another process: with the same results, and the loop goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import psutil
import pytest

from gateway.deployments.fast_plan import FastInput, FastPlan
from gateway.errors import GatewayError
from gateway.fast_path.tensors import encode_body
from gateway.oip.http_request import parse_infer_copied
from gateway.parser_process import client
from gateway.parser_process.client import ParserProcess
from model_store.manifest import TensorSpec
from protos.errors import ErrorCode, TensorError

pytestmark = pytest.mark.processes
SPEC = TensorSpec(name="x", datatype="FP32", shape=(-1,))
PLAN = FastPlan(
    model="m", version=1, inputs=(FastInput(name="x", path=("x",), spec=SPEC),), outputs=()
)
TIMEOUT_SECONDS = 60.0
ARGUMENTS: tuple[dict[bytes, bytes], FastPlan, float] = ({}, PLAN, 1.0)


@pytest.fixture
async def parser() -> AsyncIterator[ParserProcess]:
    made = ParserProcess()
    yield made
    await made.close()


def numbers(count: int) -> bytes:
    return b'{"input_data":{"x":[' + b",".join([b"1.5"] * count) + b"]}}"


async def test_a_call_is_encoded_as_it_is_here(parser: ParserProcess) -> None:
    template, raws = await parser.run(encode_body, numbers(1000), *ARGUMENTS)
    here, expected = encode_body(numbers(1000), *ARGUMENTS)
    assert template.render([b"12345678", *raws]) == here.render([b"12345678", *expected])


async def test_a_v2_request_is_parsed_as_it_is_here(parser: ParserProcess) -> None:
    head = b'{"inputs":[{"name":"a","datatype":"FP32","shape":[2],"data":[1,2]},'
    head += b'{"name":"b","datatype":"INT64","shape":[1],"parameters":{"binary_data_size":8}}]}'
    headers = {b"inference-header-content-length": b"%d" % len(head)}
    parsed = await parser.run(parse_infer_copied, head + bytes(8), headers)
    assert parsed.raws == [np.array([1, 2], "<f4").tobytes(), bytes(8)]
    assert [tensor.name for tensor in parsed.request.inputs] == ["a", "b"]


async def test_errors_are_those_of_here(parser: ParserProcess) -> None:
    for body in (b"{", b"[]", b'{"input_data":{}}', b'{"input_data":{"x":[true]}}'):
        with pytest.raises(GatewayError) as here:
            encode_body(body, *ARGUMENTS)
        with pytest.raises(GatewayError) as there:
            await parser.run(encode_body, body, *ARGUMENTS)
        assert vars(there.value) == vars(here.value)
    body = b'{"inputs":[{"name":"a","datatype":"FP32","shape":[2],"data":[1]}]}'
    with pytest.raises(TensorError, match="expected 2 elements"):
        await parser.run(parse_infer_copied, body, {})


async def test_the_loop_goes_on_meanwhile(parser: ParserProcess) -> None:
    await parser.run(encode_body, numbers(1), *ARGUMENTS)
    body = numbers(2_000_000)[:-3] + b",null]}}"  # which takes objects to refuse
    refused = asyncio.create_task(parser.run(encode_body, body, *ARGUMENTS))
    turns = 0
    while not refused.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert isinstance(refused.exception(), GatewayError)
    assert turns > 10


def child_of(parser: ParserProcess) -> psutil.Process:
    assert parser._child is not None
    return psutil.Process(parser._child.pid)


async def test_a_killed_process_fails_its_job_and_is_replaced(parser: ParserProcess) -> None:
    await parser.run(encode_body, numbers(1), *ARGUMENTS)
    job = asyncio.create_task(parser.run(encode_body, numbers(2_000_000), *ARGUMENTS))
    await asyncio.sleep(0)
    child_of(parser).kill()
    with pytest.raises(GatewayError) as caught:
        await job
    assert caught.value.code is ErrorCode.INTERNAL
    _, raws = await parser.run(encode_body, numbers(2), *ARGUMENTS)
    assert len(raws[0]) == 8


async def test_a_cancelled_job_leaves_nothing_for_the_next(parser: ParserProcess) -> None:
    await parser.run(encode_body, numbers(1), *ARGUMENTS)
    child = child_of(parser)
    job = asyncio.create_task(parser.run(encode_body, numbers(500_000), *ARGUMENTS))
    await asyncio.sleep(0)
    job.cancel()
    _, raws = await parser.run(encode_body, numbers(3), *ARGUMENTS)
    assert len(raws[0]) == 12
    assert job.cancelled()
    assert child_of(parser) == child


async def test_an_idle_process_ends(parser: ParserProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    await parser.run(encode_body, numbers(1), *ARGUMENTS)
    child = child_of(parser)
    monkeypatch.setattr(client, "_IDLE_SECONDS", 0.0)
    await parser.run(encode_body, numbers(1), *ARGUMENTS)
    await asyncio.to_thread(child.wait, TIMEOUT_SECONDS)
    _, raws = await parser.run(encode_body, numbers(2), *ARGUMENTS)
    assert len(raws[0]) == 8


async def test_more_than_may_wait_is_refused(
    parser: ParserProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_MAX_WAITING_BYTES", 100_000)
    first = asyncio.create_task(parser.run(encode_body, numbers(20_000), *ARGUMENTS))
    await asyncio.sleep(0)
    with pytest.raises(GatewayError) as caught:
        await parser.run(encode_body, numbers(20_000), *ARGUMENTS)
    assert caught.value.code is ErrorCode.OVERLOADED
    assert caught.value.retry_after
    await first
    await parser.run(encode_body, numbers(20_000), *ARGUMENTS)


async def test_the_process_ends_with_its_gateway(parser: ParserProcess) -> None:
    await parser.run(encode_body, numbers(1), *ARGUMENTS)
    child = child_of(parser)
    assert parser._streams is not None
    parser._streams[1].transport.abort()  # as the kernel does when a process dies
    assert await asyncio.to_thread(child.wait, TIMEOUT_SECONDS) in (0, None)
