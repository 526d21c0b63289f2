"""Large bodies of inference calls do not stop the event loop."""

from __future__ import annotations

import asyncio
import time

import orjson
import pytest

from gateway.auth.identity import Scope
from tests.gateway.in_process_gateway import deploy, flow_json
from tests.gateway.served_gateway import ServedGateway

pytestmark = pytest.mark.processes
OBJECTS = b"[%b]" % b",".join([b"{}"] * 4_000_000)
"""12 MB of what no tensor is made of."""
CALL = b'{"input_data":{"x":%b}}'
INFER = b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":%b}]}'
JSON = {"content-type": "application/json"}


def seconds_to_parse_here() -> float:
    """Return less CPU time than the parser of any route takes for OBJECTS."""
    began = time.process_time()
    orjson.loads(OBJECTS)
    return time.process_time() - began


async def longest_pause(task: asyncio.Task[object]) -> float:
    """Return the most that this process computed while the loop stood still, until `task` ended.

    In seconds of CPU time of all threads: other processes may have the processors meanwhile.
    """
    longest = 0.0
    while not task.done():
        began = time.process_time()
        await asyncio.sleep(0.001)
        longest = max(longest, time.process_time() - began)
    return longest


@pytest.mark.long
async def test_a_large_body_of_a_run_is_parsed_off_the_loop(served_gateway: ServedGateway) -> None:
    ada = await served_gateway.user("ada@example.com")
    caller = await served_gateway.key_client(ada, Scope.MANAGE)
    pause_here = seconds_to_parse_here()
    for mode in ("sync", "async"):
        path = (await deploy(caller, flow_json(), execution_mode=mode))["trigger_path"]
        batch = b'{"input_data":[{"y":%b}]}' % OBJECTS
        for url, body, status in ((path, CALL % OBJECTS, 422), (f"{path}batch/", batch, 200)):
            call = asyncio.create_task(caller.post(url, content=body, headers=JSON))
            pause = await longest_pause(call)
            assert call.result().status_code == status, call.result().text[:500]
            assert "'x'" in call.result().text
            assert pause < 0.7 * pause_here


async def test_a_gateway_executes_no_run_of_many_values(served_gateway: ServedGateway) -> None:
    ada = await served_gateway.user("ada@example.com")
    caller = await served_gateway.key_client(ada, Scope.MANAGE)
    flow = flow_json()
    flow["nodes"][1] = {"id": "model", "type": "wait", "config": {"seconds": 0}}
    settings = {"execution_mode": "async", "deployment_type": "server"}
    path = (await deploy(caller, flow, **settings))["trigger_path"]
    for count, status in ((490_000, 202), (510_000, 413)):
        body = CALL % (b"[%b{}]" % (b"{}," * count))
        answer = await caller.post(path, content=body, headers=JSON)
        assert answer.status_code == status, answer.text
    assert "for deployment type server, got 510003" in answer.json()["message"]


async def test_a_flow_of_many_values_is_refused_off_the_loop(
    served_gateway: ServedGateway,
) -> None:
    ada = await served_gateway.user("ada@example.com")
    caller = await served_gateway.key_client(ada, Scope.MANAGE)
    flow = orjson.dumps(flow_json()).replace(b"[[1,2,3,4]]", b"[%b{}]" % (b"{}," * 1_100_000))
    assert len(flow) > 3 << 20
    call = asyncio.create_task(caller.post("/node/flows/", content=flow, headers=JSON))
    pause = await longest_pause(call)
    assert call.result().status_code == 413
    assert "at most 100000 values" in call.result().json()["message"]
    assert pause < 0.7 * seconds_to_parse_here()


async def test_a_large_flow_of_few_values_is_saved(served_gateway: ServedGateway) -> None:
    ada = await served_gateway.user("ada@example.com")
    caller = await served_gateway.key_client(ada, Scope.MANAGE)
    flow = flow_json()
    flow["nodes"][0]["config"]["test_data"] = {"x": "a, [b" * 700_000}
    answer = await caller.post("/node/flows/", json=flow)
    assert answer.status_code == 201, answer.text
    assert answer.json()["nodes"] == flow["nodes"]


async def test_a_large_body_is_parsed_off_the_loop(served_gateway: ServedGateway) -> None:
    ada = await served_gateway.user("ada@example.com")
    caller = await served_gateway.key_client(ada, Scope.MANAGE)
    fast = (await deploy(caller, flow_json(), execution_mode="fast"))["trigger_path"]
    pause_here = seconds_to_parse_here()
    for path, body in ((fast, CALL), ("/v2/models/mlp/infer", INFER)):
        call = asyncio.create_task(caller.post(path, content=body % OBJECTS, headers=JSON))
        pause = await longest_pause(call)
        assert call.result().status_code in (400, 422), call.result().text
        assert "'x'" in call.result().text
        assert pause < 0.7 * pause_here
