"""Whose models are: names, versions, changes, and what becomes of others' deployments."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import delete

from gateway.auth.identity import Role
from gateway.storage.tables import Model
from tests.gateway.in_process_gateway import flow_json
from tests.gateway.private_model import (
    DEPLOYMENTS,
    FLOWS,
    MODELS,
    PRIVATE,
    SERVERS,
    PrivateModel,
    upload,
)


async def test_its_owner_and_administrators_use_and_manage_it(private_model: PrivateModel) -> None:
    admin = await private_model.gateway.user("admin@example.com", Role.ADMIN)
    for client in (
        private_model.owner.client,
        (await private_model.gateway.caller(admin, "manage key")).client,
    ):
        shown = (await client.get(f"{MODELS}{PRIVATE}/")).json()
        assert (shown["visibility"], shown["owner_id"]) == ("private", private_model.ada.id)
        assert (await client.get(f"{MODELS}{PRIVATE}/versions/latest/")).status_code == 200
        # it has no process here
        assert (await client.get(f"/v2/models/{PRIVATE}/ready")).status_code == 503
        assert (await client.post(f"/v2/models/{PRIVATE}/infer", content=b"{}")).status_code != 404
        label = f"{MODELS}{PRIVATE}/labels/stable/"
        assert (await client.put(label, json={"version": 1})).status_code == 200
        assert (await client.delete(label)).status_code == 204
        server = f"{SERVERS}{private_model.server_id}/"
        changed = await client.patch(server, json={"idle_timeout_seconds": 60})
        assert changed.json()["idle_timeout_seconds"] == 60
        assert (await client.post(f"{server}stop/")).json()["desired"] == "stopped"
        assert (await client.post(f"{server}start/")).json()["desired"] == "running"
        flow = (await client.post(FLOWS, json=flow_json(PRIVATE))).json()
        assert flow["warnings"] == []
        deployed = await client.post(DEPLOYMENTS, json={"flow_id": flow["id"]})
        assert deployed.status_code == 201, deployed.text


async def test_the_name_is_taken_and_nothing_says_by_whom(private_model: PrivateModel) -> None:
    member = await private_model.member()
    for params in ({}, {"version": "1"}, {"visibility": "shared"}):
        answer = await upload(member, private_model.file, **params)
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
        assert answer.json()["message"] == "name: 'vault' is taken: choose another name"
    form = await member.post(MODELS, data={"name": PRIVATE}, files={"file": private_model.file})
    assert form.status_code == 409
    assert (await upload(private_model.owner.client, private_model.file)).json()["version"] == 2


@pytest.mark.databases("sqlite", "postgresql")
async def test_two_uploads_of_a_new_name_at_once_have_one_owner(
    private_model: PrivateModel,
) -> None:
    member = await private_model.member()
    clients = (member, private_model.owner.client)
    answers = await asyncio.gather(
        *(upload(each, private_model.file, name="race") for each in clients)
    )
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    for client, answer in zip(clients, answers, strict=True):
        found = (await client.get(f"{MODELS}race/")).status_code
        assert found == (200 if answer.status_code == 201 else 404)


async def test_a_refused_upload_takes_no_name(private_model: PrivateModel) -> None:
    member = await private_model.member()
    refused = await upload(private_model.owner.client, b"no model", name="free")
    assert refused.status_code == 422
    assert (await upload(member, private_model.file, name="free")).status_code == 201


async def test_a_removed_model_leaves_its_name_and_nothing_else(
    private_model: PrivateModel,
) -> None:
    member = await private_model.member()
    version = f"{MODELS}{PRIVATE}/versions/1/"
    used = await private_model.owner.client.delete(version)
    assert used.status_code == 409
    assert private_model.server_id in used.json()["message"]
    await private_model.owner.client.post(f"{SERVERS}{private_model.server_id}/stop/")
    assert (await private_model.owner.client.delete(version)).status_code == 204
    assert (await upload(member, private_model.file)).status_code == 201
    assert (await member.get(SERVERS)).json()["items"] == []
    assert (await private_model.owner.client.get(f"{MODELS}{PRIVATE}/")).status_code == 404


async def test_a_shared_model_is_used_by_all_and_managed_by_its_owner(
    private_model: PrivateModel,
) -> None:
    member = await private_model.member()
    await private_model.set_visibility("shared")
    shown = (await member.get(f"{MODELS}{PRIVATE}/")).json()
    assert (shown["visibility"], shown["owner_id"]) == ("shared", None), "not whose it is"
    assert (await member.get("/v2/models")).json() == {"models": [PRIVATE]}
    server = f"{SERVERS}{private_model.server_id}/"
    assert (await member.post(f"{server}start/")).status_code == 200
    settings = {"model": PRIVATE, "idle_timeout_seconds": 9}
    flow = (await member.post(FLOWS, json=flow_json(PRIVATE))).json()
    deployment = (await member.post(DEPLOYMENTS, json={"flow_id": flow["id"]})).json()
    theirs = {"deployment_id": deployment["id"]}
    assert (await member.post(SERVERS, json=theirs)).status_code == 201
    changes = (
        await upload(member, private_model.file),
        await member.patch(f"{MODELS}{PRIVATE}/", json={"visibility": "private"}),
        await member.put(f"{MODELS}{PRIVATE}/labels/x/", json={"version": 1}),
        await member.delete(f"{MODELS}{PRIVATE}/labels/x/"),
        await member.delete(f"{MODELS}{PRIVATE}/versions/1/"),
        await member.post(f"{server}stop/"),
        await member.patch(server, json={"idle_timeout_seconds": 9}),
        await member.delete(server),
        await member.post(SERVERS, json=settings),
        await member.post(SERVERS, json={**theirs, "replicas": 2}),
    )
    for answer in changes:
        assert (answer.status_code, answer.json()["code"]) == (403, "role_forbidden"), answer.text
        assert "ada@" not in answer.text
        assert private_model.ada.id not in answer.text


@pytest.mark.parametrize(
    "has_row",
    [
        pytest.param(True, id="with a row"),
        pytest.param(False, id="from before ownership", marks=pytest.mark.long),
    ],
)
async def test_only_administrators_publish_versions_of_the_installations_models(
    private_model: PrivateModel, tmp_path: Path, *, has_row: bool
) -> None:
    gateway = private_model.gateway
    source = tmp_path / "common.onnx"
    source.write_bytes(private_model.file)
    await gateway.services.models.publish(None, source, "common")  # as the command line does
    if not has_row:
        async with gateway.db.write() as session:
            await session.execute(delete(Model).where(Model.name == "common"))
    member = await private_model.member()
    for params in ({}, {"version": "7"}, {"visibility": "shared"}):
        refused = await upload(member, private_model.file, name="common", **params)
        assert (refused.status_code, refused.json()["code"]) == (403, "role_forbidden")
        assert "model 'common' belongs to the installation" in refused.json()["message"]
    assert (await member.get(f"{MODELS}common/")).json()["versions"] == [1]
    for version, role in enumerate((Role.ADMIN, Role.OWNER), 2):
        user = await gateway.user(f"{role}@example.com", role)
        client = (await gateway.caller(user, "manage key")).client
        published = await upload(client, private_model.file, name="common")
        assert (published.status_code, published.json()["version"]) == (201, version)
    await gateway.services.models.publish(None, source, "common")
    assert (await member.get(f"{MODELS}common/")).json()["versions"] == [1, 2, 3, 4]


async def test_a_shared_model_of_another_user_is_refused_by_its_reason(
    private_model: PrivateModel,
) -> None:
    await private_model.set_visibility("shared")
    refused = await upload(await private_model.member(), private_model.file)
    assert (refused.status_code, refused.json()["code"]) == (403, "role_forbidden")
    assert "model 'vault' belongs to another user" in refused.json()["message"]


@pytest.mark.databases("sqlite", "postgresql")
async def test_deployments_of_others_keep_the_version_that_they_pinned(
    private_model: PrivateModel,
) -> None:
    member = await private_model.member()
    await private_model.set_visibility("shared")
    flow = (await member.post(FLOWS, json=flow_json(PRIVATE))).json()
    body = {"flow_id": flow["id"], "name": "theirs"}
    deployment = (await member.post(DEPLOYMENTS, json=body)).json()
    url = f"{DEPLOYMENTS}{deployment['id']}/"
    assert (await private_model.set_visibility("private"))["deployments_of_others"] == 1
    for path in ("redeploy/", "versions/1/promote/"):
        refused = await member.post(url + path)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_flow"), path
    again = await member.post(DEPLOYMENTS, json=body)
    assert (again.status_code, again.json()["code"]) == (422, "invalid_flow")
    server = await member.post(SERVERS, json={"deployment_id": deployment["id"]})
    assert (server.status_code, server.json()["code"]) == (404, "not_found")
    used = await private_model.owner.client.delete(f"{MODELS}{PRIVATE}/versions/1/")
    assert "1 deployment of other users" in used.json()["message"]
    assert "theirs" not in used.text


@pytest.mark.databases("sqlite", "postgresql")
async def test_only_administrators_give_a_model_to_another_user(
    private_model: PrivateModel,
) -> None:
    admin = await private_model.gateway.user("admin@example.com", Role.ADMIN)
    client = (await private_model.gateway.caller(admin, "manage key")).client
    url = f"{MODELS}{PRIVATE}/"
    refused = await private_model.owner.client.patch(url, json={"owner_id": None})
    assert (refused.status_code, refused.json()["code"]) == (403, "role_forbidden")
    for unknown in (str(uuid4()), "ada", "a\x00b"):
        refused = await client.patch(url, json={"owner_id": unknown})
        assert (refused.status_code, refused.json()["code"]) == (422, "validation_failed")
    assert (await client.patch(url, json={"owner_id": None})).json()["owner_id"] is None
    assert (await private_model.owner.client.get(url)).status_code == 404
    assert (await client.patch(url, json={"owner_id": private_model.ada.id})).status_code == 200
    assert (await private_model.owner.client.get(url)).status_code == 200


@pytest.mark.databases("sqlite", "postgresql")
async def test_models_of_a_deleted_user_belong_to_the_installation(
    private_model: PrivateModel,
) -> None:
    owner = await private_model.gateway.user("owner@example.com", Role.OWNER)
    client = (await private_model.gateway.caller(owner, "manage key")).client
    assert (await client.delete(f"/node/users/{private_model.ada.id}/")).status_code == 204
    shown = (await client.get(f"{MODELS}{PRIVATE}/")).json()
    assert (shown["visibility"], shown["owner_id"]) == ("private", None)
    assert (await (await private_model.member()).get(f"{MODELS}{PRIVATE}/")).status_code == 404
    events = await client.get("/node/audit/", params={"everyone": True, "action": "model.update"})
    assert [event["before"] for event in events.json()["items"]] == [
        {"owner_id": private_model.ada.id}
    ]
