"""Timelines and request ids of runs that real gateways have executed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from tests.system.flow_documents import division_flow, echo_flow, waiting_flow
from tests.system.installation import Installation, Json
from tests.system.runs import Runs

pytestmark = pytest.mark.processes


@pytest.fixture
def runs(installation: Installation) -> Runs:
    """The runs of the installation."""
    return Runs(installation)


def timeline(runs: Runs, run_id: str) -> Json:
    """Return the timeline of a run."""
    answer = runs.http.get(f"/node/flow-runs/{run_id}/timeline/")
    assert answer.status_code == 200, answer.text
    body: Json = answer.json()
    return body


def at(moment: Any) -> datetime:
    """Return a time of an answer: Any, a text."""
    return datetime.fromisoformat(moment)


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_nodes_start_one_after_the_other_within_their_run(runs: Runs, mode: str) -> None:
    run_id = runs.call(
        runs.deploy(waiting_flow(0.1), mode, "server"), {"x": 1}, {"prefer": "wait=20"}
    ).json()["flow_run_id"]
    body = timeline(runs, run_id)
    assert [span["kind"] for span in body["spans"]] == ["queue", "claim", *["node"] * 3, "finish"]
    assert body["notes"] == []
    nodes = body["spans"][2:5]
    assert [span["node_id"] for span in nodes] == ["input", "pause", "output"]
    starts = [at(span["started_at"]) for span in nodes]
    assert starts == sorted(starts)
    assert (starts[2] - starts[1]).total_seconds() > 0.09  # timers are a little early
    claim = body["spans"][1]
    assert at(body["created_at"]) <= at(claim["started_at"]) <= starts[0]
    shown = runs.show(run_id)
    assert shown["input_data"] == {"x": 1}
    assert shown["node_outputs"]["pause"]["started_seconds"] > 0
    assert shown["deployment_name"] == "Waiting 0.1 s Deployment"
    assert shown["api_key_name"]


def test_a_failed_run_names_the_node_and_the_page_of_the_code(runs: Runs) -> None:
    answer = runs.call(runs.deploy(division_flow(), "sync", "server"), {"x": 0})
    body = timeline(runs, answer.json()["flow_run_id"])
    (failed,) = (span for span in body["spans"] if span["id"] == "node:compute")
    assert failed["detail"]["error"]["code"] == "expression_failed"
    last = body["spans"][-1]["detail"]["error"]
    assert runs.http.get(last["docs_url"]).json()["code"] == last["code"]


def test_a_run_has_the_request_id_of_its_call(runs: Runs) -> None:
    deployment = runs.deploy(echo_flow(), "sync", "server")
    given = runs.call(deployment, {"param1": "a"}, {"X-Request-ID": "from-the-client"})
    own = runs.call(deployment, {"param1": "b"})
    for answer in (given, own):
        shown = runs.show(answer.json()["flow_run_id"])
        assert shown["request_id"] == answer.headers["x-request-id"]
    batch = runs.http.post(
        f"/node/deployment-trigger/{deployment}/batch/", json={"input_data": [{"param1": "c"}] * 2}
    )
    ids = {runs.show(item["flow_run_id"])["request_id"] for item in batch.json()["results"]}
    assert ids == {batch.headers["x-request-id"]}
