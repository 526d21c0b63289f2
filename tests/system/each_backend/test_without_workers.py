"""Suspended workers and brokers lose no run and block no independent call."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.system.backends import Backend
from tests.system.flow_documents import transform_flow
from tests.system.runs import Runs
from tests.timing import eventually


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


def test_what_waits_for_workers_is_in_the_metrics_until_they_are_back(
    backend: Backend, runs: Runs
) -> None:
    deployment = runs.deploy(transform_flow(), "async", "api")
    backlog = f'run_backlog{{deployment="{deployment}",mode="async",type="api"}}'
    oldest = 'run_backlog_oldest_seconds{mode="async",type="api"} '

    def scraped() -> str:
        return runs.http.get("/metrics").text

    with backend.without_workers():
        for x in range(2):
            runs.accept(deployment, {"x": x})
        text = eventually(scraped, lambda text: f"{backlog} 2.0" in text)
        assert f"{oldest}0.0" not in text
    eventually(scraped, lambda text: backlog not in text and f"{oldest}0.0" in text)


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
