"""A fast deployment is changed to another model while it is called."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import onnx_models
from tests.system.installation import Installation, chain
from tests.timing import pause

DEPLOYMENTS = "/node/deployments/"
IN_FORCE_SECONDS = 1.0


def test_redeploying_and_promoting_fail_no_call(installation: Installation, tmp_path: Path) -> None:
    installation.add_model("swapped", onnx_models.mlp(tmp_path / "one.onnx"))
    installation.serve("swapped")
    deployment = installation.deploy(chain("swapped"))
    installation.add_model("swapped", onnx_models.mlp(tmp_path / "two.onnx"))
    body = {"input_data": {"x": [[1.0, 2.0, 3.0, 4.0]]}}
    answers: Counter[tuple[int, str]] = Counter()
    over = threading.Event()

    def call() -> None:
        while not over.is_set():
            answer = installation.trigger(deployment, json=body)
            answers[answer.status_code, answer.json().get("code", "")] += 1

    caller = threading.Thread(target=call)
    caller.start()
    try:
        pushed = installation.post(f"{DEPLOYMENTS}{deployment}/redeploy/", {})
        assert pushed["models"] == [{"node": "model", "model": "swapped", "version": 2}]
        promoted = installation.post(f"{DEPLOYMENTS}{deployment}/versions/1/promote/", {})
        assert promoted["version"] == 1
    finally:
        over.set()
        caller.join()
    assert set(answers) == {(200, "")}, answers


@pytest.mark.long
def test_a_paused_deployment_answers_409_in_every_gateway_and_a_deleted_one_410(
    installation: Installation,
) -> None:
    deployment = installation.deploy(chain("iris"))
    body = {"input_data": {"x": [[5.1, 3.5, 1.4, 0.2]]}}

    def answers() -> set[tuple[int, str | None]]:
        """Call over new connections: there are two gateways, each with its own cache."""
        closing = {"Connection": "close"}
        found = [installation.trigger(deployment, json=body, headers=closing) for _ in range(20)]
        return {(answer.status_code, answer.json().get("code")) for answer in found}

    url = f"{DEPLOYMENTS}{deployment}/"
    acts: list[tuple[Callable[[], object], tuple[int, str | None]]] = [
        (lambda: installation.post(f"{url}pause/", {}), (409, "deployment_paused")),
        (lambda: installation.post(f"{url}resume/", {}), (200, None)),
        (lambda: installation.http.delete(url), (410, "gone")),
    ]
    assert answers() == {(200, None)}
    for act, expected in acts:
        act()
        pause(IN_FORCE_SECONDS)
        assert answers() == {expected}


def test_a_call_can_select_a_version_that_is_not_live(installation: Installation) -> None:
    old, new = chain("mlp"), chain("mlp")
    old["nodes"][1]["config"]["inputs"] = {"x": "input.old"}
    new["nodes"][1]["config"]["inputs"] = {"x": "input.new"}
    deployment = installation.deploy(old)
    flow_id = installation.http.get(f"{DEPLOYMENTS}{deployment}/").json()["flow_id"]
    assert installation.http.put(f"/node/flows/{flow_id}/", json=new).is_success
    installation.post(f"{DEPLOYMENTS}{deployment}/redeploy/", {})
    rows = [[1.0, 2.0, 3.0, 4.0]]
    for name, params, status in (
        ("old", {"version": "1"}, 200),
        ("new", {"version": "1"}, 422),
        ("new", {"version": "2"}, 200),
        ("new", {"version": "3"}, 404),
    ):
        body = {"input_data": {name: rows}}
        answer = installation.trigger(deployment, json=body, params=params)
        assert answer.status_code == status, answer.text
    assert "has no version 3: expected 1 to 2" in answer.json()["message"]
