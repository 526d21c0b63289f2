"""An inference server is killed under load: calls in flight fail, then service resumes."""

from __future__ import annotations

import asyncio
import time

import httpx
import psutil

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
            timer = Timer()
            answer = await client.post(f"/node/deployment-trigger/{deployment}/", json=body)
            outcomes.append((timer.seconds, time.monotonic(), answer.status_code))
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
    assert max(seconds for seconds, _ in failures) < 1.0, "a failure took long"
    excused = since_kill.elapsed - since_kill.seconds
    back = max(ended for _, ended in failures)
    assert back - killed < server["boot_seconds"] + 2 + excused
    after = installation.http.get(f"/node/inference-servers/{server['id']}/").json()
    assert after["restarts"] == server["restarts"] + 1
    assert after["processes"][0]["pid"] != server["processes"][0]["pid"]
