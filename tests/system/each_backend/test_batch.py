"""Batches: many inputs in one call, one run each."""

from __future__ import annotations

import httpx
import pytest

from tests.system.backends import embedded_only
from tests.system.flow_documents import division_flow
from tests.system.installation import chain
from tests.system.runs import Runs, problem_of

kinds = pytest.mark.parametrize("kind", ["api", "server"])


def batch(runs: Runs, deployment_id: str, input_data: object) -> httpx.Response:
    """Trigger with a list."""
    return runs.http.post(
        f"/node/deployment-trigger/{deployment_id}/batch/", json={"input_data": input_data}
    )


@kinds
def test_a_sync_batch_answers_in_order_and_isolates_failures(runs: Runs, kind: str) -> None:
    deployment = runs.deploy(division_flow(), "sync", kind)
    answer = batch(runs, deployment, [{"x": 1}, {"x": 0}, {"x": 5}])
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["status"] == "completed"
    first, second, third = body["results"]
    assert [result["index"] for result in body["results"]] == [0, 1, 2]
    assert (first["status"], first["output_data"]) == ("completed", {"y": 10})
    assert (third["status"], third["output_data"]) == ("completed", {"y": 2})
    assert second["status"] == "failed"
    assert second["error"]["code"] == "invalid_input"
    assert second["retryable"] is False
    assert "compute" in second["error"]["message"]
    ids = {result["flow_run_id"] for result in body["results"]}
    assert {run["flow_run_id"] for run in runs.list_all(deployment=deployment)} == ids


@embedded_only
@kinds
def test_an_invalid_item_fails_alone(runs: Runs, kind: str) -> None:
    deployment = runs.deploy(division_flow(), "sync", kind)
    answer = batch(runs, deployment, [{"x": 1}, "no object"])
    assert answer.status_code == 200, answer.text
    good, bad = answer.json()["results"]
    assert good["status"] == "completed"
    assert bad["status"] == "failed"
    assert bad["error"]["message"]


@kinds
def test_an_async_batch_answers_202_with_one_id_per_item(runs: Runs, kind: str) -> None:
    deployment = runs.deploy(division_flow(), "async", kind)
    answer = batch(runs, deployment, [{"x": 1}, {"x": 0}, {"x": 5}])
    assert answer.status_code == 202, answer.text
    ids = [result["flow_run_id"] for result in answer.json()["results"]]
    ended = [runs.until(run_id) for run_id in ids]
    assert [run["status"] for run in ended] == ["completed", "failed", "completed"]
    assert [run["output_data"] for run in ended] == [{"y": 10}, None, {"y": 2}]


@embedded_only
@kinds
def test_a_fast_batch_calls_the_model_once_per_item(runs: Runs, kind: str) -> None:
    deployment = runs.deploy(chain("iris"), "fast", kind)
    good = {"x": [[5.1, 3.5, 1.4, 0.2]]}
    answer = batch(runs, deployment, [good, {"x": "no numbers"}, good])
    assert answer.status_code == 200, answer.text
    results = answer.json()["results"]
    assert [result["status"] for result in results] == ["completed", "failed", "completed"]
    assert results[0]["output_data"] == results[2]["output_data"]
    assert results[1]["error"]["code"] == "invalid_tensor"


@embedded_only
def test_a_body_without_a_list_is_400(runs: Runs) -> None:
    deployment = runs.deploy(division_flow(), "sync", "server")
    problem_of(batch(runs, deployment, {"x": 1}), 400, "invalid_request")
