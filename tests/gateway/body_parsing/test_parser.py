"""Large bodies are parsed in another process: with the same results, and the loop goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from time import monotonic
from typing import Any

import numpy as np
import psutil
import pytest

from gateway.body_parsing.parser import PROGRAM, BodyParser
from gateway.children.metrics import ChildMetrics
from gateway.children.pool import ChildPool
from gateway.deployments.fast_plan import FastInput, FastPlan
from gateway.errors import GatewayError
from gateway.fast_path.tensors import encode_body
from gateway.oip.http_request import parse_infer_copied
from model_store.tensor_spec import TensorSpec
from protos.errors import ErrorCode, TensorError
from telemetry.instruments import Registry
from tests.child_processes import children_of_fork_servers
from tests.timing import TIMEOUT_SECONDS

pytestmark = pytest.mark.processes
SPEC = TensorSpec(name="x", datatype="FP32", shape=(-1,))
PLAN = FastPlan(
    model="m", version=1, inputs=(FastInput(name="x", path=("x",), spec=SPEC),), outputs=()
)
ARGUMENTS: tuple[dict[bytes, bytes], FastPlan, float] = ({}, PLAN, 1.0)


def parser_of(**limits: Any) -> BodyParser:
    """Return body parsers, with other limits than usual."""
    return BodyParser(ChildPool(replace(PROGRAM, **limits), ChildMetrics(Registry())))


@pytest.fixture
async def parser() -> AsyncIterator[BodyParser]:
    made = parser_of()
    yield made
    await made.close()
    assert children() == []


async def run(
    parser: BodyParser,
    function: Callable[..., Any],
    body: bytes,
    *arguments: Any,
    tenant: str = "a",
) -> Any:
    """Return what a function makes of a body."""
    return await parser.run(tenant, monotonic() + TIMEOUT_SECONDS, function, body, *arguments)


def children() -> list[psutil.Process]:
    """Return the processes that parse."""
    return children_of_fork_servers(PROGRAM.module)


def numbers(count: int) -> bytes:
    return b'{"input_data":{"x":[' + b",".join([b"1.5"] * count) + b"]}}"


async def test_a_call_is_encoded_as_it_is_here(parser: BodyParser) -> None:
    template, raws = await run(parser, encode_body, numbers(1000), *ARGUMENTS)
    here, expected = encode_body(numbers(1000), *ARGUMENTS)
    assert template.render([b"12345678", *raws]) == here.render([b"12345678", *expected])


async def test_a_v2_request_is_parsed_as_it_is_here(parser: BodyParser) -> None:
    head = b'{"inputs":[{"name":"a","datatype":"FP32","shape":[2],"data":[1,2]},'
    head += b'{"name":"b","datatype":"INT64","shape":[1],"parameters":{"binary_data_size":8}}]}'
    headers = {b"inference-header-content-length": b"%d" % len(head)}
    parsed = await run(parser, parse_infer_copied, head + bytes(8), headers)
    assert parsed.raws == [np.array([1, 2], "<f4").tobytes(), bytes(8)]
    assert [tensor.name for tensor in parsed.request.inputs] == ["a", "b"]


async def test_errors_are_those_of_here(parser: BodyParser) -> None:
    for body in (b"{", b"[]", b'{"input_data":{}}', b'{"input_data":{"x":[true]}}'):
        with pytest.raises(GatewayError) as here:
            encode_body(body, *ARGUMENTS)
        with pytest.raises(GatewayError) as there:
            await run(parser, encode_body, body, *ARGUMENTS)
        assert vars(there.value) == vars(here.value)
    body = b'{"inputs":[{"name":"a","datatype":"FP32","shape":[2],"data":[1]}]}'
    with pytest.raises(TensorError, match="expected 2 elements"):
        await run(parser, parse_infer_copied, body, {})


async def test_the_loop_goes_on_meanwhile(parser: BodyParser) -> None:
    await run(parser, encode_body, numbers(1), *ARGUMENTS)
    body = numbers(2_000_000)[:-3] + b",null]}}"  # which takes objects to refuse
    refused = asyncio.create_task(run(parser, encode_body, body, *ARGUMENTS))
    turns = 0
    while not refused.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert isinstance(refused.exception(), GatewayError)
    assert turns > 10


async def test_a_job_survives_the_death_of_its_process(parser: BodyParser) -> None:
    await run(parser, encode_body, numbers(1), *ARGUMENTS)
    job = asyncio.create_task(run(parser, encode_body, numbers(2_000_000), *ARGUMENTS))
    await asyncio.sleep(0)
    children()[0].kill()
    _, raws = await job
    assert len(raws[0]) == 8_000_000


async def test_a_cancelled_job_costs_the_next_one_no_new_process(parser: BodyParser) -> None:
    await run(parser, encode_body, numbers(1), *ARGUMENTS)
    (child,) = children()
    job = asyncio.create_task(run(parser, encode_body, numbers(500_000), *ARGUMENTS))
    await asyncio.sleep(0)
    job.cancel()
    _, raws = await run(parser, encode_body, numbers(3), *ARGUMENTS)
    assert len(raws[0]) == 12
    assert job.cancelled()
    assert children() == [child]


async def test_a_cancelled_job_may_not_go_on_for_long() -> None:
    parser = parser_of(cancel_grace_seconds=0.1)
    await run(parser, encode_body, numbers(1), *ARGUMENTS)
    (child,) = children()
    job = asyncio.create_task(run(parser, time_out, b"", TIMEOUT_SECONDS))
    await asyncio.sleep(0.05)
    job.cancel()
    assert await run(parser, bytes, b"x") == b"x"
    assert await asyncio.to_thread(child.wait, TIMEOUT_SECONDS) in (-9, None)
    await parser.close()


def time_out(_body: bytes, seconds: float) -> None:
    time.sleep(seconds)


async def test_an_idle_process_ends() -> None:
    parser = parser_of(idle_seconds=0.01)
    await run(parser, encode_body, numbers(1), *ARGUMENTS)
    for child in children():
        await asyncio.to_thread(child.wait, TIMEOUT_SECONDS)
    _, raws = await run(parser, encode_body, numbers(2), *ARGUMENTS)
    assert len(raws[0]) == 8
    await parser.close()


async def test_more_than_may_wait_is_refused() -> None:
    parser = parser_of(max_waiting_bytes=150_000)
    first = asyncio.create_task(run(parser, encode_body, numbers(20_000), *ARGUMENTS))
    await asyncio.sleep(0)
    for tenant, count in (("a", 1), ("b", 20_000)):
        with pytest.raises(GatewayError) as caught:
            await run(parser, encode_body, numbers(count), *ARGUMENTS, tenant=tenant)
        assert caught.value.code is ErrorCode.OVERLOADED
        assert caught.value.retry_after
    await run(parser, encode_body, numbers(1), *ARGUMENTS, tenant="b")
    await first
    await run(parser, encode_body, numbers(20_000), *ARGUMENTS)
    await parser.close()


async def test_a_body_that_takes_too_much_memory_is_refused() -> None:
    parser = parser_of(memory_bytes=400 << 20)
    with pytest.raises(GatewayError, match="more than 400 MiB of memory") as caught:
        await run(parser, repeated, b"x", 500 << 20)
    assert caught.value.code is ErrorCode.PAYLOAD_TOO_LARGE
    await parser.close()


def repeated(body: bytes, times: int) -> int:
    return len(body * times)


async def test_another_tenants_body_does_not_wait(parser: BodyParser) -> None:
    busy = [
        asyncio.create_task(run(parser, time_out, b"", TIMEOUT_SECONDS, tenant="a"))
        for _ in range(2)
    ]
    await asyncio.sleep(0)
    _, raws = await run(parser, encode_body, numbers(2), *ARGUMENTS, tenant="b")
    assert len(raws[0]) == 8
    assert not any(each.done() for each in busy)
    for each in busy:
        each.cancel()
