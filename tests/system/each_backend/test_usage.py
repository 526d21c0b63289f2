"""Usage of real installations contains every call and every run exactly once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import onnx_models
from tests.metrics_text import sample
from tests.system.each_backend.usage import IRIS, until_counted, usage_of
from tests.system.flow_documents import division_flow, transform_flow
from tests.system.installation import Installation, chain
from tests.system.runs import Runs
from tests.timing import eventually


def test_calls_of_every_mode_are_counted_exactly(runs: Runs) -> None:
    fast = runs.deploy(chain("iris"), "fast")
    sync = runs.deploy(division_flow(), "sync", "server")
    background = runs.deploy(transform_flow(), "async", "api")
    for _ in range(30):
        assert runs.call(fast, IRIS).status_code == 200
    for _ in range(4):
        assert runs.call(fast, {"x": "no"}).status_code == 422
    for x in (1, 2, 4, 5, 0, 0):
        assert runs.call(sync, {"x": x}).status_code == (200 if x else 422)
    accepted = [runs.accept(background, {"x": x}) for x in range(8)]
    for run_id in accepted:
        runs.until(run_id)
    where = runs.installation
    found = until_counted(where, fast, calls=34, errors=4, runs=0)
    assert found["errors_by_code"] == {"invalid_tensor": 4}
    assert set(found["stages"]) == {"auth", "parse", "queue", "infer", "serialise"}
    found = until_counted(where, sync, calls=6, errors=2, runs=6, run_errors=2)
    assert found["errors_by_code"] == {"invalid_input": 2}
    assert found["run_errors_by_code"] == {"invalid_input": 2}
    assert set(found["stages"]) == {"auth", "parse", "queue", "run"}
    assert 0 < found["stages"]["run"]["p50_seconds"] <= found["p99_seconds"]
    found = until_counted(where, background, calls=8, errors=0, runs=8, run_errors=0)
    codes = usage_of(where, sync, by="code")
    assert [(item["code"], item["calls"], item["runs"]) for item in codes] == [
        ("invalid_input", 2, 2),
        ("ok", 4, 4),
    ]


def test_failed_runs_of_workers_are_in_the_metrics_by_code(runs: Runs) -> None:
    deployment = runs.deploy(division_flow(), "async", "api")
    run = runs.until(runs.accept(deployment, {"x": 0}))
    assert run["error"]["code"] == "invalid_input"
    labels = f'deployment="{deployment}",mode="async",status="failed",type="api"'
    line = f'runs_total{{code="invalid_input",{labels}}} 1.0'
    text = eventually(lambda: runs.http.get("/metrics").text, lambda text: line in text)
    labels = f'deployment="{deployment}",mode="async",type="api"'
    for name in ("run_seconds", "run_queue_seconds"):
        assert f"{name}_count{{{labels}}} 1.0" in text


def test_nodes_are_measured_by_type_in_gateways_and_in_workers(runs: Runs) -> None:
    for executed_by in ("server", "api"):
        deployment = runs.deploy(division_flow(), "sync", executed_by)
        assert runs.call(deployment, {"x": 2}).is_success
        line = f'run_node_seconds_count{{deployment="{deployment}",node_type="api_input"}} 1.0'
        text = eventually(lambda: runs.http.get("/metrics").text, lambda text: line in text)  # noqa: B023
    assert 'child_requests_waiting{program="evaluator"}' in text
    eventually(
        lambda: runs.http.get("/metrics").text,
        lambda text: "\nworker_runs_total 0.0" not in text and "\nworker_runs_total " in text,
    )


def test_the_heartbeats_of_workers_are_measured(runs: Runs) -> None:
    name = "celery_worker_heartbeat_age_seconds{worker="
    eventually(lambda: runs.http.get("/metrics").text, lambda text: name in text)


@pytest.mark.long
def test_a_batch_counts_as_one_call_and_each_item_as_a_run(runs: Runs) -> None:
    sync = runs.deploy(transform_flow(), "sync", "server")
    answer = runs.http.post(
        f"/node/deployment-trigger/{sync}/batch/", json={"input_data": [{"x": x} for x in range(5)]}
    )
    assert answer.status_code == 200, answer.text
    until_counted(runs.installation, sync, calls=1, runs=5)


@pytest.mark.long
def test_the_wait_for_a_booting_server_is_measured_separately(runs: Runs, tmp_path: Path) -> None:
    where = runs.installation
    where.add_model("slow", onnx_models.slow_to_load(tmp_path / "slow.onnx", 2))
    sync = runs.deploy(chain("slow"), "sync", "server")
    counted = _counted_boots(where)
    server = where.serve("slow", wait=False)
    # A gateway learns of the server a moment later.
    eventually(lambda: where.http.post("/v2/repository/index").text, lambda text: "slow" in text)
    answer = runs.call(sync, {"x": [1.0, 2.0]})
    assert answer.status_code == 200, answer.text
    found = until_counted(where, sync, calls=1, runs=1)
    boot, run = found["stages"]["boot"]["p50_seconds"], found["stages"]["run"]["p50_seconds"]
    assert 0.3 < boot <= run * 1.1
    eventually(lambda: _counted_boots(where), lambda count: count == counted + 1)
    assert where.http.delete(f"/node/inference-servers/{server['id']}/").is_success


def _counted_boots(installation: Installation) -> float:
    """Return how many sync runs have waited for a booting server, by the metrics."""
    text = installation.http.get("/metrics").text
    return sample(text, "run_boot_seconds_count", mode="sync")
