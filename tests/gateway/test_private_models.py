"""A private model does not exist for those who may not use it, whichever route they ask.

Every route of the OpenAPI document is asked twice: about a private model, its server and flows that
name it, and about a name that no model has. The answers must be the same.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from gateway.auth.identity import Role
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.storage.tables import Profile
from tests import onnx_models
from tests.gateway.in_process_gateway import flow_json
from tests.gateway.routes import Route, routes_of
from tests.gateway.served_gateway import CREDENTIALS, Caller, ServedGateway

MODELS, SERVERS, FLOWS = "/node/models/", "/node/inference-servers/", "/node/flows/"
DEPLOYMENTS = "/node/deployments/"
NAMING_MODELS = ("/v2", MODELS, SERVERS, FLOWS, DEPLOYMENTS)
RAW = {"content-type": "application/octet-stream"}
PRIVATE, UNKNOWN = "vault", "blank"
"""Names of the same length, so that answers of one length can be compared."""
VARYING = re.compile(
    r"req_[\w-]+|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)?"
)
"""Ids and times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A gateway with a private model of Ada's, a member, that has an inference server."""

    gateway: ServedGateway
    ada: Profile
    owner: Caller
    server_id: str
    file: bytes

    async def strangers(self, name: str = "eve") -> list[Caller]:
        """Return another member with each credential."""
        user = await self.gateway.user(f"{name}@example.com", Role.MEMBER)
        return [await self.gateway.caller(user, each) for each in CREDENTIALS]

    async def member(self) -> httpx.AsyncClient:
        """Return another member's client."""
        user = await self.gateway.user("bob@example.com", Role.MEMBER)
        return (await self.gateway.caller(user, "manage key")).client

    async def set_visibility(self, visibility: str) -> dict[str, Any]:
        """Change the model, and wait until this gateway knows; return the answer. Any: JSON."""
        answer = await self.owner.client.patch(
            f"{MODELS}{PRIVATE}/", json={"visibility": visibility}
        )
        assert answer.status_code == 200, answer.text
        await self.until_private(visibility == "private")
        changed: dict[str, Any] = answer.json()
        return changed

    async def until_private(self, private: bool) -> None:
        """Wait until this gateway knows whether the model is private."""
        deadline = time.monotonic() + 30
        while (PRIVATE in self.gateway.container.servers.private) != private:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)


@pytest.fixture
async def case(database: Database, settings: Settings, tmp_path: Path) -> AsyncIterator[Case]:
    """A served gateway that follows the change feed."""
    gateway = ServedGateway(settings)
    await gateway.open(follows=True)
    gateway.container.watcher.start()
    ada = await gateway.user("ada@example.com", Role.MEMBER)
    owner = await gateway.caller(ada, "manage key")
    file = onnx_models.identity(tmp_path / "identity.onnx").read_bytes()
    await upload(owner.client, file)
    server = (await owner.client.post(SERVERS, json={"model": PRIVATE})).json()
    made = Case(gateway=gateway, ada=ada, owner=owner, server_id=server["id"], file=file)
    await made.until_private(True)
    yield made
    await gateway.container.watcher.stop()
    await gateway.close()


async def upload(client: httpx.AsyncClient, file: bytes, **params: str) -> httpx.Response:
    """Publish a version."""
    named = {"name": PRIVATE, **params}
    return await client.post(MODELS, params=named, content=file, headers=RAW)


# Any: an id or a number
def names(model: str, server_id: str, route: Route) -> dict[str, Any]:
    """Return what a request says to ask about a model."""
    flow = flow_json(model)
    shared = {"name", "model", "server_id", "version", "number", "label", "problem"}
    return {
        **{name: str(uuid4()) for name in set(route.parameters) - shared},
        "name": model,
        "model": model,
        "server_id": server_id,
        "version": 1,
        "number": 1,
        "label": "stable",
        "problem": "not-found",
        "visibility": "shared",
        "nodes": flow["nodes"],
        "edges": flow["edges"],
    }


def comparable(answer: httpx.Response, model: str) -> tuple[object, ...]:
    """Return what an answer says, without what differs from call to call."""
    said = VARYING.sub("…", answer.text).replace(model, "MODEL")
    kept = {name: answer.headers.get(name) for name in ("content-type", "retry-after", "allow")}
    return answer.status_code, said, kept


async def test_every_route_answers_as_for_a_name_that_no_model_has(case: Case) -> None:
    before = (await case.owner.client.get(f"{MODELS}{PRIVATE}/")).json()
    asked = set()
    # two strangers, whose lists have what each of them has created here
    for stranger, other in zip(await case.strangers(), await case.strangers("uma"), strict=True):
        for route in routes_of(case.gateway.openapi()):
            if route.path.startswith("/node/session/"):
                continue  # the caller's own session, or wrong passwords
            private = await route.ask(stranger.client, names(PRIVATE, case.server_id, route))
            unknown = await route.ask(other.client, names(UNKNOWN, str(uuid4()), route))
            where = f"{stranger}: {route}"
            assert private.status_code == unknown.status_code, where
            if route.path.startswith(NAMING_MODELS):
                assert comparable(private, PRIVATE) == comparable(unknown, UNKNOWN), where
            assert case.ada.id not in private.text, where
            if "server_id" not in route.parameters:
                assert case.server_id not in private.text, where
            asked.add(str(route))
    assert {"POST /v2/models/{model}/infer", f"PATCH {MODELS}{{name}}/"} < asked
    assert (await case.owner.client.get(f"{MODELS}{PRIVATE}/")).json() == before
    kept = await case.owner.client.get(f"{SERVERS}{case.server_id}/")
    assert (kept.status_code, kept.json()["desired"]) == (200, "running")


