"""Users cannot reach resources of other users, and every route but the public ones needs a key.

Every route of the OpenAPI document is tested; a new route fails here until it is classified.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from gateway.auth.identity import Role, Scope
from gateway.auth.keys import generate_key
from gateway.storage.tables import Profile
from tests.gateway.databases import rows_with
from tests.gateway.in_process_gateway import flow_json
from tests.gateway.routes import ResourceIds, Route, drawn, routes_of
from tests.gateway.runs.builders import failed, new_run
from tests.gateway.served_gateway import ServedGateway

EMPTY = (b'"items":[]', b'"bounds_seconds":[]')
"""In answers that say nothing of what is stored."""
SECRET = "known-to-ada-only"

PUBLIC = {
    "GET /livez",
    "GET /problems/{problem}",
    "GET /readyz",
    "GET /v2/health/live",
    "GET /v2/health/ready",
    "POST /node/session/",
    "POST /node/session/invitation/",
    "POST /node/setup/",
}
"""Routes without authentication; the document lists no security scheme for them."""

ANONYMOUS_TOO = {"GET /node/info/"}
"""Routes that tell those without a credential less: tests/gateway/console/test_info.py."""

OWNED = (
    "/node/api-keys/",
    "/node/audit/",
    "/node/deployment-trigger/",
    "/node/deployments/",
    "/node/events/",
    "/node/flow-runs/",
    "/node/flows/",
    "/node/search/",
    "/node/session/",
    "/node/sessions/",
    "/node/usage/",
    "/node/webhooks/",
    "/v1/",
)
"""Prefixes of routes whose resources belong to a profile; users see only their own."""

INSTALLATION = (
    "/metrics",
    "/node/calls/",
    "/node/expressions/",
    "/node/hosts/",
    "/node/inference-servers/",
    "/node/models/",
    "/node/node-kinds/",
    "/node/processes/",
    "/node/system/",
    "/node/users/",
    "/v2",
)
"""Prefixes of routes whose resources all profiles may share, and of user management.

Models have owners, and may be private: see test_private_models.py. Calls have owners, too, and
administrators: see calls/test_lookup.py."""

REMOTE = {"x-forwarded-for": "192.0.2.1"}
"""Sent by clients whose requests must not count as those of a program on this machine."""

ADMINISTRATORS_ONLY = {
    "GET /metrics",
    "GET /metrics/targets",
    "GET /node/hosts/",
    "GET /node/processes/",
    "GET /node/system/",
    "PUT /node/inference-servers/registered/{registration_id}/",
    "DELETE /node/inference-servers/registered/{registration_id}/",
    "POST /node/users/",
    "GET /node/users/",
    "GET /node/users/{user_id}/",
    "PATCH /node/users/{user_id}/",
    "DELETE /node/users/{user_id}/",
    "POST /node/users/{user_id}/invitation/",
    "DELETE /node/users/{user_id}/sessions/",
}

NEEDS_NOTHING = ("/node/flows/", "/node/flows/check/", "/node/webhooks/verify/")
"""Routes that a user without any resources can call successfully."""
SHARED_NAMES = {
    "name": "mlp",
    "model": "mlp",
    "version": 1,
    "label": "stable",
    "problem": "not-found",
    "request_id": "req_nowhere",
    "registration_id": "00000000-0000-4000-8000-000000000000",
}
"""Path parameters of shared resources."""


@pytest.fixture
async def ada(served_gateway: ServedGateway) -> Profile:
    """The user who owns the resources."""
    return await served_gateway.user("ada@example.com", Role.OWNER)


@pytest.fixture
async def resources(served_gateway: ServedGateway, ada: Profile) -> dict[str, Any]:
    """Parameter name → id of Ada's resource."""
    client = await served_gateway.key_client(ada, Scope.MANAGE)
    draft = {**flow_json(), "name": SECRET}
    flow = (await client.post("/node/flows/", json=draft)).json()
    webhook = {"notification_method": "webhook", "callback_url": "https://8.8.8.8/"}
    body = {"flow_id": flow["id"], "name": SECRET, "slug": "iris", **webhook}
    deployment = (await client.post("/node/deployments/", json=body)).json()
    rollout = f"/node/deployments/{deployment['id']}/rollout/"
    assert (await client.post(rollout, json={"strategy": "canary"})).is_success
    session = (await (await served_gateway.browser(ada)).get("/node/session/")).json()
    server = await served_gateway.services.fleet.serve_model(None, "mlp", "1")
    run = new_run(
        profile_id=ada.id,
        deployment_id=deployment["id"],
        flow_id=flow["id"],
        key_id=deployment["api_key"]["id"],
        input_data=b'{"x": "%b"}' % SECRET.encode(),
    )
    store = served_gateway.container.execution.store
    await store.create(run)
    await store.claim(run.id, "worker")
    await store.finish(run.id, 1, failed(message=SECRET))
    (delivery,) = (await client.get("/node/webhooks/deliveries/")).json()["items"]
    return {
        "deployment_id": deployment["id"],
        "delivery_id": delivery["id"],
        "flow_id": flow["id"],
        "key_id": deployment["api_key"]["id"],
        "number": 1,
        "owner": ada.handle,
        "slug": deployment["slug"],
        "run_id": run.id,
        "session_id": session["session_id"],
        "user_id": ada.id,
        "server_id": server.id,
        # in queries and bodies
        "deployment": deployment["id"],
        "actor": ada.id,
        "subject_id": deployment["id"],
        "deployments": [deployment["id"]],
        "key": deployment["api_key"]["id"],
        "run": run.id,
        "since": "2020-01-02T03:04:05Z",
        "topics": "flows,deployments,runs,models,servers,keys,deliveries,calls",
        "max_seconds": 0,
        "q": SECRET,
    }


