"""Versions: redeploy, list, describe, promote."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from gateway.errors import GatewayError
from gateway.storage.tables import DeploymentVersion
from tests import onnx_models
from tests.gateway.deployments.redeploys import (
    deploy_two_versions,
    edit_draft,
    profile_of,
    redeploy,
)
from tests.gateway.in_process_gateway import DEPLOYMENTS, InProcessGateway, deploy, flow_json

SERVERS = "/node/inference-servers/"


async def served(user: httpx.AsyncClient) -> set[tuple[str, int, str]]:
    """Return model, version and wanted state of every inference server."""
    servers = (await user.get(SERVERS)).json()["items"]
    return {(server["model"], server["version"], server["desired"]) for server in servers}


@pytest.mark.databases("sqlite", "postgresql")
async def test_versions_are_listed_with_description_and_creator(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await deploy_two_versions(user)
    newest, oldest = (await user.get(f"{DEPLOYMENTS}{made['id']}/versions/")).json()["items"]
    assert (newest["version"], newest["live"], newest["name"]) == (2, True, "Flowers")
    assert newest["description"] == "Callers send `flower` now."
    assert (oldest["version"], oldest["live"], oldest["name"]) == (1, False, None)
    keys = (await user.get("/node/api-keys/")).json()["items"]
    (manager,) = [key["id"] for key in keys if key["scope"] == "manage"]
    for version in (newest, oldest):
        assert version["models"] == [{"node": "model", "model": "mlp", "version": 2}]
        assert (version["created_by"], version["created_by_key"]) == (profile_of(user), manager)
        assert "nodes" not in version


@pytest.mark.databases("sqlite", "postgresql")
async def test_versions_are_listed_in_pages(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    made = await deploy(user, flow_json())
    for _ in range(4):
        await redeploy(user, made)
    url = f"{DEPLOYMENTS}{made['id']}/versions/"
    pages: list[list[int]] = []
    cursor = None
    while True:
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await user.get(url, params=params)).json()
        pages.append([version["version"] for version in page["items"]])
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert pages == [[5, 4], [3, 2], [1]]
    for strange in ("nonsense", "-1", "9" * 30, "²"):
        answer = await user.get(url, params={"cursor": strange})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request"), strange


async def test_a_version_keeps_its_graph_when_the_draft_changes(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    schema = {"type": "object", "properties": {"x": {"type": "array"}}}
    flow = flow_json()
    flow["nodes"][0]["config"]["schema"] = schema
    made = await deploy(user, flow)
    await edit_draft(user, made, flow_json(inputs={"x": "input.flower"}))
    shown = (await user.get(f"{DEPLOYMENTS}{made['id']}/versions/1/")).json()
    assert (shown["nodes"], shown["edges"]) == (flow["nodes"], flow["edges"])
    assert (shown["input_schema"], shown["input_schema_source"]) == (schema, "flow")
    await redeploy(user, made)
    second = (await user.get(f"{DEPLOYMENTS}{made['id']}/versions/2/")).json()
    assert second["input_schema_source"] == "models"
    assert list(second["input_schema"]["properties"]) == ["flower"]


@pytest.mark.databases("sqlite", "postgresql")
async def test_only_the_name_and_the_description_of_a_version_change(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await deploy_two_versions(user)
    url = f"{DEPLOYMENTS}{made['id']}/versions/2/"
    before = (await user.get(url)).json()
    named = (await user.patch(url, json={"name": "Petals"})).json()
    assert named == {**before, "name": "Petals"}
    cleared = (await user.patch(url, json={"name": None, "description": "Two\nlines"})).json()
    assert cleared == {**before, "name": None, "description": "Two\nlines"}
    for body in ({"definition": {}}, {"version": 7}, {"name": ""}, {"description": "a\x00b"}):
        refused = await user.patch(url, json=body)
        assert (refused.status_code, refused.json()["code"]) == (422, "validation_failed"), body
    assert (await user.get(url)).json() == cleared


@pytest.mark.databases("sqlite", "postgresql")
async def test_an_older_version_is_promoted_and_no_number_is_used_twice(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await deploy_two_versions(user)
    url = f"{DEPLOYMENTS}{made['id']}/"
    promoted = (await user.post(f"{url}versions/1/promote/")).json()
    assert (promoted["version"], promoted["newest_version"]) == (1, 2)
    listed = (await user.get(f"{url}versions/")).json()["items"]
    assert [(version["version"], version["live"]) for version in listed] == [(2, False), (1, True)]
    assert (await user.post(f"{url}versions/1/promote/")).json()["version"] == 1
    again = (await redeploy(user, made)).json()
    assert (again["version"], again["newest_version"]) == (3, 3)


async def test_settings_outlast_a_redeploy_and_a_promotion(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    settings = {"execution_mode": "fast", "timeout_seconds": 5, "record_runs": "errors"}
    made = await deploy_two_versions(user, **settings)
    assert {name: made[name] for name in settings} == settings
    url = f"{DEPLOYMENTS}{made['id']}/"
    await user.patch(url, json={"timeout_seconds": 9, "name": "Shop window"})
    promoted = (await user.post(f"{url}versions/1/promote/")).json()
    assert (promoted["timeout_seconds"], promoted["name"]) == (9, "Shop window")
    assert promoted["trigger_path"] == made["trigger_path"]


async def test_an_unknown_version_is_404_with_the_existing_numbers(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await deploy_two_versions(user)
    url = f"{DEPLOYMENTS}{made['id']}/versions/"
    for ask, path in ((user.get, "3/"), (user.post, "3/promote/"), (user.get, "999999999/")):
        answer = await ask(url + path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
        assert "expected 1 to 2" in answer.json()["message"]
    for path in ("0/", "-1/", "one/", "9999999999/"):
        assert (await user.get(url + path)).status_code == 422, path


async def test_a_version_that_needs_the_engine_is_not_promoted_to_fast(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await deploy(user, flow_json(inputs={"x": "input.a + 1"}))
    await edit_draft(user, made, flow_json())
    await redeploy(user, made)
    url = f"{DEPLOYMENTS}{made['id']}/"
    assert (await user.patch(url, json={"execution_mode": "fast"})).status_code == 200
    refused = await user.post(f"{url}versions/1/promote/")
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_flow")
    assert "more than a path" in refused.json()["message"]
    await edit_draft(user, made, flow_json(inputs={"x": "input.a + 1"}))
    assert (await redeploy(user, made)).status_code == 422
    shown = (await user.get(url)).json()
    assert (shown["version"], shown["newest_version"]) == (2, 2)


async def test_a_version_with_a_removed_model_is_not_promoted(
    in_process_gateway: InProcessGateway, tmp_path: Any
) -> None:
    user = await in_process_gateway.user()
    made = await deploy(user, flow_json(version="2"))
    await edit_draft(user, made, flow_json(version="1"))
    await redeploy(user, made)
    assert (await user.delete("/node/models/mlp/versions/2/")).status_code == 204
    url = f"{DEPLOYMENTS}{made['id']}/versions/1/promote/"
    refused = await user.post(url)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_flow")
    assert "no longer in the model store" in refused.json()["message"]
    other = onnx_models.identity(tmp_path / "other.onnx")
    await in_process_gateway.services.models.publish(None, other, "mlp", 2)
    refused = await user.post(url)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_flow")
    assert "another file" in refused.json()["message"]


async def test_the_inference_server_of_the_new_version_is_started(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await deploy(user, flow_json(version="1"), execution_mode="fast")
    assert await served(user) == {("mlp", 1, "running")}
    (first,) = (await user.get(SERVERS)).json()["items"]
    await edit_draft(user, made, flow_json(version="2"))
    await redeploy(user, made)
    assert await served(user) == {("mlp", 1, "running"), ("mlp", 2, "running")}
    await user.post(f"{SERVERS}{first['id']}/stop/")
    assert await served(user) == {("mlp", 1, "stopped"), ("mlp", 2, "running")}
    await user.post(f"{DEPLOYMENTS}{made['id']}/versions/1/promote/")
    assert await served(user) == {("mlp", 1, "running"), ("mlp", 2, "running")}


async def test_a_flow_for_the_engine_starts_no_inference_server(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await deploy(user, flow_json())
    await redeploy(user, made)
    assert await served(user) == set()


async def test_a_deleted_deployment_is_410_on_every_route(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await deploy_two_versions(user)
    url = f"{DEPLOYMENTS}{made['id']}/"
    await user.delete(url)
    for method, path in (
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "pause/"),
        ("POST", "resume/"),
        ("POST", "redeploy/"),
        ("GET", "diff/"),
        ("GET", "versions/"),
        ("GET", "versions/1/"),
        ("PATCH", "versions/1/"),
        ("POST", "versions/1/promote/"),
    ):
        answer = await user.request(method, url + path, json={} if method == "PATCH" else None)
        assert (answer.status_code, answer.json()["code"]) == (410, "gone"), (method, path)
    with pytest.raises(GatewayError, match="was deleted"):
        await in_process_gateway.deployment_cache.find(made["id"], profile_of(user), 1)


@pytest.mark.databases("sqlite", "postgresql")
async def test_concurrent_redeploys_and_promotions_keep_versions_consistent(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await deploy_two_versions(user)
    url = f"{DEPLOYMENTS}{made['id']}/"
    work = [redeploy(user, made) for _ in range(3)]
    work += [user.post(f"{url}versions/{number}/promote/") for number in (1, 2)]
    answers = await asyncio.gather(*work)
    # A redeploy overtaken by a later one is refused and changes nothing.
    said = {(answer.status_code, answer.json().get("code")) for answer in answers}
    assert {(200, None)} <= said <= {(200, None), (409, "conflict")}
    newest = 2 + len([answer for answer in answers[:3] if answer.is_success])
    listed = (await user.get(f"{url}versions/")).json()["items"]
    assert [version["version"] for version in listed] == list(range(newest, 0, -1))
    assert len([version for version in listed if version["live"]]) == 1


async def test_a_version_that_no_longer_compiles_is_not_promoted(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await deploy_two_versions(user)
    async with in_process_gateway.db.write() as session:
        row = await session.get_one(DeploymentVersion, (made["id"], 1))
        gone = {"id": "gone", "type": "uninstalled", "config": {}}
        row.definition = {**row.definition, "nodes": [*row.definition["nodes"], gone]}
    refused = await user.post(f"{DEPLOYMENTS}{made['id']}/versions/1/promote/")
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_flow")
    assert "uninstalled" in refused.json()["message"]
    assert (await user.get(f"{DEPLOYMENTS}{made['id']}/")).json()["version"] == 2
