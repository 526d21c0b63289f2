"""Calls and runs of real gateways, explained by `slipstream calls explain`."""

from __future__ import annotations

import pytest

from tests.system.flow_documents import division_flow, waiting_flow
from tests.system.installation import Installation
from tests.system.runs import Runs
from tests.timing import eventually

pytestmark = pytest.mark.processes


@pytest.fixture
def runs(installation: Installation) -> Runs:
    """The runs of the installation."""
    return Runs(installation)


def test_a_sync_call_and_an_async_run_are_explained_by_their_nodes(runs: Runs) -> None:
    sync = runs.call(runs.deploy(waiting_flow(1.0), "sync", "server"), {"x": 1})
    request_id, run_id = sync.headers["x-request-id"], sync.json()["flow_run_id"]
    url = f"/node/calls/{request_id}/"
    kept = eventually(lambda: runs.http.get(url).json(), lambda found: found["status"] is not None)
    assert (kept["status"], kept["flow_run_id"]) == (200, run_id)
    accepted = runs.accept(runs.deploy(waiting_flow(0.2), "async", "server"), {"x": 1})
    runs.until(accepted)
    for name, beginning in ((request_id, "auth"), (accepted, "gateway_queue")):
        shown = runs.installation.command("calls", "explain", name)
        parts = {part["kind"]: part for part in shown["parts"]}
        assert next(iter(parts)) == beginning
        assert {"claim", "wait_node", "finish"} < set(parts)
        assert parts["wait_node"]["share"] > 0.5
        assert shown["findings"][0].startswith("pause took ")
    assert shown["call"]["flow_run_id"] == accepted


def test_a_failed_call_names_its_node_and_what_to_do(runs: Runs) -> None:
    answer = runs.call(runs.deploy(division_flow(), "sync", "server"), {"x": 0})
    shown = runs.installation.command("calls", "explain", answer.json()["flow_run_id"])
    assert "in the node 'compute'" in shown["findings"][0]