def owned(served_gateway: ServedGateway) -> Iterator[Route]:
    """Yield the routes of resources that belong to a profile."""
    for route in routes_of(served_gateway.openapi()):
        if route.path.startswith(OWNED) and str(route) not in PUBLIC:
            yield route


def shared(served_gateway: ServedGateway) -> Iterator[Route]:
    """Yield the routes of shared resources that require authentication."""
    for route in routes_of(served_gateway.openapi()):
        if route.path.startswith(INSTALLATION) and str(route) not in PUBLIC:
            yield route


def ids_in(resources: ResourceIds) -> set[str]:
    """Return the ids of Ada's resources, without inference servers, which all users see.

    What names one only together with its owner is no id.
    """
    no_ids = ("server_id", "owner", "slug")
    own = {name: value for name, value in resources.items() if name not in no_ids}
    return {value for value in own.values() if isinstance(value, str)}


def status_and_code(answer: httpx.Response) -> tuple[int, str | None]:
    """Return status and code of an answer."""
    code = answer.json().get("code") if answer.is_error else None
    return answer.status_code, code


async def test_every_route_is_classified(
    served_gateway: ServedGateway, resources: ResourceIds
) -> None:
    known = {*resources, *SHARED_NAMES}
    for route in routes_of(served_gateway.openapi()):
        prefixes = [prefix for prefix in (*OWNED, *INSTALLATION) if route.path.startswith(prefix)]
        message = (
            f"{route}: add its prefix to OWNED or INSTALLATION, and create the resources it needs"
        )
        assert len(prefixes) == 1 or str(route) in PUBLIC | ANONYMOUS_TOO, message
        assert set(route.parameters) <= known, message


