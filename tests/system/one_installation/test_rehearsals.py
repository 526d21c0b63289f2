"""`slipstream deployments rehearse` conducts what the gateways of the installation run."""

from __future__ import annotations

import json
import time

import pytest

from tests.slipstream.cli import invoke
from tests.system.flow_documents import transform_flow, waiting_flow
from tests.system.installation import Installation, Json
from tests.system.runs import Runs

pytestmark = pytest.mark.processes


@pytest.mark.long
def test_a_draft_is_rehearsed_and_its_difference_is_the_exit_status(
    installation: Installation,
) -> None:
    runs = Runs(installation)
    deployment = runs.deploy(transform_flow("input.x * 2"), "sync", "server")
    for x in (1, 5):
        runs.until(runs.call(deployment, {"x": x}).json()["flow_run_id"], "completed")
    out, status = rehearse(installation, deployment)
    assert (out["total"], out["equal"], out["differing"], out["failed"], status) == (2, 2, 0, [], 0)

    draft = transform_flow("input.x * input.x + 1")
    path = f"/node/flows/{runs.flow_of(deployment)}/"
    body = {"nodes": draft["nodes"], "edges": draft["edges"]}
    installation.http.patch(path, json=body).raise_for_status()
    out, status = rehearse(installation, deployment)
    assert (out["total"], out["equal"], out["differing"], status) == (2, 1, 1, 1)
    [different] = out["different"]
    assert (different["pointer"], different["live"], different["draft"]) == ("/y", "10", "26")


@pytest.mark.long
def test_a_rehearsal_of_the_gateway_is_cancelled_by_the_command(
    installation: Installation,
) -> None:
    runs = Runs(installation)
    deployment = runs.deploy(transform_flow("input.x * 2"), "sync", "server")
    runs.until(runs.call(deployment, {"x": 1}).json()["flow_run_id"], "completed")
    draft = waiting_flow(600)
    flow = runs.flow_of(deployment)
    body = {"nodes": draft["nodes"], "edges": draft["edges"]}
    installation.http.patch(f"/node/flows/{flow}/", json=body).raise_for_status()
    installation.http.post(f"/node/deployments/{deployment}/rehearse/").raise_for_status()
    query = {"flow": flow, "status": "running"}
    while not (found := installation.http.get("/node/flow-runs/", params=query).json()["items"]):
        time.sleep(0.05)
    out, status = rehearse(installation, deployment, "cancel-rehearsal")
    assert (out["state"], out["total"], out["done"], status) == ("stopped", 1, 0, 0)
    runs.until(found[0]["flow_run_id"], "cancelled")


def rehearse(
    installation: Installation, deployment: str, command: str = "rehearse"
) -> tuple[Json, int]:
    """Run a command about a rehearsal; return what it prints, and its exit status."""
    state = ("--json", "--state", str(installation.up.state))
    words = ["deployments", command, deployment, *state]
    result = invoke(words)
    return json.loads(result.stdout), result.exit_code
