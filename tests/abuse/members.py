"""What programs with a member's key do. Each function does it once and returns what came of it."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import suppress

import httpx

from tests.abuse.client import (
    MIB,
    Behaviour,
    Connection,
    at_once,
    http_client,
    post,
    trigger,
)
from tests.abuse.target import ENDLESS, Target
from tests.system.flow_documents import Json, linear_flow, node

_LARGE_NUMBERS = (b"1.5," * (34 * MIB // 4))[:-1]
"""Made once: the abusers run at the lowest priority."""
_TEN_TIB = 10 * 2**40


async def hold_bodies_back(target: Target, address: str) -> str:
    async def one() -> str:
        connection = await Connection.to(target.port, address)
        with suppress(ConnectionError):
            await connection.send(post(trigger(target, "any"), target.key, 20 * MIB))
            await connection.send(b"[" + b" " * (20 * MIB - 2))
        return await connection.outcome()

    return await at_once(16, one)


async def send_large_json(target: Target, address: str) -> str:
    """34 MiB of numbers: to a run that is waited for, to one that is not, and as a flow."""
    body = b'{"input_data": {"x": [%s]}}' % _LARGE_NUMBERS
    paths = (trigger(target, "any"), trigger(target, "any, queued"), "/node/flows/")
    async with http_client(target, address, target.key) as http:
        for path in paths:
            answer = await _sent(http, path, body)
        return answer


async def call_a_model_with_large_json(target: Target, address: str) -> str:
    body = b'{"input_data": {"x": [%s], "trips": 1}}' % _LARGE_NUMBERS
    async with http_client(target, address, target.key) as http:
        return await _sent(http, trigger(target, "looping"), body)


async def compute_endlessly(target: Target, address: str) -> str:
    body = {"input_data": {"x": 3, "d": -100_000_000}}
    return await _call_at_once(target, address, ["endless", "endless, queued"], body)


async def compute_gigabytes(target: Target, address: str) -> str:
    body = {"input_data": {"few": ["x"] * 1_000, "text": "x" * 2_000_000}}
    return await _call_at_once(target, address, ["large"], body)


async def check_a_schema_endlessly(target: Target, address: str) -> str:
    return await _call_at_once(target, address, ["schema"], {"input_data": {"x": 1}})


async def save_hostile_patterns(target: Target, address: str) -> str:
    patterns = ["(" * 200_000, "a" * 3_000_000, "(a{1,1000}){1,1000}", "(a+)+$"]
    schema = {"pattern": random.choice(patterns)}
    flow = linear_flow(
        "Pattern", node("input", "api_input", schema=schema), node("o", "api_output")
    )
    async with http_client(target, address, target.key) as http:
        answer = await http.post("/node/flows/", json=flow)
        if answer.is_success:
            await http.delete(f"/node/flows/{answer.json()['id']}/")
        return str(answer.status_code)


async def infer_endlessly(target: Target, address: str) -> str:
    body = {"input_data": {"x": [0.5], "trips": ENDLESS}}
    headers = {"X-Request-Timeout": "3"}
    return await _call_at_once(target, address, ["looping"] * 2, body, headers)


async def infer_gigabytes(target: Target, address: str) -> str:
    body = {"input_data": {"shape": [30_000, 30_000]}}
    return await _call_at_once(target, address, ["filling"], body)


async def hang_up(target: Target, address: str) -> str:
    body = {"input_data": {"x": [0.5], "trips": ENDLESS}}
    async with http_client(target, address, target.key) as http:
        try:
            await http.post(trigger(target, "looping"), json=body, timeout=0.2)
        except httpx.TimeoutException:
            return "hung up"
    return "answered"


async def start_many_runs(target: Target, address: str) -> str:
    async with http_client(target, address, target.key) as http:

        async def one() -> str:
            return await _sent(http, trigger(target, "waiting"), b'{"input_data": {"x": 1}}')

        return await at_once(50, one)


async def upload_without_end(target: Target, address: str) -> str:
    async def chunks() -> AsyncIterator[bytes]:
        while True:
            yield random.randbytes(1024) * 1024

    async with http_client(target, address, target.key) as http:
        return await _uploaded(http, chunks())


async def upload_ten_tebibytes(target: Target, address: str) -> str:
    connection = await Connection.to(target.port, address)
    head = post("/node/models/?name=giant", target.key, _TEN_TIB, "application/octet-stream")
    await connection.send(head)
    return await connection.outcome()


async def upload_a_model_that_does_not_load(target: Target, address: str) -> str:
    async with http_client(target, address, target.key) as http:
        return await _uploaded(http, target.model[: len(target.model) // 2])


async def open_event_streams(target: Target, address: str) -> str:
    async with http_client(target, address, target.key) as http:
        made = await http.post(trigger(target, "waiting"), json={"input_data": {"x": 1}})
        if not made.is_success:
            return str(made.status_code)
        path = f"/node/flow-runs/{made.json()['flow_run_id']}/events/"

        async def one() -> str:
            return str((await http.get(path)).status_code)

        return await at_once(100, one)


MEMBERS: dict[str, Behaviour] = {
    "bodies without their last byte": hold_bodies_back,
    "34 MiB of JSON to flows": send_large_json,
    "34 MiB of JSON to a model": call_a_model_with_large_json,
    "endless expressions": compute_endlessly,
    "expressions of gigabytes": compute_gigabytes,
    "an endless schema": check_a_schema_endlessly,
    "hostile patterns": save_hostile_patterns,
    "endless inference": infer_endlessly,
    "outputs of gigabytes": infer_gigabytes,
    "endless inference, hung up": hang_up,
    "many runs": start_many_runs,
    "an upload without end": upload_without_end,
    "an upload of 10 TiB": upload_ten_tebibytes,
    "a broken model": upload_a_model_that_does_not_load,
    "100 streams of events": open_event_streams,
}


async def _call_at_once(
    target: Target,
    address: str,
    names: list[str],
    body: Json,
    headers: dict[str, str] | None = None,
) -> str:
    async with http_client(target, address, target.key) as http:
        calls = iter(names * 4)

        async def one() -> str:
            path = trigger(target, next(calls))
            return _word(await http.post(path, json=body, headers=headers))

        return await at_once(4 * len(names), one)


async def _sent(http: httpx.AsyncClient, path: str, body: bytes) -> str:
    json_type = {"Content-Type": "application/json"}
    return _word(await http.post(path, content=body, headers=json_type))


async def _uploaded(http: httpx.AsyncClient, content: bytes | AsyncIterator[bytes]) -> str:
    headers = {"Content-Type": "application/octet-stream"}
    return _word(await http.post("/node/models/?name=uploaded", content=content, headers=headers))


def _word(answer: httpx.Response) -> str:
    code = answer.json().get("code") if answer.is_error else ""
    return f"{answer.status_code} {code}".strip()