async def test_every_route_but_the_public_ones_requires_authentication(
    served_gateway: ServedGateway,
) -> None:
    invented = {"cookie": f"slipstream_session={'x' * 43}"}
    unauthenticated = [
        (served_gateway.client(**REMOTE), {"api_key_missing", "session_invalid"}),
        (
            served_gateway.client(**REMOTE, **{"x-api-key": generate_key()}),
            {"api_key_invalid", "session_invalid"},
        ),
        (
            served_gateway.client(**REMOTE, authorization="Bearer sk-no"),
            {"api_key_invalid", "session_invalid"},
        ),
        (served_gateway.client(**REMOTE, **invented), {"session_invalid"}),
    ]
    for route in routes_of(served_gateway.openapi()):
        names = {name: str(uuid4()) for name in route.parameters}
        for client, codes in unauthenticated:
            answer = await route.ask(client, names)
            if str(route) in ANONYMOUS_TOO:
                assert {} in route.operation["security"], route
                if answer.is_success:
                    assert set(answer.json()) == {"version", "setup_required"}, route
                else:
                    assert status_and_code(answer) == (401, "api_key_invalid"), route
            elif str(route) in PUBLIC:
                login = str(route) == "POST /node/session/"
                assert login or answer.status_code != 401, route
                assert not login or status_and_code(answer) == (401, "login_failed"), route
                assert route.operation["security"] == [] or route.path.startswith("/v2"), route
            elif route.path.startswith("/v2"):
                assert answer.status_code == 401, route
                assert set(answer.json()) == {"error"}, route
            else:
                status, code = status_and_code(answer)
                assert status == 401, route
                assert code in codes, route
                assert route.operation["security"], route


async def test_resources_of_another_user_are_not_found(
    served_gateway: ServedGateway, resources: dict[str, Any]
) -> None:
    callers = await served_gateway.other_callers()
    before = await rows_with(served_gateway.db, ids_in(resources))
    asked = 0
    for route in owned(served_gateway):
        if not route.parameters:
            continue
        for caller in callers:
            about = f"{caller}: {route}"
            answer = await route.ask(caller.client, drawn(resources, "Stolen"))
            if caller.credential == "trigger key" and answer.status_code == 403:
                assert status_and_code(answer) == (403, "api_key_forbidden"), about
            else:
                assert status_and_code(answer) == (404, "not_found"), about
            assert SECRET not in answer.text, about
            nothing = {
                **drawn(resources, "Stolen"),
                **dict.fromkeys(route.parameters, str(uuid4())),
            }
            nothing["number"] = 1
            assert status_and_code(await route.ask(caller.client, nothing)) == status_and_code(
                answer
            ), about
            asked += 1
    assert asked >= 24 * len(callers)
    assert await rows_with(served_gateway.db, ids_in(resources)) == before


@pytest.mark.databases("sqlite", "postgresql")
async def test_lists_and_new_resources_contain_nothing_of_another_user(
    served_gateway: ServedGateway, resources: dict[str, Any]
) -> None:
    callers = await served_gateway.other_callers()
    before = await rows_with(served_gateway.db, ids_in(resources))
    for route in owned(served_gateway):
        if route.parameters or str(route) == "DELETE /node/session/":
            continue
        for caller in callers:
            about = f"{caller}: {route}"
            answer = await route.ask(caller.client, drawn(resources, "Mine"))
            assert SECRET not in answer.text, about
            assert answer.status_code < 500, about
            if answer.is_success:
                assert not [found for found in ids_in(resources) if found in answer.text], about
            if route.method == "POST" and route.path not in NEEDS_NOTHING:
                assert answer.is_client_error, f"{about}: {answer.text}"
    assert await rows_with(served_gateway.db, ids_in(resources)) == before


