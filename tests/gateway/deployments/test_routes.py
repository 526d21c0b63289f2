"""The REST API of deployments."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest

from gateway.errors import GatewayError
from tests.gateway.in_process_gateway import DEPLOYMENTS, HERE, InProcessGateway, deploy, flow_json


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_deployment_with_the_defaults_is_the_documented_one(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await deploy(user, flow_json())
    assert made["http"] == 201
    expected = {
        "name": "Iris classifier Deployment",
        "version": 1,
        "execution_mode": "sync",
        "deployment_type": "api",
        "timeout_seconds": 3600,
        "notification_method": "none",
        "callback_url": None,
        "webhook_events": ["run.completed", "run.failed"],
        "response_format": "auto",
        "queue_timeout_seconds": None,
        "cold_start_wait_seconds": 20,
        "on_timeout": "stop",
        "include_node_outputs": True,
        "retry_safe": False,
        "require_idempotency_key": False,
        "record_runs": "sample",
        "record_sample": 1.0,
        "cancel_on_disconnect": False,
        "newest_version": 1,
        "draft_differs": False,
        "status": "active",
        "trigger_path": f"/node/deployment-trigger/{made['id']}/",
        "models": [{"node": "model", "model": "mlp", "version": 2}],
    }
    assert {name: made[name] for name in expected} == expected
    shown = (await user.get(f"{DEPLOYMENTS}{made['id']}/")).json()
    assert shown == {name: made[name] for name in shown}
    assert "api_key" not in shown


async def test_a_key_is_created_only_if_none_covers_the_deployment(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    first = await deploy(user, flow_json())
    key = first["api_key"]
    assert (key["scope"], key["deployments"]) == ("trigger", None)
    identity = await in_process_gateway.authenticator.authenticate(key["key"], HERE)
    assert identity.may_trigger(first["id"])
    assert (await deploy(user, flow_json()))["api_key"] is None
    await user.post(f"/node/api-keys/{key['id']}/deactivate/")
    assert (await deploy(user, flow_json()))["api_key"] is not None


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_deployments_key_covers_only_it_and_is_deactivated_with_it(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    first = await deploy(user, flow_json())
    body = {"name": "partner", "deployments": [first["id"]]}
    partner = (await user.post("/node/api-keys/", json=body)).json()
    identity = await in_process_gateway.authenticator.authenticate(partner["key"], HERE)
    assert [identity.may_trigger(i) for i in (first["id"], str(uuid4()))] == [True, False]
    assert (await user.delete(f"{DEPLOYMENTS}{first['id']}/")).status_code == 204
    shown = (await user.get(f"/node/api-keys/{partner['id']}/")).json()
    assert shown["state"] == "deactivated"


async def test_a_fast_deployment_pins_its_model_version(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await deploy(user, flow_json(version="stable"), execution_mode="fast")
    assert made["models"] == [{"node": "model", "model": "mlp", "version": 1}]
    await user.put("/node/models/mlp/labels/stable/", json={"version": 2})
    live = await in_process_gateway.deployment_cache.find(
        made["id"], user.headers["x-test-profile"]
    )
    assert live.fast_plan is not None
    assert (live.fast_plan.model, live.fast_plan.version) == ("mlp", 1)
    assert [(i.name, i.path, i.spec.shape) for i in live.fast_plan.inputs] == [
        ("x", ("x",), (-1, 4))
    ]
    again = (await user.post(f"{DEPLOYMENTS}{made['id']}/redeploy/")).json()
    assert (again["version"], again["models"][0]["version"]) == (2, 2)


async def test_an_edited_flow_takes_effect_on_redeploy(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await deploy(user, flow_json(inputs={"x": "input.x"}), execution_mode="fast")
    edited = flow_json(inputs={"x": "input.flower"})
    await user.put(f"/node/flows/{made['flow_id']}/", json=edited)
    assert await _paths(in_process_gateway, user, made["id"]) == [("x",)]
    await user.post(f"{DEPLOYMENTS}{made['id']}/redeploy/")
    await in_process_gateway.feed.poll()
    assert await _paths(in_process_gateway, user, made["id"]) == [("flower",)]


async def _paths(
    in_process_gateway: InProcessGateway, user: httpx.AsyncClient, deployment_id: str
) -> list[Any]:
    live = await in_process_gateway.deployment_cache.find(
        deployment_id, user.headers["x-test-profile"]
    )
    assert live.fast_plan is not None
    return [wanted.path for wanted in live.fast_plan.inputs]


UNFIT: list[tuple[dict[str, Any], str, str]] = [
    (flow_json("nothing"), "fast", "there is no model 'nothing'"),
    (flow_json("nothing"), "sync", "there is no model 'nothing'"),
    (flow_json(version="9"), "fast", "no version or label '9'"),
    (flow_json(inputs={"x": "input.a + 1"}), "fast", "more than a path"),
    (flow_json() | {"edges": []}, "fast", "'model' is not reachable from 'input'"),
    (flow_json() | {"edges": []}, "async", "'model' is not reachable from 'input'"),
]


async def test_a_flow_that_cannot_run_is_refused(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    for flow, mode, reason in UNFIT:
        made = await deploy(user, flow, execution_mode=mode)
        assert (made["http"], made["code"]) == (422, "invalid_flow"), reason
        assert reason in made["message"]
    assert (await user.get(DEPLOYMENTS)).json()["items"] == []
    assert len((await user.get("/node/api-keys/")).json()["items"]) == 1, "no key was made either"


async def test_a_flow_for_the_engine_can_be_deployed_but_not_made_fast(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await deploy(user, flow_json(inputs={"x": "input.a + 1"}))
    url = f"{DEPLOYMENTS}{made['id']}/"
    refused = await user.patch(url, json={"execution_mode": "fast", "name": "No"})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_flow")
    shown = (await user.get(url)).json()
    assert (shown["execution_mode"], shown["name"]) == ("sync", made["name"])


@pytest.mark.databases("sqlite", "postgresql")
async def test_settings_change_without_a_new_version(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    made = await deploy(user, flow_json())
    url = f"{DEPLOYMENTS}{made['id']}/"
    change = {
        "name": "Shop window",
        "execution_mode": "fast",
        "deployment_type": "server",
        "timeout_seconds": 5,
        "response_format": "envelope",
        "queue_timeout_seconds": 60,
        "cold_start_wait_seconds": 0,
        "on_timeout": "detach",
        "include_node_outputs": False,
        "retry_safe": True,
        "require_idempotency_key": True,
        "record_runs": "sample",
        "record_sample": 0.5,
        "cancel_on_disconnect": True,
    }
    changed = (await user.patch(url, json=change)).json()
    assert {name: changed[name] for name in change} == change
    assert changed["version"] == 1
    shown = (await user.get(url)).json()
    assert {**shown, "webhook_secret": None} == changed
    live = await in_process_gateway.deployment_cache.find(
        made["id"], user.headers["x-test-profile"]
    )
    words = {"execution_mode": "mode", "deployment_type": "type"}
    assert {name: getattr(live, words.get(name, name)) for name in change} == change


BAD_SETTINGS: list[dict[str, Any]] = [
    {"execution_mode": "slow"},
    {"timeout_seconds": 0},
    {"timeout_seconds": 86_401},
    {"notification_method": "webhook"},
    {"notification_method": "webhook", "callback_url": "ftp://example.com"},
    {"callback_url": "nonsense"},
    {"callback_url": "https://example.com/"},  # no event would be sent to it
    {"callback_url": "https://example.com/", "notification_method": "none"},
    {"webhook_events": ["run.exploded"]},
    {"response_format": "xml"},
    {"queue_timeout_seconds": 0},
    {"cold_start_wait_seconds": -1},
    {"cold_start_wait_seconds": None},
    {"on_timeout": "explode"},
    {"include_node_outputs": None},
    {"retry_safe": "perhaps"},
    {"record_runs": "some"},
    {"record_sample": 1.5},
    {"name": ""},
    {"name": None, "unknown": 1},
]


async def test_invalid_settings_are_refused(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    good = await deploy(user, flow_json())
    for settings in BAD_SETTINGS:
        made = await deploy(user, flow_json(), **settings)
        assert (made["http"], made["code"]) == (422, "validation_failed"), settings
        patched = await user.patch(f"{DEPLOYMENTS}{good['id']}/", json=settings)
        assert (patched.status_code, patched.json()["code"]) == (422, "validation_failed")


async def test_a_callback_url_is_stored_unchanged(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    url = "https://example.com"  # pydantic would append a slash
    made = await deploy(user, flow_json(), notification_method="webhook", callback_url=url)
    assert (made["notification_method"], made["callback_url"]) == ("webhook", url)


async def test_null_is_refused_for_required_settings(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    webhook = {"notification_method": "webhook", "callback_url": "https://example.com/"}
    made = await deploy(user, flow_json(), **webhook)
    url = f"{DEPLOYMENTS}{made['id']}/"
    off = {"notification_method": "none", "callback_url": None}
    assert (await user.patch(url, json=off)).json()["callback_url"] is None
    assert (await user.patch(url, json={"name": None})).status_code == 422


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_deleted_deployment_is_410_for_its_owner_only(
    in_process_gateway: InProcessGateway,
) -> None:
    ada, bob = await in_process_gateway.user(), await in_process_gateway.user("bob@example.com")
    made = await deploy(ada, flow_json())
    url = f"{DEPLOYMENTS}{made['id']}/"
    assert (await ada.delete(url)).status_code == 204
    for ask in (ada.get, ada.delete):
        answer = await ask(url)
        assert (answer.status_code, answer.json()["code"]) == (410, "gone")
    assert (await bob.get(url)).status_code == 404
    assert (await ada.get(DEPLOYMENTS)).json()["items"] == []
    await in_process_gateway.feed.poll()
    with pytest.raises(GatewayError, match="was deleted"):
        await in_process_gateway.deployment_cache.find(made["id"], ada.headers["x-test-profile"])
    with pytest.raises(GatewayError, match="unknown deployment"):
        await in_process_gateway.deployment_cache.find(made["id"], bob.headers["x-test-profile"])


async def test_a_flow_with_deployments_cannot_be_deleted_until_they_are(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await deploy(user, flow_json())
    flow = f"/node/flows/{made['flow_id']}/"
    refused = await user.delete(flow)
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    await user.delete(f"{DEPLOYMENTS}{made['id']}/")
    assert (await user.delete(flow)).status_code == 204
    assert (await user.get(f"{DEPLOYMENTS}{made['id']}/")).status_code == 410


@pytest.mark.databases("sqlite", "postgresql")
async def test_deployments_are_listed_by_flow(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    one, two = await deploy(user, flow_json()), await deploy(user, flow_json())
    ids = [item["id"] for item in (await user.get(DEPLOYMENTS)).json()["items"]]
    assert ids == [two["id"], one["id"]]
    found = await user.get(DEPLOYMENTS, params={"flow_id": one["flow_id"]})
    assert [item["id"] for item in found.json()["items"]] == [one["id"]]
    nothing = await user.get(DEPLOYMENTS, params={"flow_id": "a\x00b"})
    assert nothing.json()["items"] == []


@pytest.mark.databases("sqlite", "postgresql")
async def test_deployments_are_listed_by_name_mode_and_status(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    first = await deploy(user, flow_json(), name="Prices of 10%")
    second = await deploy(user, flow_json(), name="Colours", execution_mode="async")
    (await user.post(f"{DEPLOYMENTS}{second['id']}/pause/")).raise_for_status()

    async def listed(**query: str) -> list[str]:
        answer = await user.get(DEPLOYMENTS, params=query)
        return [item["id"] for item in answer.raise_for_status().json()["items"]]

    assert await listed(q="pRICES") == [first["id"]]
    assert await listed(q="0%") == [first["id"]]
    assert await listed(q="o%r") == []
    assert await listed(mode="async") == await listed(status="paused") == [second["id"]]
    assert await listed(mode="sync", status="active", q="of") == [first["id"]]
    assert await listed(mode="sync", status="paused") == []
    for query in ({"status": "deleted"}, {"mode": "slow"}, {"q": "a\x00b"}, {"q": "x" * 201}):
        refused = await user.get(DEPLOYMENTS, params=query)
        assert (refused.status_code, refused.json()["code"]) == (422, "validation_failed"), query


@pytest.mark.databases("sqlite", "postgresql")
async def test_concurrent_redeploys_create_one_version_each(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await deploy(user, flow_json())
    url = f"{DEPLOYMENTS}{made['id']}/"
    answers = await asyncio.gather(*(user.post(f"{url}redeploy/") for _ in range(4)))
    # A redeploy overtaken by a later one is refused and changes nothing.
    said = {(answer.status_code, answer.json().get("code")) for answer in answers}
    assert {(200, None)} <= said <= {(200, None), (409, "conflict")}
    versions = sorted(answer.json()["version"] for answer in answers if answer.is_success)
    assert versions == list(range(2, 2 + len(versions)))
    assert (await user.get(url)).json()["version"] == versions[-1]
