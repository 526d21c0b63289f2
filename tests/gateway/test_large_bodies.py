"""Large bodies of inference calls do not stop the event loop."""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path

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


@pytest.fixture
def url(sqlite_template: Path, tmp_path: Path) -> str:
    """Bodies do not depend on the kind of database."""
    path = tmp_path / "slipstream.db"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path}"


async def longest_pause(task: asyncio.Task[object]) -> float:
    """Return the longest time, in seconds, for which the loop stood still until `task` ended."""
    longest = 0.0
    while not task.done():
        began = time.perf_counter()
        await asyncio.sleep(0.001)
        longest = max(longest, time.perf_counter() - began)
    return longest


async def test_a_large_body_is_parsed_off_the_loop(served_gateway: ServedGateway) -> None:
    ada = await served_gateway.user("ada@example.com")
    caller = await served_gateway.key_client(ada, Scope.MANAGE)
    fast = (await deploy(caller, flow_json(), execution_mode="fast"))["trigger_path"]
    began = time.perf_counter()
    orjson.loads(OBJECTS)
    pause_here = time.perf_counter() - began  # less than a parser of calls takes
    for path, body in ((fast, CALL), ("/v2/models/mlp/infer", INFER)):
        call = asyncio.create_task(caller.post(path, content=body % OBJECTS, headers=JSON))
        pause = await longest_pause(call)
        assert call.result().status_code in (400, 422), call.result().text
        assert "'x'" in call.result().text
        assert pause < 0.7 * pause_here
