"""Idempotency-Key: a repeated call is one run, even after a disconnect."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from tests.system.backends import embedded_only
from tests.system.flow_documents import failing_flow, transform_flow, waiting_flow
from tests.system.runs import MANY_SECONDS, Runs, problem_of
from tests.timing import eventually

kinds = pytest.mark.parametrize("kind", ["api", "server"])

REPLAYED = "idempotent-replayed"


def key_header() -> dict[str, str]:
    """Return a header with an unused key."""
    return {"Idempotency-Key": f'"{uuid4()}"'}


@kinds
def test_a_finished_call_is_replayed(runs: Runs, kind: str) -> None:
    deployment = runs.deploy(transform_flow(), "sync", kind)
    headers = key_header()
    first = runs.call(deployment, {"x": 1}, headers)
    again = runs.call(deployment, {"x": 1}, headers)
    assert first.status_code == again.status_code == 200
    assert REPLAYED not in first.headers
    assert again.headers[REPLAYED] == "true"
    assert again.json() == first.json()
    assert len(runs.list_all(deployment=deployment)) == 1


@kinds
def test_a_failure_of_the_flow_is_replayed_as_well(runs: Runs, kind: str) -> None:
    deployment = runs.deploy(failing_flow(), "sync", kind)
    headers = key_header()
    answers = [runs.call(deployment, {"x": 0}, headers) for _ in range(2)]
    first, again = (problem_of(answer, 500, "flow_failed") for answer in answers)
    assert again["flow_run_id"] == first["flow_run_id"]
    assert [answer.headers.get(REPLAYED) for answer in answers] == [None, "true"]
    assert again["instance"] == f"/node/flow-runs/{first['flow_run_id']}/"


@embedded_only
@kinds
def test_a_key_is_the_same_with_and_without_its_quotes(runs: Runs, kind: str) -> None:
    deployment = runs.deploy(transform_flow(), "sync", kind)
    bare = str(uuid4())
    quoted = runs.call(deployment, {"x": 1}, {"Idempotency-Key": f'"{bare}"'}).json()
    unquoted = runs.call(deployment, {"x": 1}, {"Idempotency-Key": bare}).json()
    assert quoted["flow_run_id"] == unquoted["flow_run_id"]


@kinds
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_key_with_another_body_is_refused(runs: Runs, kind: str, mode: str) -> None:
    deployment = runs.deploy(transform_flow(), mode, kind)
    headers = key_header()
    assert runs.call(deployment, {"x": 1}, headers).is_success
    problem_of(runs.call(deployment, {"x": 2}, headers), 422, "idempotency_key_reused")


def test_a_key_belongs_to_its_deployment(runs: Runs) -> None:
    headers = key_header()
    one, other = (runs.deploy(transform_flow(), "sync", "server") for _ in range(2))
    first = runs.call(one, {"x": 1}, headers).json()
    second = runs.call(other, {"x": 1}, headers)
    assert second.status_code == 200
    assert second.json()["flow_run_id"] != first["flow_run_id"]


@embedded_only
@pytest.mark.parametrize("key", ["", "x" * 256, "two words", "ümlaut"])
def test_a_malformed_key_is_400(runs: Runs, key: str) -> None:
    deployment = runs.deploy(transform_flow(), "sync", "server")
    raw = [(b"Idempotency-Key", key.encode()), (b"Content-Type", b"application/json")]
    answer = runs.installation.trigger(deployment, content=b'{"input_data":{"x":1}}', headers=raw)
    assert answer.status_code == 400, answer.text


@kinds
def test_callers_with_the_same_key_share_an_unfinished_run(runs: Runs, kind: str) -> None:
    deployment = runs.deploy(waiting_flow(1), "sync", kind)
    headers = key_header()
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(runs.call, deployment, {"x": 1}, headers) for _ in range(4)]
        answers = [call.result() for call in calls]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert len({answer.json()["flow_run_id"] for answer in answers}) == 1
    assert len(runs.list_all(deployment=deployment)) == 1


@kinds
def test_a_repeated_async_call_returns_its_unfinished_run(runs: Runs, kind: str) -> None:
    deployment = runs.deploy(waiting_flow(MANY_SECONDS), "async", kind)
    headers = key_header()
    first, again = (runs.accept(deployment, {"x": 1}, headers) for _ in range(2))
    assert first == again
    strict = {**headers, "Prefer": "handling=strict"}
    assert runs.call(deployment, {"x": 1}, strict).status_code == 409
    assert runs.cancel(first).status_code == 202


@kinds
def test_a_disconnected_caller_finds_its_run_by_the_key(runs: Runs, kind: str) -> None:
    deployment = runs.deploy(waiting_flow(1), "sync", kind)
    headers = key_header()
    runs.call_and_disconnect(deployment, headers)
    key = headers["Idempotency-Key"].strip('"')
    (listed,) = eventually(lambda: runs.list_all(idempotency_key=key), bool)
    answer = runs.call(deployment, {"x": 1}, headers)
    assert answer.status_code == 200, answer.text
    assert answer.json()["flow_run_id"] == listed["flow_run_id"]
    assert answer.json()["output_data"] == {"x": 1}