async def test_shared_resources_are_authorised_by_role(
    served_gateway: ServedGateway, resources: dict[str, Any]
) -> None:
    callers = await served_gateway.other_callers()
    # unknown names, so that no call changes anything and every caller gets the same answer
    names = {**drawn(resources, "mine"), **SHARED_NAMES, "name": "nowhere", "model": "nowhere"}
    names |= {name: str(uuid4()) for name in ("server_id", "user_id", "flow_id")}
    for caller in callers:
        caller.client.headers.update(REMOTE)
    seen = set()
    for route in shared(served_gateway):
        seen.add(str(route))
        for caller in callers:
            about = f"{caller}: {route}"
            answer = await route.ask(caller.client, names)
            if route.path.startswith("/v2"):
                assert answer.status_code != 401, about
                continue
            status, code = status_and_code(answer)
            if caller.credential == "trigger key":
                assert (status, code) == (403, "api_key_forbidden"), about
            elif str(route) in ADMINISTRATORS_ONLY and caller.role is Role.MEMBER:
                assert (status, code) == (403, "role_forbidden"), about
            else:
                assert status not in (401, 403), about
                assert status < 500, about
    assert seen >= ADMINISTRATORS_ONLY


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_serve_key_only_registers_inference_servers(
    served_gateway: ServedGateway, ada: Profile, resources: dict[str, Any]
) -> None:
    client = await served_gateway.key_client(ada, Scope.SERVE)
    client.headers.update(REMOTE)
    before = await rows_with(served_gateway.db, ids_in(resources))
    allowed = set()
    for route in routes_of(served_gateway.openapi()):
        answers = []
        for version in (1, "same", "latest"):  # one of which the route takes
            names = {**drawn(resources, "Stolen"), **SHARED_NAMES, "version": version}
            answers.append(await route.ask(client, names))
            assert SECRET not in answers[-1].text, route
        refused = [
            answer.status_code in (401, 403, 404) or any(each in answer.content for each in EMPTY)
            for answer in answers
        ]
        if str(route) not in PUBLIC and not any(refused):
            allowed.add(str(route))
    assert allowed == {
        "PUT /node/inference-servers/registered/{registration_id}/",
        "DELETE /node/inference-servers/registered/{registration_id}/",
    }
    assert await rows_with(served_gateway.db, ids_in(resources)) == before


async def test_owners_read_their_resources_by_key_and_by_session(
    served_gateway: ServedGateway, ada: Profile, resources: dict[str, Any]
) -> None:
    for credential in ("manage key", "session"):
        caller = await served_gateway.caller(ada, credential)
        for route in owned(served_gateway):
            if route.path == "/node/session/" and credential != "session":
                continue
            if route.method == "GET":
                answer = await route.ask(caller.client, resources)
                assert answer.status_code == 200, f"{caller}: {route}: {answer.text}"
        call = f"/node/deployment-trigger/{resources['deployment_id']}/"
        refused = await caller.client.post(call, content=b"[")
        assert status_and_code(refused) == (400, "invalid_json"), (
            "the deployment is found, the key accepted, the body parsed"
        )


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_session_without_its_csrf_token_changes_nothing(
    served_gateway: ServedGateway, ada: Profile, resources: dict[str, Any]
) -> None:
    browser = await served_gateway.browser(ada)
    token = browser.headers.pop("x-csrf-token")
    forged = [
        {},
        {"x-csrf-token": "0" * 64},
        {"x-csrf-token": token, "origin": "https://evil.example"},
        {"x-csrf-token": token, "origin": "null"},
        {"x-csrf-token": token, "sec-fetch-site": "cross-site"},
        {"x-csrf-token": token, "sec-fetch-site": "same-site"},
    ]
    before = await rows_with(served_gateway.db, ids_in(resources))
    asked = 0
    for route in routes_of(served_gateway.openapi()):
        if route.method == "GET" or str(route) in PUBLIC or route.path.startswith("/v2"):
            continue
        for headers in forged:
            browser.headers.update(headers)
            answer = await route.ask(browser, {**drawn(resources, "Forged"), **SHARED_NAMES})
            assert status_and_code(answer) == (403, "csrf_failed"), f"{route}: {headers}"
            for name in headers:
                del browser.headers[name]
        asked += 1
    assert asked > 30
    assert await rows_with(served_gateway.db, ids_in(resources)) == before


@pytest.mark.databases("sqlite", "postgresql")
async def test_the_database_contains_no_plain_key_and_no_session_token(
    served_gateway: ServedGateway, ada: Profile
) -> None:
    browser = await served_gateway.browser(ada)
    made = (await browser.post("/node/api-keys/", json={"name": "phone"})).json()
    token = browser.cookies["slipstream_session"]
    words = {made["key"], token, browser.headers["x-csrf-token"]}
    assert not any((await rows_with(served_gateway.db, words)).values())
