"""`Idempotency-Key` of fast calls."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx
import pytest

from tests.system.recorded_runs.conftest import BAD, GOOD, Recording
from tests.system.runs import problem_of
from tests.timing import TIMEOUT_SECONDS


def new_key() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid4())}


def test_a_repeated_call_gets_the_same_run_even_after_a_kill(recording: Recording) -> None:
    deployment, headers = recording.deploy(), new_key()
    first = recording.runs.call(deployment, GOOD, headers)
    assert first.status_code == 200, first.text
    assert "idempotent-replayed" not in first.headers
    recording.kill_gateways()
    again = recording.runs.call(deployment, GOOD, headers)
    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"
    run = recording.runs.show(first.json()["flow_run_id"])
    assert run["output_data"] == first.json()["output_data"]
    assert len(recording.ids_of(deployment)) == 1


def test_a_repeated_failure_is_the_same_failure(recording: Recording) -> None:
    deployment, headers = recording.deploy(), new_key()
    first = problem_of(recording.runs.call(deployment, BAD, headers), 422, "input_rejected")
    again = recording.runs.call(deployment, BAD, headers)
    problem = problem_of(again, 422, "input_rejected")
    assert problem["flow_run_id"] == first["flow_run_id"]
    assert again.headers["idempotent-replayed"] == "true"


def test_another_body_with_the_key_is_refused(recording: Recording) -> None:
    deployment, headers = recording.deploy(), new_key()
    assert recording.runs.call(deployment, GOOD, headers).status_code == 200
    problem_of(recording.runs.call(deployment, BAD, headers), 422, "idempotency_key_reused")


def test_concurrent_calls_with_a_key_have_one_run(recording: Recording) -> None:
    deployment, headers = recording.deploy(), new_key()
    assert recording.runs.call(deployment, GOOD).status_code == 200
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(recording.runs.call, deployment, GOOD, headers) for _ in range(24)]
        answers = [call.result() for call in calls]
    assert {answer.status_code for answer in answers} == {200}
    (run_id,) = {answer.json()["flow_run_id"] for answer in answers}
    key = headers["Idempotency-Key"]
    (run,) = recording.runs.list_all(deployment=deployment, idempotency_key=key)
    assert run["flow_run_id"] == run_id


def test_items_of_a_batch_have_keys_of_their_own(recording: Recording) -> None:
    deployment, headers = recording.deploy(), new_key()
    path = f"/node/deployment-trigger/{deployment}/batch/"
    body = {"input_data": [GOOD, {"index": [1]}]}
    first, again = (
        recording.installation.http.post(path, json=body, headers=headers).json()["results"]
        for _ in range(2)
    )
    assert [item["output_data"]["y"] for item in first] == [[10, 30], [20]]
    assert again == first
    assert len({item["flow_run_id"] for item in first}) == 2


def test_a_deployment_may_require_a_key(recording: Recording) -> None:
    deployment = recording.deploy(require_idempotency_key=True)
    problem_of(recording.runs.call(deployment, GOOD), 400, "idempotency_key_required")
    assert recording.runs.call(deployment, GOOD, new_key()).status_code == 200


@pytest.mark.parametrize("mode", ["fast", "sync"])
def test_another_api_key_gets_a_run_of_its_own_that_it_can_read(
    recording: Recording, mode: str
) -> None:
    deployment = recording.deploy(execution_mode=mode, deployment_type="server")
    headers, ids = new_key(), []
    for name in ("one", "other"):
        key = recording.installation.post("/node/api-keys/", {"name": name})["key"]
        with httpx.Client(
            base_url=recording.installation.up.url,
            headers={"X-API-Key": key, **headers},
            timeout=TIMEOUT_SECONDS,
        ) as caller:
            answer = caller.post(
                f"/node/deployment-trigger/{deployment}/", json={"input_data": GOOD}
            )
            assert answer.status_code == 200, answer.text
            ids.append(answer.json()["flow_run_id"])
            assert caller.get(f"/node/flow-runs/{ids[-1]}/").status_code == 200
    assert len(set(ids)) == 2
