"""An inference server dies under load, killed or by a call: others fail, then service resumes."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import httpx
import psutil

from tests import onnx_models
from tests.system.installation import Installation, chain
from tests.timing import TIMEOUT_SECONDS, Timer

CALLERS = 4
PAUSE_SECONDS = 0.01
"""Between two calls: the processor is there for the server that starts, too."""
GOOD_CALLS = 100
"""Before the kill, and in a row after it: service has resumed."""


async def test_a_kill_fails_only_calls_in_flight_and_service_resumes_soon(
    installation: Installation,
) -> None:
    deployment = installation.deploy(chain("mlp"))
    (server,) = [
        server
        for server in installation.http.get("/node/inference-servers/").json()["items"]
        if server["model"] == "mlp"
    ]
    outcomes: list[tuple[float, float, int]] = []
    running, in_a_row = True, 0
    good, failed = asyncio.Event(), asyncio.Event()

    async def call(client: httpx.AsyncClient) -> None:
        nonlocal in_a_row
        body = {"input_data": {"x": [[1, 2, 3, 4]]}}
        while running:
            began = time.monotonic()
            answer = await client.post(f"/node/deployment-trigger/{deployment}/", json=body)
            ended = time.monotonic()
            outcomes.append((ended - began, ended, answer.status_code))
            in_a_row += 1
            if in_a_row == GOOD_CALLS:
                good.set()
            if answer.status_code != 200:
                in_a_row = 0
                good.clear()
                failed.set()
                assert answer.status_code == 503, answer.text
                assert answer.json()["retryable"] is True
                assert int(answer.headers["retry-after"]) >= 1
            await asyncio.sleep(PAUSE_SECONDS)

    async with httpx.AsyncClient(
        base_url=installation.up.url, headers={"X-API-Key": installation.key}, timeout=30
    ) as client:
        callers = [asyncio.create_task(call(client)) for _ in range(CALLERS)]
        await asyncio.wait_for(good.wait(), TIMEOUT_SECONDS)
        psutil.Process(server["processes"][0]["pid"]).kill()
        killed, since_kill = time.monotonic(), Timer()
        await asyncio.wait_for(failed.wait(), TIMEOUT_SECONDS)
        await asyncio.wait_for(good.wait(), TIMEOUT_SECONDS)
        running = False
        await asyncio.gather(*callers)

    before = [status for _, ended, status in outcomes if ended < killed]
    failures = [(seconds, ended) for seconds, ended, status in outcomes if status != 200]
    assert before
    assert set(before) == {200}
    assert failures, "no call was in flight, or none failed"
    excused = since_kill.elapsed - since_kill.seconds
    assert max(seconds for seconds, _ in failures) < 1.0 + excused, "a failure took long"
    back = max(ended for _, ended in failures)
    assert back - killed < server["boot_seconds"] + 2 + excused
    after = installation.http.get(f"/node/inference-servers/{server['id']}/").json()
    assert after["restarts"] == server["restarts"] + 1
    assert after["processes"][0]["pid"] != server["processes"][0]["pid"]


def recurrent_input(steps: int) -> dict[str, object]:
    """Return a call of the model `recurrent`; with 0 steps ONNX Runtime ends its process."""
    tensor = {"name": "x", "datatype": "FP32", "shape": [steps, 1, 3], "data": [1.0] * 3 * steps}
    return {"inputs": [tensor]}


async def test_a_key_whose_calls_end_a_models_process_twice_is_refused_for_it(
    installation: Installation, tmp_path: Path
) -> None:
    installation.add_model("recurrent", onnx_models.recurrent(tmp_path / "recurrent.onnx"))
    server = installation.serve("recurrent")
    made = [installation.post("/node/api-keys/", {"name": name}) for name in ("first", "second")]
    keys = [each["key"] for each in made]
    path = "/v2/models/recurrent/infer"
    innocent: list[int] = []
    running = True

    async def call_all_the_time(client: httpx.AsyncClient) -> None:
        while running:
            answer = await client.post(
                path, json=recurrent_input(2), headers={"X-API-Key": keys[1]}
            )
            innocent.append(answer.status_code)
            await asyncio.sleep(PAUSE_SECONDS)

    def good_again(at: int) -> bool:
        return 200 in innocent[at:]

    async with httpx.AsyncClient(base_url=installation.up.url, timeout=TIMEOUT_SECONDS) as others:
        caller = asyncio.create_task(call_all_the_time(others))
        # one connection, and so one of the two gateways
        async with httpx.AsyncClient(
            base_url=installation.up.url, headers={"X-API-Key": keys[0]}, timeout=TIMEOUT_SECONDS
        ) as client:
            deadline = time.monotonic() + TIMEOUT_SECONDS
            while True:
                answer = await client.post(path, json=recurrent_input(0))
                if answer.status_code == 429:
                    break
                assert answer.status_code == 503, answer.text
                assert time.monotonic() < deadline
                await asyncio.sleep(0.1)
            assert "have ended the process of model recurrent 2 times" in answer.text
            assert 200 < int(answer.headers["retry-after"]) <= 300
            at = len(innocent)
            while not good_again(at):
                assert time.monotonic() < deadline
                await asyncio.sleep(PAUSE_SECONDS)
            other_model = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}
            mlp = await client.post("/v2/models/mlp/infer", json={"inputs": [other_model]})
            assert mlp.status_code == 200, mlp.text
            still = await client.post(path, json=recurrent_input(2))
            assert still.status_code == 429
        running = False
        await caller
    assert set(innocent) <= {200, 503}
    assert installation.until_ready(server["id"])["restarts"] >= 2
    installation.http.delete(f"/node/inference-servers/{server['id']}/")
