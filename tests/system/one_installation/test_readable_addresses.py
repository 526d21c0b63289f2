"""Calls by `/v1/{owner}/{slug}` of running deployments, in all modes, at several gateways."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from typing import Any

import httpx
import pytest

from tests.slipstream.running import environment
from tests.system.flow_documents import transform_flow
from tests.system.installation import Installation, chain
from tests.system.runs import Runs
from tests.timing import eventually

ROWS = [[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5]]


@pytest.fixture
def runs(installation: Installation) -> Runs:
    """A client of the installation."""
    return Runs(installation)


# Any, here and below: JSON
def shown(runs: Runs, deployment: str) -> dict[str, Any]:
    """Return a deployment."""
    found: dict[str, Any] = runs.http.get(f"/node/deployments/{deployment}/").json()
    return found


def test_a_fast_call_answers_as_by_id(runs: Runs) -> None:
    made = shown(runs, runs.installation.deploy(chain("iris")))
    body = {"input_data": {"x": ROWS}}
    by_id = runs.http.post(made["trigger_path"], json=body)
    owner, slug = made["named_path"].removeprefix("/v1/").split("/")
    paths = (f"/v1/{owner}/{slug}", f"/v1/{owner}/{slug}/", f"/v1/{owner.upper()}/{slug}")
    for path in (*paths, f"/v1/{owner}%2F{slug}", f"/%761/{owner}/{slug}"):
        for _ in range(3):
            answer = runs.http.post(path, json=body)
            assert answer.status_code == 200, answer.text
            assert answer.json()["output_data"] == by_id.json()["output_data"]
            assert set(answer.headers) == set(by_id.headers)
    enveloped = runs.http.post(
        made["named_path"], json=body, params={"response_format": "envelope"}
    )
    assert enveloped.json()["data"]["output_data"] == by_id.json()["output_data"]
    wrong = [runs.http.post(each, json={}) for each in (made["trigger_path"], made["named_path"])]
    assert [each.status_code for each in wrong] == [422, 422]
    assert wrong[0].json()["message"] == wrong[1].json()["message"]


def test_sync_runs_and_batches_answer_as_by_id(runs: Runs) -> None:
    made = shown(runs, runs.deploy(transform_flow(), "sync", "server"))
    answer = runs.http.post(made["named_path"], json={"input_data": {"x": 2}})
    assert answer.json()["output_data"] == {"y": 4}
    batch = runs.http.post(f"{made['named_path']}/batch", json={"input_data": [{"x": 1}, {"x": 3}]})
    assert [each["output_data"] for each in batch.json()["results"]] == [{"y": 2}, {"y": 6}]


def test_an_async_call_is_polled_at_the_address(runs: Runs) -> None:
    made = shown(runs, runs.deploy(transform_flow(), "async", "server"))
    accepted = runs.http.post(made["named_path"], json={"input_data": {"x": 2}})
    assert accepted.status_code == 202
    run_id = accepted.json()["flow_run_id"]
    polled = runs.http.get(f"{made['named_path']}/runs/{run_id}", params={"wait": 30})
    assert (polled.json()["status"], polled.json()["output_data"]) == ("completed", {"y": 4})
    assert polled.json() == runs.poll(run_id).json()
    unchanged = {"if-none-match": polled.headers["etag"]}
    again = runs.http.get(f"{made['named_path']}/runs/{run_id}/", headers=unchanged)
    assert again.status_code == 304


def test_a_former_address_stops_in_every_gateway_and_never_leads_to_the_former_deployment(
    runs: Runs,
) -> None:
    former = shown(runs, runs.deploy(transform_flow(), "sync", "server"))
    path, headers = former["named_path"], {"X-API-Key": runs.installation.key}
    kept = [httpx.Client(base_url=runs.installation.up.url, headers=headers) for _ in range(8)]

    def answers() -> list[tuple[int, object]]:  # each client has a connection to one gateway
        found = [client.post(path, json={"input_data": {"x": 1}}) for client in kept]
        return [(each.status_code, each.json().get("output_data")) for each in found]

    assert set(map(str, answers())) == {str((200, {"y": 2}))}
    changed = {"slug": f"{former['slug']}-former"}
    assert runs.http.patch(f"/node/deployments/{former['id']}/", json=changed).is_success
    eventually(answers, lambda found: {status for status, _ in found} == {404})
    flow = runs.http.post("/node/flows/", json=transform_flow("input.x * 100")).json()
    new = {"flow_id": flow["id"], "slug": former["slug"], "deployment_type": "server"}
    assert runs.http.post("/node/deployments/", json=new).status_code == 201
    for _ in range(5):
        assert {"{'y': 2}"}.isdisjoint(str(output) for _, output in answers())
    eventually(answers, lambda found: set(map(str, found)) == {str((200, {"y": 100}))})
    for client in kept:
        client.close()


@pytest.mark.processes
def test_calls_by_address_are_watched(runs: Runs) -> None:
    made = shown(runs, runs.deploy(transform_flow(), "sync", "server"))
    state = str(runs.installation.up.state)
    words = ("deployments", "watch", made["slug"], "--json", "--state", state)
    with (
        httpx.Client(base_url=runs.installation.up.url) as without_key,
        subprocess.Popen(
            (sys.executable, "-m", "slipstream", *words),
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        ) as watching,
    ):
        assert watching.stdout is not None
        while not select.select([watching.stdout], [], [], 0.2)[0]:
            answer = without_key.post(made["named_path"], json={"input_data": {"x": 1}})
            assert answer.status_code == 401
        call = json.loads(watching.stdout.readline())
        watching.kill()
    assert (call["status"], call["code"]) == (401, "api_key_missing")
