"""The REST API of runs."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from gateway.deployments.settings import DeploymentType, ExecutionMode
from gateway.runs.run import RunResult, RunStatus
from gateway.storage.clock import now
from tests.gateway.in_process_gateway import flow_json
from tests.gateway.runs.builders import COMPLETED, failed, finished, keyed, run_id_of, until
from tests.gateway.runs.runs_api import RUNS, RunsApi


async def end(api: RunsApi, run_id: str, ending: RunResult = COMPLETED) -> None:
    """Claim and finish a run."""
    assert await api.store.claim(run_id, "w") is not None
    assert await api.store.finish(run_id, 1, ending) is not None


def code(answer: httpx.Response) -> tuple[int, str]:
    """Return status and code of an error."""
    return answer.status_code, answer.json()["code"]


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_run_is_shown_in_every_state(api: RunsApi) -> None:
    user = await api.user()
    run = await user.run(await user.deployment())
    waiting = await user.client.get(f"{RUNS}{run.id}/")
    assert (waiting.status_code, waiting.json()["status"]) == (200, "queued")
    assert waiting.headers["retry-after"] == "1"
    await end(api, run.id)
    done = await user.client.get(f"{RUNS}{run.id}")
    assert done.json()["output_data"] == {"label": 1}
    assert done.json()["data"]["node_outputs"]["model"] == {"name": "Model"}
    assert "retry-after" not in done.headers
    assert done.headers["content-type"] == "application/json"
    short = await user.client.get(f"{RUNS}{run.id}/?include_node_outputs=false")
    assert short.json()["node_outputs"] == {}


async def test_the_response_format_is_the_deployments_or_the_callers(api: RunsApi) -> None:
    user = await api.user()
    deployment = await user.deployment(response_format="envelope")
    run = await user.run(deployment)
    enveloped = (await user.client.get(f"{RUNS}{run.id}/")).json()
    assert (enveloped["status"], enveloped["data"]["status"]) == ("success", "queued")
    for asked in ("flat", "auto"):
        flat = (await user.client.get(f"{RUNS}{run.id}/?response_format={asked}")).json()
        assert flat["status"] == "queued"
    await user.client.delete(f"/node/deployments/{deployment}/")
    shown = await user.client.get(f"{RUNS}{run.id}/")
    assert shown.status_code == 200, "a deployment is gone, its runs are not"


async def test_a_fetch_gets_the_envelope_unless_the_deployment_says_otherwise(
    api: RunsApi,
) -> None:
    user = await api.user()
    fetch = {"sec-fetch-mode": "cors"}
    for settings, enveloped in (({}, True), ({"response_format": "flat"}, False)):
        run = await user.run(await user.deployment(**settings))
        shown = (await user.client.get(f"{RUNS}{run.id}/", headers=fetch)).json()
        assert (shown["status"] == "success") == enveloped
        for other in ({}, {"sec-fetch-mode": "navigate"}):
            plain = (await user.client.get(f"{RUNS}{run.id}/", headers=other)).json()
            assert plain["status"] == "queued"
        stopped = await user.client.post(f"{RUNS}{run.id}/cancel/", headers=fetch)
        assert (stopped.json()["status"] == "error") == enveloped
        reason = "envelope; by=caller" if enveloped else "flat; by=deployment"
        assert stopped.headers["response-format"] == reason


async def test_an_unchanged_run_is_answered_304(api: RunsApi) -> None:
    user = await api.user()
    run = await user.run(await user.deployment())
    path = f"{RUNS}{run.id}/"
    tag = (await user.client.get(path)).headers["etag"]
    for given in (tag, f'"x", W/{tag}', "*"):
        same = await user.client.get(path, headers={"if-none-match": given})
        assert (same.status_code, same.content) == (304, b"")
        assert (same.headers["etag"], same.headers["retry-after"]) == (tag, "1")
    await end(api, run.id)
    changed = await user.client.get(path, headers={"if-none-match": tag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag


@pytest.mark.parametrize(
    ("query", "headers", "applied"),
    [
        ("?wait=60", {}, None),
        ("", {"prefer": "wait=60"}, "wait=60"),
        ("", {"prefer": "wait=100000, nonsense=1"}, "wait=60"),
    ],
)
async def test_a_long_poll_is_answered_when_the_run_ends(
    api: RunsApi, query: str, headers: dict[str, str], applied: str | None
) -> None:
    user = await api.user()
    run = await user.run(await user.deployment())
    asking = user.client.get(f"{RUNS}{run.id}/{query}", headers=headers)
    polling = asyncio.create_task(asking)
    await until(lambda: bool(api.waiter._waits))
    await end(api, run.id)
    answer = await polling
    assert answer.json()["status"] == "completed"
    assert answer.headers.get("preference-applied") == applied
    assert "Prefer" in answer.headers["vary"]


async def test_a_long_poll_ends_at_its_timeout_or_on_drain(api: RunsApi) -> None:
    user = await api.user()
    run = await user.run(await user.deployment())
    path = f"{RUNS}{run.id}/"
    assert (await user.client.get(f"{path}?wait=0")).json()["status"] == "queued"
    assert (await user.client.get(f"{path}?wait=61")).status_code == 422
    polling = asyncio.create_task(user.client.get(f"{path}?wait=60"))
    await until(lambda: bool(api.waiter._waits))
    api.service.drain()
    answer = await polling
    assert (answer.status_code, answer.json()["status"]) == (200, "queued")
    again = await user.client.get(f"{path}?wait=60")
    assert again.json()["status"] == "queued"


async def listed(client: httpx.AsyncClient) -> list[str]:
    """Return the ids in a list of runs, newest first."""
    return [run["flow_run_id"] for run in (await client.get(RUNS)).json()["items"]]


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_trigger_key_sees_the_runs_that_it_started(api: RunsApi) -> None:
    ada = await api.user()
    deployment, keys = await ada.deployment(), api.services.keys
    one, two, all_runs = [
        await keys.create(ada.profile_id, name=name, all_runs=name == "all runs")
        for name in ("one", "two", "all runs")
    ]
    mine = await ada.run(deployment, key_id=one.row.id)
    other = await ada.run(deployment, key_id=two.row.id)
    keyless = await ada.run(deployment)
    client = api.client(one.plain)
    assert await listed(client) == [mine.id]
    assert (await client.get(f"{RUNS}{mine.id}/")).status_code == 200
    for run in (other, keyless):
        for method, path in (
            ("GET", ""),
            ("GET", "events/"),
            ("POST", "cancel/"),
            ("POST", "retry/"),
        ):
            answer = await client.request(method, f"{RUNS}{run.id}/{path}")
            assert code(answer) == (404, "not_found"), path
            assert answer.json()["message"] == f"unknown run '{run.id}'"
    for sees_all in (api.client(all_runs.plain), ada.client):
        assert await listed(sees_all) == [keyless.id, other.id, mine.id]
    assert (await client.post(f"{RUNS}{mine.id}/cancel/")).status_code == 202


async def test_a_key_sees_the_runs_of_the_keys_that_it_replaced(api: RunsApi) -> None:
    ada = await api.user()
    deployment, keys = await ada.deployment(), api.services.keys
    first = await keys.create(ada.profile_id, name="first")
    second = await keys.rotate(ada.profile_id, first.row.id, grace_seconds=0)
    third = await keys.rotate(ada.profile_id, first.row.id, grace_seconds=0, force=True)
    fourth = await keys.rotate(ada.profile_id, third.row.id, grace_seconds=0)
    started = [await ada.run(deployment, key_id=key.row.id) for key in (first, second, third)]
    seen = [run.id for run in reversed(started)]
    assert await listed(api.client(fourth.plain)) == seen
    await keys.delete(ada.profile_id, third.row.id)
    assert seen[0] in await listed(api.client(fourth.plain)), "the one that it replaced"


async def test_a_run_is_visible_only_to_keys_that_cover_its_deployment(api: RunsApi) -> None:
    ada, bob = await api.user(), await api.user("bob@example.com")
    deployment, other = await ada.deployment(), await ada.deployment()
    run = await ada.run(deployment)
    await end(api, run.id, failed())
    covering, elsewhere = await ada.key_for(deployment), await ada.key_for(other)
    routes = [
        ("GET", f"{RUNS}{run.id}/", 200),
        ("GET", f"{RUNS}{run.id}/events/", 200),
        ("POST", f"{RUNS}{run.id}/cancel/", 409),  # it has ended
        ("POST", f"{RUNS}{run.id}/retry/", 202),
    ]
    for method, path, status in routes:
        assert code(await bob.client.request(method, path)) == (404, "not_found")
        assert code(await elsewhere.request(method, path)) == (403, "api_key_forbidden")
        assert (await covering.request(method, path)).status_code == status
        anonymous = await api.client("").request(method, path)
        assert anonymous.status_code == 401
    assert (await bob.client.get(RUNS)).json() == {"items": [], "next_cursor": None}
    assert (await elsewhere.get(RUNS)).json()["items"] == []
    assert len((await covering.get(RUNS)).json()["items"]) == 2
    refused = await elsewhere.get(f"{RUNS}?deployment={deployment}")
    assert code(refused) == (403, "api_key_forbidden")


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_deleted_run_is_410_and_an_unknown_one_404(
    api: RunsApi,
) -> None:
    user = await api.user()
    old = run_id_of(now() - timedelta(days=31))
    gone = await user.client.get(f"{RUNS}{old}/")
    assert code(gone) == (410, "gone")
    assert "30 days" in gone.json()["message"]
    for run_id in (run_id_of(now()), str(uuid4()), "nonsense", f"f{old[1:]}"):
        assert code(await user.client.get(f"{RUNS}{run_id}/")) == (404, "not_found")


@pytest.mark.databases("sqlite", "postgresql")
async def test_runs_are_listed_in_pages_with_filters(api: RunsApi) -> None:
    user = await api.user()
    deployment, other = await user.deployment(), await user.deployment()
    runs = [await user.run(deployment, version=n + 1) for n in range(3)]
    another = await user.run(other, idempotency=keyed("abc"))
    await end(api, runs[0].id, failed(message="why", node_id="m"))
    first = (await user.client.get(f"{RUNS}?limit=3")).json()
    second = (await user.client.get(f"{RUNS}?limit=3&cursor={first['next_cursor']}")).json()
    ids = [item["flow_run_id"] for item in first["items"] + second["items"]]
    assert ids == [another.id, *(run.id for run in reversed(runs))]
    assert second["next_cursor"] is None

    async def found(query: str) -> list[str]:
        answer = await user.client.get(f"{RUNS}?{query}")
        assert answer.status_code == 200, answer.text
        return [item["flow_run_id"] for item in answer.json()["items"]]

    assert await found(f"deployment={other}") == [another.id]
    assert await found("status=failed") == [runs[0].id]
    assert await found(f"deployment={deployment}&version=2") == [runs[1].id]
    assert await found("idempotency_key=abc") == [another.id]
    assert await found(f"key={uuid4()}") == []
    assert await found("from=2020-01-01T00:00:00Z&to=2021-01-01T00:00:00%2B01:00") == []
    assert len(await found("from=2020-01-01T00:00:00Z")) == 4
    item = (await user.client.get(f"{RUNS}?status=failed")).json()["items"][0]
    assert item["error"] == {"code": "flow_failed", "message": "why", "node_id": "m"}
    assert "output_data" not in item
    for query in ("status=nonsense", "from=yesterday", "from=2020-01-01T00:00:00", "version=0"):
        assert (await user.client.get(f"{RUNS}?{query}")).status_code == 422, query
    assert code(await user.client.get(f"{RUNS}?cursor=x")) == (400, "invalid_request")


async def test_cancelling_twice_changes_nothing(api: RunsApi) -> None:
    user = await api.user()
    deployment = await user.deployment()
    waiting, going, done = [await user.run(deployment) for _ in range(3)]
    for _ in range(2):
        answer = await user.client.post(f"{RUNS}{waiting.id}/cancel/")
        assert (answer.status_code, answer.json()["status"]) == (202, "cancelled")
        assert answer.headers["location"] == f"{RUNS}{waiting.id}/"
    await api.store.claim(going.id, "w")
    for _ in range(2):
        answer = await user.client.post(f"{RUNS}{going.id}/cancel/")
        assert (answer.status_code, answer.json()["status"]) == (202, "cancelling")
    assert (await user.client.get(f"{RUNS}{going.id}/")).json()["status"] == "cancelling"
    await end(api, done.id)
    refused = await user.client.post(f"{RUNS}{done.id}/cancel/")
    assert code(refused) == (409, "run_finished")
    assert refused.json()["flow_run_id"] == done.id


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_retry_creates_a_new_run(api: RunsApi) -> None:
    user = await api.user()
    deployment = await user.deployment(deployment_type="server")
    first = await user.run(
        deployment,
        version=1,
        input_data=b'{"x":[[7,8,9,10]]}',
        retry_safe=True,
        queue_timeout_seconds=60.0,
        mode=ExecutionMode.SYNC,
    )
    await end(api, first.id, failed())
    await user.client.post(f"/node/deployments/{deployment}/redeploy/")
    for version, expected in (("", 1), ("?version=same", 1), ("?version=latest", 2)):
        answer = await user.client.post(f"{RUNS}{first.id}/retry/{version}")
        assert (answer.status_code, answer.json()["status"]) == (202, "queued")
        made = answer.json()["flow_run_id"]
        assert answer.headers["location"] == f"{RUNS}{made}/"
        again = await api.store.get(made)
        assert again is not None
        assert (again.version, again.retry_of, again.retry_safe) == (expected, first.id, True)
        assert (again.mode, again.type) == (ExecutionMode.ASYNC, DeploymentType.SERVER)
        assert again.queue_until is not None
        assert await api.store.input_of(made) == b'{"x":[[7,8,9,10]]}'
        assert api.launcher.launched[-1] == (made, DeploymentType.SERVER, ExecutionMode.ASYNC)
    assert (await user.client.post(f"{RUNS}{first.id}/retry/?version=3")).status_code == 422


async def test_a_retry_validates_the_input(api: RunsApi) -> None:
    user = await api.user()
    deployment = await user.deployment()
    bad = await user.run(deployment, input_data=b'{"x":[[7,8,9,10]]}')
    await end(api, bad.id, failed())
    flow_id = (await user.client.get(f"/node/deployments/{deployment}/")).json()["flow_id"]
    flow = flow_json()
    flow["nodes"][0]["config"] = {"schema": {"type": "object", "required": ["y"]}}
    await user.client.put(f"/node/flows/{flow_id}/", json=flow)
    await user.client.post(f"/node/deployments/{deployment}/redeploy/")
    refused = await user.client.post(f"{RUNS}{bad.id}/retry/?version=latest")
    assert code(refused) == (422, "invalid_input")
    assert "version 2 does not accept this run's input" in refused.json()["message"]
    assert "'y'" in refused.json()["errors"][0]["detail"]
    assert api.launcher.launched == []
    assert (await user.client.post(f"{RUNS}{bad.id}/retry/")).status_code == 202


async def test_a_retry_checks_the_tensors(api: RunsApi) -> None:
    user = await api.user()
    deployment = await user.deployment()
    bad = await user.run(deployment, input_data=b'{"x":[[7,8,9]]}')
    await end(api, bad.id, failed())
    refused = await user.client.post(f"{RUNS}{bad.id}/retry/")
    assert code(refused) == (422, "invalid_tensor")
    assert "version 1 does not accept this run's input" in refused.json()["message"]
    assert refused.json()["errors"][0]["pointer"] == "#/input_data/x"
    assert api.launcher.launched == []


async def test_only_a_failed_run_can_be_retried(api: RunsApi) -> None:
    user = await api.user()
    deployment = await user.deployment()
    waiting, done = await user.run(deployment), await user.run(deployment)
    await end(api, done.id)
    fast = finished(ending=failed(), profile_id=user.profile_id, deployment_id=deployment)
    await api.store.record_finished([fast])
    for run_id in (waiting.id, done.id, fast.new.id):
        refused = await user.client.post(f"{RUNS}{run_id}/retry/")
        assert code(refused) == (409, "conflict")
    bad = await user.run(deployment)
    await end(api, bad.id, failed())
    await user.client.delete(f"/node/deployments/{deployment}/")
    assert code(await user.client.post(f"{RUNS}{bad.id}/retry/")) == (410, "gone")
    assert api.launcher.launched == []


async def test_an_event_stream_resumes_after_the_last_event_id(api: RunsApi) -> None:
    user = await api.user()
    run = await user.run(await user.deployment())
    await api.store.claim(run.id, "w")
    await api.store.report(run.id, 1, {"input": b"{}"})
    await api.store.finish(run.id, 1, COMPLETED)
    path = f"{RUNS}{run.id}/events/"

    async def events(**headers: str) -> list[str]:
        answer = await user.client.get(path, headers=headers)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        return [line for line in answer.text.splitlines() if line.startswith("id: ")]

    assert await events() == ["id: 1", "id: 2", "id: end"]
    assert await events(**{"last-event-id": "1"}) == ["id: 2", "id: end"]
    over = await user.client.get(path, headers={"last-event-id": "end"})
    assert (over.status_code, over.content) == (204, b"")
    wrong = await user.client.get(path, headers={"last-event-id": "x"})
    assert code(wrong) == (400, "invalid_request")


@pytest.mark.parametrize("of_deployment", ["auto", "flat", "envelope"])
async def test_a_stream_ends_with_the_body_of_a_poll_in_the_callers_format(
    api: RunsApi, of_deployment: str
) -> None:
    user = await api.user()
    run = await user.run(await user.deployment(response_format=of_deployment))
    await api.store.claim(run.id, "w")
    await api.store.finish(run.id, 1, COMPLETED)
    formats = set()
    for query in ({}, {"response_format": "flat"}, {"response_format": "envelope"}):
        for headers in ({}, {"sec-fetch-mode": "cors"}):
            told = await user.client.get(f"{RUNS}{run.id}/events/", params=query, headers=headers)
            last = json.loads(told.text.strip().rpartition("data: ")[2])
            without = {"include_input_data": False, **query}
            polled = await user.client.get(f"{RUNS}{run.id}/", params=without, headers=headers)
            of_poll = polled.json()
            for body in (of_poll, of_poll["data"]):
                body.pop("deployment_name", None)
                body.pop("api_key_name", None)
            assert last == of_poll, (query, headers)
            assert told.headers["response-format"] == polled.headers["response-format"]
            formats.add(last["status"])
    assert formats == {"completed", "success"}


async def test_a_stream_lasts_until_the_run_ends(api: RunsApi) -> None:
    user = await api.user()
    run = await user.run(await user.deployment())
    streaming = asyncio.create_task(user.client.get(f"{RUNS}{run.id}/events/"))
    await until(lambda: bool(api.waiter._waits))
    await end(api, run.id, RunResult(status=RunStatus.COMPLETED, output_data=b"{}"))
    told: list[Any] = [
        line.removeprefix("event: ")
        for line in (await streaming).text.splitlines()
        if line.startswith("event: ")
    ]
    assert (told[0], told[-1]) == ("status", "completed")


async def test_names_and_input_are_for_those_who_manage(api: RunsApi) -> None:
    user = await api.user()
    deployment = await user.deployment()
    key = await user.key_for(deployment)
    listed = (await user.client.get("/node/api-keys/")).json()["items"]
    key_id = next(one["id"] for one in listed if one["name"] == "some")
    run = await user.run(deployment, key_id=key_id, request_id="from-the-client")
    path = f"{RUNS}{run.id}/"
    assert "input_data" not in (await user.client.get(path)).json()  # it is polled
    full = (await user.client.get(path, params={"include_input_data": True})).json()
    assert (full["deployment_name"], full["api_key_name"]) == ("Iris classifier Deployment", "some")
    assert full["request_id"] == "from-the-client"
    assert full["input_data"] == {"x": [[1, 2, 3, 4]]}
    assert "input_data" not in full["data"]
    await end(api, run.id)
    assert (await user.client.get(path)).json()["input_data"] == {"x": [[1, 2, 3, 4]]}
    left_out = (await user.client.get(path, params={"include_input_data": False})).json()
    assert "input_data" not in left_out
    for query, has_input in (({}, False), ({"include_input_data": True}, True)):
        shown = (await key.get(path, params=query)).json()
        assert "deployment_name" not in shown
        assert ("input_data" in shown) == has_input
    (row,) = (await user.client.get(RUNS)).json()["items"]
    assert (row["deployment_name"], row["api_key_name"]) == ("Iris classifier Deployment", "some")
    (row,) = (await key.get(RUNS)).json()["items"]
    assert (row["deployment_name"], row["api_key_name"]) == (None, None)


@pytest.mark.databases("sqlite", "postgresql")
async def test_lists_are_filtered_by_code_mode_and_duration(api: RunsApi) -> None:
    user = await api.user()
    deployment = await user.deployment()
    bad, good = await user.run(deployment), await user.run(deployment, mode=ExecutionMode.SYNC)
    await end(api, bad.id, failed("timeout"))
    await end(api, good.id)

    async def found(**query: object) -> list[str]:
        answer = await user.client.get(RUNS, params=query)
        return [run["flow_run_id"] for run in answer.json()["items"]]

    assert await found(code="timeout") == [bad.id]
    assert await found(code="worker_lost") == []
    assert await found(mode="sync") == [good.id]
    assert await found(flow=good.flow_id) == [good.id, bad.id]
    assert await found(flow=bad.id) == []
    assert await found(min_seconds=0.2) == [good.id]
    assert await found(test=False) == [good.id, bad.id]
    assert await found(test=True) == []
    for query in ({"mode": "slow"}, {"min_seconds": -1}, {"code": "x" * 65}):
        assert (await user.client.get(RUNS, params=query)).status_code == 422


async def test_a_retry_has_the_id_of_its_own_request(api: RunsApi) -> None:
    user = await api.user()
    run = await user.run(await user.deployment(), request_id="first")
    await end(api, run.id, failed())
    headers = {"x-request-id": "second"}
    again = await user.client.post(f"{RUNS}{run.id}/retry/", headers=headers)
    shown = (await user.client.get(f"{RUNS}{again.json()['flow_run_id']}/")).json()
    assert (shown["request_id"], shown["retry_of"]) == ("second", run.id)
