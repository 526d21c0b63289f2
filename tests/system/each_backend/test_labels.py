"""Labels of calls: stored with their runs in every mode, and refused before anything is done."""

from __future__ import annotations

import pytest

from tests.system.backends import embedded_only
from tests.system.flow_documents import transform_flow
from tests.system.installation import chain
from tests.system.runs import Runs, problem_of
from tests.timing import eventually

LABELS = {"Slipstream-Metadata": 'order=42, note="two words"'}
SHOWN = {"order": "42", "note": "two words"}
ROW = {"x": [[5.1, 3.5, 1.4, 0.2]]}


@pytest.mark.parametrize("kind", ["api", "server"])
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_run_has_the_labels_of_its_call(runs: Runs, mode: str, kind: str) -> None:
    deployment = runs.deploy(transform_flow(), mode, kind)
    answer = runs.call(deployment, {"x": 1}, LABELS)
    assert answer.is_success, answer.text
    run_id = answer.json()["flow_run_id"]
    runs.call(deployment, {"x": 1})
    assert runs.until(run_id)["metadata"] == SHOWN
    for query in ({"metadata.order": "42"}, {"metadata.order": "42", "metadata.note": "two words"}):
        found = runs.list_all(deployment=deployment, **query)
        assert [run["flow_run_id"] for run in found] == [run_id]
        assert found[0]["metadata"] == SHOWN
    assert runs.list_all(deployment=deployment, **{"metadata.order": "43"}) == []


def test_an_accepted_run_is_followed_and_cancelled_by_its_urls(runs: Runs) -> None:
    answer = runs.call(runs.deploy(transform_flow(), "async"), {"x": 1})
    urls = answer.json()["urls"]
    assert urls["get"] == answer.headers["location"]
    assert runs.http.post(urls["cancel"]).status_code in (202, 409)
    ended = runs.until(answer.json()["flow_run_id"])
    assert ended["urls"] == {name: urls[name] for name in ("get", "events")}
    assert runs.http.get(urls["get"]).is_success
    assert runs.http.get(urls["events"]).is_success


@embedded_only
@pytest.mark.parametrize("record_runs", ["all", "sample"])
def test_a_recorded_fast_call_has_its_labels(runs: Runs, record_runs: str) -> None:
    deployment = runs.deploy(chain("iris"), "fast", record_runs=record_runs)
    for headers in (LABELS, LABELS, {}):
        assert runs.call(deployment, ROW, headers).is_success
    labelled = {"deployment": deployment, "metadata.order": "42"}
    found = eventually(lambda: runs.list_all(**labelled), lambda listed: len(listed) == 2)
    assert [run["metadata"] for run in found] == [SHOWN, SHOWN]


@embedded_only
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_each_run_of_a_batch_has_the_labels_of_the_call(runs: Runs, mode: str) -> None:
    deployment = runs.deploy(transform_flow(), mode, "server")
    body = {"input_data": [{"x": 1}, {"x": 2}]}
    answer = runs.installation.trigger(f"{deployment}/batch", json=body, headers=LABELS)
    assert answer.is_success, answer.text
    ids = {result["flow_run_id"] for result in answer.json()["results"]}
    found = runs.list_all(deployment=deployment, **{"metadata.order": "42"})
    assert {run["flow_run_id"] for run in found} == ids


@embedded_only
@pytest.mark.parametrize("mode", ["sync", "async", "fast"])
def test_a_malformed_header_is_refused_and_nothing_runs(runs: Runs, mode: str) -> None:
    deployment = runs.deploy(chain("iris"), mode)
    for path in (deployment, f"{deployment}/batch"):
        body = {"input_data": [ROW] if path.endswith("batch") else ROW}
        headers = {"Slipstream-Metadata": "order=4 2"}
        answer = runs.installation.trigger(path, json=body, headers=headers)
        problem = problem_of(answer, 400, "invalid_request")
        assert "Slipstream-Metadata, key 'order': expected" in problem["message"]
        assert "got ' 2'" in problem["message"]
    assert runs.list_all(deployment=deployment) == []
    unknown = {"Slipstream-Metadata": "order=4 2", "X-API-Key": "sk-unknown"}
    refused = runs.installation.trigger(deployment, json={"input_data": ROW}, headers=unknown)
    assert refused.status_code == 401, "who may not call learns nothing of the header"


@embedded_only
def test_of_two_lines_of_the_header_none_is_taken(runs: Runs) -> None:
    deployment = runs.deploy(transform_flow(), "sync", "server")
    lines = [("Slipstream-Metadata", "a=1"), ("Slipstream-Metadata", "b=2")]
    answer = runs.http.post(
        f"/node/deployment-trigger/{deployment}/", json={"input_data": {"x": 1}}, headers=lines
    )
    assert "got 2" in problem_of(answer, 400, "invalid_request")["message"]
