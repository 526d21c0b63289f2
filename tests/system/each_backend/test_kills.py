"""Killed workers and gateways lose no run, and of the usage only the last seconds.

They are killed once for all tests here.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import httpx
import psutil
import pytest

from tests.system.backends import Backend
from tests.system.each_backend.usage import IRIS, until_counted, usage_of
from tests.system.flow_documents import transform_flow, waiting_flow
from tests.system.installation import Installation, Json, chain
from tests.system.runs import MANY_SECONDS, TERMINAL, Runs
from tests.timing import TIMEOUT_SECONDS, eventually


@dataclass(frozen=True)
class Killed:
    """What was in progress or just counted when all workers and gateways were killed."""

    on_worker: str
    """A run of type api that may be retried."""
    on_gateway: list[str]
    """Runs of type server that may be retried; run n has the input n."""
    unsafe: str
    """A run of type server that must not be retried."""
    fast: str
    """A deployment with 20 counted calls, 6 that may be lost, and 4 after the kill."""
    background: str
    """The same for runs of type server, none of which may be lost."""


@pytest.fixture(scope="module")
def killed(backend: Backend) -> Killed:
    """Everything is killed, and gateways answer again."""
    runs = Runs(backend.installation)
    fast = runs.deploy(chain("iris"), "fast")
    background = runs.deploy(transform_flow(), "async", "server")
    api = runs.deploy(waiting_flow(3), "async", "api", retry_safe=True)
    safe = runs.deploy(waiting_flow(2), "async", "server", retry_safe=True)
    unsafe = runs.deploy(waiting_flow(MANY_SECONDS), "async", "server", retry_safe=False)
    _call(backend.installation, {fast: IRIS, background: {"x": 1}}, times=20)
    until_counted(backend.installation, fast, calls=20)
    lost, on_worker = runs.accept(unsafe, {"x": 0}), runs.accept(api, {"x": 1})
    for run_id in (lost, on_worker):
        runs.until(run_id, "running")
    on_gateway = [runs.accept(safe, {"x": x}) for x in range(5)]
    _call(backend.installation, {fast: IRIS, background: {"x": 1}}, times=6)
    processes = backend.workers() + backend.gateways()
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=TIMEOUT_SECONDS)
    eventually(lambda: _ready(backend.installation), bool)
    _call(backend.installation, {fast: IRIS, background: {"x": 1}}, times=4)
    return Killed(on_worker, on_gateway, lost, fast, background)


def test_a_run_of_a_killed_worker_is_retried(runs: Runs, killed: Killed) -> None:
    assert runs.until(killed.on_worker)["output_data"] == {"x": 1}


def test_async_runs_of_type_server_survive_a_kill_of_every_gateway(
    runs: Runs, killed: Killed
) -> None:
    retried = [_ended(runs, run_id) for run_id in killed.on_gateway]
    assert [run["output_data"] for run in retried] == [{"x": x} for x in range(5)]
    # A run that must not be retried is reported as lost and does not stay `running`.
    assert _ended(runs, killed.unsafe)["error"]["code"] == "worker_lost"


def test_a_killed_gateway_loses_the_counts_of_its_last_seconds_but_no_run(
    runs: Runs, killed: Killed
) -> None:
    until_counted(runs.installation, killed.background, runs=30)

    def answered() -> int:
        (item,) = usage_of(runs.installation, killed.fast)
        found: int = item["calls"] - item["errors"]
        return found

    assert 24 <= eventually(answered, lambda calls: calls >= 24) <= 30


def _call(installation: Installation, deployments: dict[str, Json], times: int) -> None:
    """Call each deployment with its input, always over a new connection: each gateway gets some."""
    for _ in range(times):
        with httpx.Client(
            base_url=installation.up.url, headers={"X-API-Key": installation.key}
        ) as client:
            for deployment, given in deployments.items():
                path = f"/node/deployment-trigger/{deployment}/"
                eventually(
                    partial(client.post, path, json={"input_data": given}),
                    lambda answer: answer.is_success,  # a new process may not be ready yet
                )


def _ready(installation: Installation) -> bool:
    try:
        return installation.http.get("/readyz").is_success
    except httpx.TransportError:
        return False


def _ended(runs: Runs, run_id: str) -> Json:
    """Wait until a run has ended and return it; restarting gateways answer 503."""
    answer = eventually(
        lambda: runs.poll(run_id),
        lambda found: found.status_code != 503 and found.json()["status"] in TERMINAL,
    )
    run: Json = answer.json()
    return run
