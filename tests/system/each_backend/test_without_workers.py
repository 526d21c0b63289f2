"""Suspended or killed workers, brokers and gateways lose no run and block no independent call."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psutil

from tests.system.backends import Backend
from tests.system.flow_documents import transform_flow, waiting_flow
from tests.system.installation import TIMEOUT_SECONDS, Json
from tests.system.runs import MANY_SECONDS, TERMINAL, Runs, eventually


def test_type_server_works_while_workers_and_broker_are_suspended(
    backend: Backend, runs: Runs
) -> None:
    synced = runs.deploy(transform_flow(), "sync", "server")
    accepted = runs.deploy(transform_flow(), "async", "server")
    queued = runs.deploy(transform_flow(), "async", "api")
    with backend.without_workers():
        answer = runs.call(synced, {"x": 2})
        assert answer.status_code == 200, answer.text
        assert answer.json()["output_data"] == {"y": 4}
        assert runs.until(runs.accept(accepted, {"x": 3}))["output_data"] == {"y": 6}
        # Type api is accepted as well: the row is stored.
        unclaimed = runs.accept(queued, {"x": 4})
        assert runs.show(unclaimed)["status"] == "queued"
    assert runs.until(unclaimed)["output_data"] == {"y": 8}


def test_sync_of_type_api_without_a_worker_is_503_and_leaves_no_run(
    backend: Backend, runs: Runs
) -> None:
    deployment = runs.deploy(transform_flow(), "sync", "api", cold_start_wait_seconds=1)
    with backend.without_workers():
        answer = runs.call(deployment, {"x": 2})
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.json()["code"] == "no_worker"
    assert runs.list_all(deployment=deployment) == []
    eventually(lambda: runs.call(deployment, {"x": 2}), lambda found: found.status_code == 200)


def test_all_callers_of_a_withdrawn_run_get_an_error(backend: Backend, runs: Runs) -> None:
    deployment = runs.deploy(transform_flow(), "sync", "api", cold_start_wait_seconds=2)
    key = {"Idempotency-Key": "together"}
    with backend.without_workers(), ThreadPoolExecutor(3) as callers:
        answers = list(callers.map(lambda _: runs.call(deployment, {"x": 2}, key), range(3)))
    assert {answer.status_code for answer in answers} == {503}
    assert {answer.json()["code"] for answer in answers} == {"no_worker"}
    assert runs.list_all(deployment=deployment) == []


def test_a_run_of_a_killed_worker_is_retried(backend: Backend, runs: Runs) -> None:
    deployment = runs.deploy(waiting_flow(3), "async", "api", retry_safe=True)
    run_id = runs.accept(deployment, {"x": 1})
    runs.until(run_id, "running")
    _kill(backend.workers())
    assert runs.until(run_id)["output_data"] == {"x": 1}


def test_async_runs_of_type_server_survive_a_kill_of_every_gateway(
    backend: Backend, runs: Runs
) -> None:
    safe = runs.deploy(waiting_flow(2), "async", "server", retry_safe=True)
    unsafe = runs.deploy(waiting_flow(MANY_SECONDS), "async", "server", retry_safe=False)
    lost = runs.accept(unsafe, {"x": 0})
    runs.until(lost, "running")
    accepted = [runs.accept(safe, {"x": x}) for x in range(5)]
    before = backend.gateways()
    _kill(before)
    psutil.wait_procs(before, timeout=TIMEOUT_SECONDS)
    made_again = [_ended(runs, run_id) for run_id in accepted]
    assert [run["output_data"] for run in made_again] == [{"x": x} for x in range(5)]
    # A run that must not be retried is reported as lost and does not stay `running`.
    assert _ended(runs, lost)["error"]["code"] == "worker_lost"


def _ended(runs: Runs, run_id: str) -> Json:
    """Wait until a run has ended and return it; restarting gateways answer 503."""
    answer = eventually(
        lambda: runs.poll(run_id),
        lambda found: found.status_code != 503 and found.json()["status"] in TERMINAL,
    )
    run: Json = answer.json()
    return run


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
