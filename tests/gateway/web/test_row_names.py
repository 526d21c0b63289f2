"""Names in place of ids: only the caller's own, and only where they name one thing."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from gateway.auth.identity import Role, Scope
from tests.gateway.in_process_gateway import DEPLOYMENTS, InProcessGateway, deploy, flow_json
from tests.gateway.routes import Route, routes_of
from tests.gateway.served_gateway import ServedGateway

FLOWS = "/node/flows/"
EXECUTED_BY_OTHERS = ("/node/deployment-trigger/",)
"""Where a deployment is named by its id only: `/v1/` has its slug."""


def named_routes(gateway: InProcessGateway) -> Iterator[Route]:
    """Yield the routes that take the id of a deployment."""
    for route in routes_of(gateway.openapi()):
        if "{deployment_id}" in route.path and not route.path.startswith(EXECUTED_BY_OTHERS):
            yield route


@pytest.mark.databases("sqlite", "postgresql")
async def test_every_route_that_takes_a_deployments_id_takes_its_slug(
    in_process_gateway: InProcessGateway,
) -> None:
    user, eve = [
        await in_process_gateway.user(email) for email in ("ada@example.com", "eve@example.com")
    ]
    webhook = {"notification_method": "webhook", "callback_url": "https://8.8.8.8/"}
    made = await deploy(user, flow_json(), name="Iris", **webhook)
    asked = 0
    for route in named_routes(in_process_gateway):
        if route.method == "GET":
            names = {"number": 1, "deployment_id": made["id"]}
            by_id = await route.ask(user, names)
            by_slug = await route.ask(user, {**names, "deployment_id": "iris"})
            assert by_slug.status_code == by_id.status_code, route
            assert by_slug.headers.get("etag") == by_id.headers.get("etag"), route
            unknown = await route.ask(eve, {**names, "deployment_id": "no-slug"})
            theirs = await route.ask(eve, {**names, "deployment_id": "iris"})
            assert theirs.status_code == unknown.status_code == 404, route
            assert theirs.json()["message"].replace("iris", "no-slug") == unknown.json()["message"]
            asked += 1
    assert asked >= 10


async def test_changes_by_slug_are_those_of_the_deployment(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await deploy(user, flow_json(), name="Iris")
    path = f"{DEPLOYMENTS}iris/"
    assert (await user.post(f"{path}pause/")).json()["status"] == "paused"
    changed = await user.patch(path, json={"slug": "irises", "timeout_seconds": 7})
    assert (changed.json()["id"], changed.json()["slug"]) == (made["id"], "irises")
    assert (await user.get(path)).status_code == 404
    path = f"{DEPLOYMENTS}IRISES/"
    assert (await user.get(path)).json()["timeout_seconds"] == 7
    assert (await user.delete(path)).status_code == 204
    assert (await user.get(path)).status_code == 410
    again = await deploy(user, flow_json(), slug="irises")
    assert (await user.get(path)).json()["id"] == again["id"]


@pytest.mark.parametrize("name", ["%00", "a%00b", "x" * 300, "ä", "-"])
@pytest.mark.databases("sqlite", "postgresql")
async def test_what_cannot_be_a_name_is_unknown(
    in_process_gateway: InProcessGateway, name: str
) -> None:
    user = await in_process_gateway.user()
    for path in (DEPLOYMENTS, FLOWS):
        assert (await user.get(f"{path}{name}/")).status_code == 404


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_flow_is_found_by_a_name_that_only_one_has(
    in_process_gateway: InProcessGateway,
) -> None:
    user, eve = [
        await in_process_gateway.user(email) for email in ("ada@example.com", "eve@example.com")
    ]
    first, other = [
        (await user.post(FLOWS, json={**flow_json(), "name": name})).json()
        for name in ("Iris classifier", "Other")
    ]
    assert (await user.get(f"{FLOWS}Iris%20classifier/")).json()["id"] == first["id"]
    assert (await user.get(f"{FLOWS}Other/revisions/")).status_code == 200
    assert (await eve.get(f"{FLOWS}Other/")).status_code == 404
    renamed = await user.patch(f"{FLOWS}Other/", json={"name": "Iris classifier"})
    assert renamed.json()["id"] == other["id"]
    several = await user.get(f"{FLOWS}Iris%20classifier/")
    assert (several.status_code, several.json()["code"]) == (409, "conflict")
    assert {first["id"], other["id"]} <= set(several.json()["message"].replace(",", "").split())


async def test_lists_are_filtered_by_the_slug_of_a_deployment(
    served_gateway: ServedGateway,
) -> None:
    ada = await served_gateway.user("ada@example.com", Role.MEMBER)
    user = await served_gateway.key_client(ada, Scope.MANAGE)
    made, other = [
        await deploy(user, flow_json(), name=name, execution_mode="async")
        for name in ("Iris", "Other")
    ]
    for deployment in (made, other):
        called = await user.post(
            deployment["trigger_path"], json={"input_data": {"x": [[1, 2, 3, 4]]}}
        )
        assert called.status_code == 202

    async def listed(deployment: str) -> list[str]:
        answer: httpx.Response = await user.get(
            "/node/flow-runs/", params={"deployment": deployment}
        )
        return [run["flow_run_id"] for run in answer.json()["items"]]

    assert len(await listed("iris")) == 1
    assert await listed("iris") == await listed(made["id"])
    assert await listed("nothing") == []
    for path in ("/node/usage/", "/node/usage/heatmap/", "/node/webhooks/deliveries/"):
        answers = [
            (await user.get(path, params={"deployment": name})).status_code
            for name in ("iris", made["id"], "nothing")
        ]
        assert answers == [200, 200, 200], path
    deleted = await user.delete(
        "/node/flow-runs/", params={"deployment": "iris", "to": "2100-01-01T00:00:00Z"}
    )
    assert deleted.status_code == 200