LISTS = (MODELS, SERVERS, "/v2/models", "/v2/models/stats")


async def test_lists_are_without_it(case: Case) -> None:
    for stranger in await case.strangers():
        for path in LISTS:
            assert PRIVATE not in (await stranger.client.get(path)).text, f"{stranger}: {path}"
        index = await stranger.client.post("/v2/repository/index")
        assert PRIVATE not in index.text, stranger
    for credential in ("manage key", "trigger key"):
        client = (await case.gateway.caller(case.ada, credential)).client
        assert (await client.get("/v2/models")).json() == {"models": [PRIVATE]}
        (indexed,) = (await client.post("/v2/repository/index")).json()
        assert indexed["name"] == PRIVATE
    own = (await case.owner.client.get(MODELS)).json()["items"]
    assert [model["name"] for model in own] == ["joined", "mlp", "scaled", PRIVATE]


async def test_a_page_that_ends_before_it_has_no_further_page(case: Case) -> None:
    member = await case.member()
    page = (await member.get(MODELS, params={"limit": 3})).json()
    assert ([model["name"] for model in page["items"]], page["next_cursor"]) == (
        ["joined", "mlp", "scaled"],
        None,
    )


async def test_its_owner_and_administrators_use_and_manage_it(case: Case) -> None:
    admin = await case.gateway.user("admin@example.com", Role.ADMIN)
    for client in (case.owner.client, (await case.gateway.caller(admin, "manage key")).client):
        shown = (await client.get(f"{MODELS}{PRIVATE}/")).json()
        assert (shown["visibility"], shown["owner_id"]) == ("private", case.ada.id)
        assert (await client.get(f"{MODELS}{PRIVATE}/versions/latest/")).status_code == 200
        # it has no process here
        assert (await client.get(f"/v2/models/{PRIVATE}/ready")).status_code == 503
        assert (await client.post(f"/v2/models/{PRIVATE}/infer", content=b"{}")).status_code != 404
        label = f"{MODELS}{PRIVATE}/labels/stable/"
        assert (await client.put(label, json={"version": 1})).status_code == 200
        assert (await client.delete(label)).status_code == 204
        server = f"{SERVERS}{case.server_id}/"
        changed = await client.patch(server, json={"idle_timeout_seconds": 60})
        assert changed.json()["idle_timeout_seconds"] == 60
        assert (await client.post(f"{server}stop/")).json()["desired"] == "stopped"
        assert (await client.post(f"{server}start/")).json()["desired"] == "running"
        flow = (await client.post(FLOWS, json=flow_json(PRIVATE))).json()
        assert flow["warnings"] == []
        deployed = await client.post(DEPLOYMENTS, json={"flow_id": flow["id"]})
        assert deployed.status_code == 201, deployed.text


async def test_the_name_is_taken_and_nothing_says_by_whom(case: Case) -> None:
    member = await case.member()
    for params in ({}, {"version": "1"}, {"visibility": "shared"}):
        answer = await upload(member, case.file, **params)
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
        assert answer.json()["message"] == "name: 'vault' is taken: choose another name"
    form = await member.post(MODELS, data={"name": PRIVATE}, files={"file": case.file})
    assert form.status_code == 409
    assert (await upload(case.owner.client, case.file)).json()["version"] == 2


async def test_two_uploads_of_a_new_name_at_once_have_one_owner(case: Case) -> None:
    member = await case.member()
    clients = (member, case.owner.client)
    answers = await asyncio.gather(*(upload(each, case.file, name="race") for each in clients))
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    for client, answer in zip(clients, answers, strict=True):
        found = (await client.get(f"{MODELS}race/")).status_code
        assert found == (200 if answer.status_code == 201 else 404)


async def test_a_refused_upload_takes_no_name(case: Case) -> None:
    member = await case.member()
    refused = await upload(case.owner.client, b"no model", name="free")
    assert refused.status_code == 422
    assert (await upload(member, case.file, name="free")).status_code == 201


async def test_a_removed_model_leaves_its_name_and_nothing_else(case: Case) -> None:
    member = await case.member()
    version = f"{MODELS}{PRIVATE}/versions/1/"
    used = await case.owner.client.delete(version)
    assert used.status_code == 409
    assert case.server_id in used.json()["message"]
    await case.owner.client.post(f"{SERVERS}{case.server_id}/stop/")
    assert (await case.owner.client.delete(version)).status_code == 204
    assert (await upload(member, case.file)).status_code == 201
    assert (await member.get(SERVERS)).json()["items"] == []
    assert (await case.owner.client.get(f"{MODELS}{PRIVATE}/")).status_code == 404


