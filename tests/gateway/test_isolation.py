"""Nobody gets at another user's things, and nobody gets anywhere without a key."""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

from tests.gateway.office import Office, flow_json

OWNED = ("/node/api-keys/", "/node/flows/", "/node/deployments/")
MANAGED = (
    *OWNED,
    "/node/models/",
    "/node/inference-servers/",
    "/node/usage/",
    "/node/audit/",
)


def routes(office: Office) -> list[tuple[str, str]]:
    """Return method and path of every management route."""
    paths = office.openapi()["paths"]
    managed = {path: paths[path] for path in paths if path.startswith(MANAGED)}
    return [(method.upper(), path) for path, item in managed.items() for method in item]


async def test_no_route_works_without_a_key(office: Office) -> None:
    stranger = office.client({})
    found = routes(office)
    assert len(found) > 32
    for method, path in found:
        answer = await stranger.request(method, re.sub(r"\{\w+\}", str(uuid4()), path))
        assert (answer.status_code, answer.json()["code"]) == (401, "api_key_missing"), path


async def test_another_users_things_do_not_exist(office: Office) -> None:
    ada, bob = await office.user(), await office.user("bob@example.com")
    flow = (await ada.post("/node/flows/", json=flow_json())).json()
    deployment = (await ada.post("/node/deployments/", json={"flow_id": flow["id"]})).json()
    ids = {
        "key_id": deployment["api_key"]["id"],
        "flow_id": flow["id"],
        "deployment_id": deployment["id"],
        "number": 1,
    }
    bodies: dict[str, dict[str, Any]] = {"PUT": flow_json(), "PATCH": {"name": "Stolen"}}
    asked = 0
    for method, path in routes(office):
        if not path.startswith(OWNED) or "{" not in path:
            continue
        answer = await bob.request(method, path.format(**ids), json=bodies.get(method))
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
        asked += 1
    assert asked == 24
    for listing in OWNED[1:]:
        assert (await bob.get(listing)).json()["items"] == []
    for path, body in (
        ("/node/deployments/", {"flow_id": flow["id"]}),
        ("/node/inference-servers/", {"flow_id": flow["id"]}),
    ):
        assert (await bob.post(path, json=body)).status_code == 404
    scoped = {"name": "mine", "deployments": [deployment["id"]]}
    assert (await bob.post("/node/api-keys/", json=scoped)).status_code == 422
    assert (await ada.get(f"/node/flows/{flow['id']}/")).json() == flow


async def test_a_key_in_plain_is_nowhere_in_the_database(office: Office, url: str) -> None:
    user = await office.user()
    made = (await user.post("/node/api-keys/", json={"name": "phone"})).json()
    async with office.db.read() as session:
        rows = await (await session.connection()).exec_driver_sql("SELECT * FROM api_keys")
        assert made["key"] not in repr(rows.all())


async def test_the_openapi_document_says_that_every_route_needs_a_key(office: Office) -> None:
    for path, item in office.openapi()["paths"].items():
        if path.startswith(MANAGED):
            assert all(operation["security"] for operation in item.values()), path