async def test_a_shared_model_is_used_by_all_and_managed_by_its_owner(case: Case) -> None:
    member = await case.member()
    await case.set_visibility("shared")
    shown = (await member.get(f"{MODELS}{PRIVATE}/")).json()
    assert (shown["visibility"], shown["owner_id"]) == ("shared", None), "not whose it is"
    assert (await member.get("/v2/models")).json() == {"models": [PRIVATE]}
    server = f"{SERVERS}{case.server_id}/"
    assert (await member.post(f"{server}start/")).status_code == 200
    settings = {"model": PRIVATE, "idle_timeout_seconds": 9}
    changes = (
        await upload(member, case.file),
        await member.patch(f"{MODELS}{PRIVATE}/", json={"visibility": "private"}),
        await member.put(f"{MODELS}{PRIVATE}/labels/x/", json={"version": 1}),
        await member.delete(f"{MODELS}{PRIVATE}/labels/x/"),
        await member.delete(f"{MODELS}{PRIVATE}/versions/1/"),
        await member.post(f"{server}stop/"),
        await member.patch(server, json={"idle_timeout_seconds": 9}),
        await member.delete(server),
        await member.post(SERVERS, json=settings),
    )
    for answer in changes:
        assert (answer.status_code, answer.json()["code"]) == (403, "role_forbidden"), answer.text
        assert "ada" not in answer.text


async def test_deployments_of_others_keep_the_version_that_they_pinned(case: Case) -> None:
    member = await case.member()
    await case.set_visibility("shared")
    flow = (await member.post(FLOWS, json=flow_json(PRIVATE))).json()
    body = {"flow_id": flow["id"], "name": "theirs"}
    deployment = (await member.post(DEPLOYMENTS, json=body)).json()
    url = f"{DEPLOYMENTS}{deployment['id']}/"
    assert (await case.set_visibility("private"))["deployments_of_others"] == 1
    for path in ("redeploy/", "versions/1/promote/"):
        refused = await member.post(url + path)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_flow"), path
    again = await member.post(DEPLOYMENTS, json=body)
    assert (again.status_code, again.json()["code"]) == (422, "invalid_flow")
    used = await case.owner.client.delete(f"{MODELS}{PRIVATE}/versions/1/")
    assert "1 deployment of other users" in used.json()["message"]
    assert "theirs" not in used.text


async def test_a_deployment_of_a_private_model_is_refused_like_one_of_no_model(case: Case) -> None:
    member = await case.member()
    private, unknown = [
        [
            comparable(await member.post(path, json={"flow_id": flow["id"], **settings}), model)
            for path, settings in (
                (SERVERS, {}),
                (DEPLOYMENTS, {}),
                (DEPLOYMENTS, {"execution_mode": "fast"}),
            )
        ]
        for model in (PRIVATE, UNKNOWN)
        for flow in [(await member.post(FLOWS, json=flow_json(model))).json()]
    ]
    assert private == unknown
    assert [status for status, *_ in private] == [404, 422, 422]


async def test_only_administrators_give_a_model_to_somebody_else(case: Case) -> None:
    admin = await case.gateway.user("admin@example.com", Role.ADMIN)
    client = (await case.gateway.caller(admin, "manage key")).client
    url = f"{MODELS}{PRIVATE}/"
    refused = await case.owner.client.patch(url, json={"owner_id": None})
    assert (refused.status_code, refused.json()["code"]) == (403, "role_forbidden")
    nobody = await client.patch(url, json={"owner_id": str(uuid4())})
    assert (nobody.status_code, nobody.json()["code"]) == (422, "validation_failed")
    assert (await client.patch(url, json={"owner_id": None})).json()["owner_id"] is None
    assert (await case.owner.client.get(url)).status_code == 404
    assert (await client.patch(url, json={"owner_id": case.ada.id})).status_code == 200
    assert (await case.owner.client.get(url)).status_code == 200


async def test_models_of_a_deleted_user_belong_to_the_installation(case: Case) -> None:
    owner = await case.gateway.user("owner@example.com", Role.OWNER)
    client = (await case.gateway.caller(owner, "manage key")).client
    assert (await client.delete(f"/node/users/{case.ada.id}/")).status_code == 204
    shown = (await client.get(f"{MODELS}{PRIVATE}/")).json()
    assert (shown["visibility"], shown["owner_id"]) == ("private", None)
    assert (await (await case.member()).get(f"{MODELS}{PRIVATE}/")).status_code == 404
    events = await client.get("/node/audit/", params={"everyone": True, "action": "model.update"})
    assert [event["before"] for event in events.json()["items"]] == [{"owner_id": case.ada.id}]


async def test_probes_do_not_name_it(case: Case) -> None:
    container = case.gateway.container
    container.readiness.servers_known()
    reasons = [*container.readiness.reasons(), *container.readiness.degraded()]
    assert [reason for reason in reasons if reason.startswith("inference server")] == [
        "inference server of a private model: stopped"
    ]
