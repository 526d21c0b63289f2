"""Slugs of deployments and handles of users: how they are made, kept apart and changed."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from gateway.auth.identity import Role
from gateway.storage.slugs import slug_of
from gateway.storage.tables import Profile
from tests.gateway.in_process_gateway import DEPLOYMENTS, InProcessGateway, deploy, flow_json

UUID = "98593f2f-379e-4fa6-9398-f968c4f16563"


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Iris classifier", "iris-classifier"),
        ("Crème brûlée, Größe 2", "creme-brulee-grosse-2"),
        ("  --x__y--  ", "x-y"),
        ("日本", "deployment"),
        ("x" * 62 + " yz", "x" * 62),
        (UUID, f"deployment-{UUID}"),
    ],
    ids=["words", "accents", "ends", "no letter", "long", "an id"],
)
def test_a_slug_is_made_of_a_name(name: str, slug: str) -> None:
    assert slug_of(name, kind="deployment", max_length=63) == slug


async def slugs_of(user: httpx.AsyncClient, name: str, number: int) -> list[str]:
    """Deploy so many flows with a name, and return their slugs."""
    made = [await deploy(user, flow_json(), name=name) for _ in range(number)]
    return [str(each["slug"]) for each in made]


async def test_a_name_that_is_taken_gets_the_next_number(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    numbered = ["iris", *(f"iris-{number}" for number in range(2, 8))]
    assert await slugs_of(user, "Iris", 7) == numbered
    assert await slugs_of(user, "y" * 70, 2) == ["y" * 63, "y" * 61 + "-2"]
    assert await slugs_of(user, "Presets", 2) == ["deployment-presets", "deployment-presets-2"]
    eve = await in_process_gateway.user("eve@example.com")
    assert await slugs_of(eve, "Iris", 1) == ["iris"], "slugs are an owner's own"


@pytest.mark.databases("sqlite", "postgresql")
async def test_deployments_that_are_made_at_once_have_slugs_of_their_own(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await asyncio.gather(*(deploy(user, flow_json(), name="Iris") for _ in range(6)))
    assert {each["http"] for each in made} == {201}
    assert {each["slug"] for each in made} == {"iris", *(f"iris-{n}" for n in range(2, 7))}
    asked = await asyncio.gather(*(deploy(user, flow_json(), slug="mine") for _ in range(4)))
    assert sorted(each["http"] for each in asked) == [201, 409, 409, 409]


@pytest.mark.databases("sqlite", "postgresql")
async def test_users_that_are_made_at_once_have_handles_of_their_own(
    in_process_gateway: InProcessGateway,
) -> None:
    users = in_process_gateway.services.users
    emails = [f"ada@{place}.example" for place in ("a", "b", "c", "d")]
    made = await asyncio.gather(
        *(users.create(email, Role.MEMBER, None, by=None) for email in emails)
    )
    assert {user.handle for user in made} == {"ada", "ada-2", "ada-3", "ada-4"}


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_slug_of_another_deployment_is_refused(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    first, second = [await deploy(user, flow_json(), name=name) for name in ("Iris", "Other")]
    path = f"{DEPLOYMENTS}{second['id']}/"
    taken = await user.patch(path, json={"slug": "iris"})
    assert (taken.status_code, taken.json()["code"]) == (409, "conflict")
    assert taken.json()["message"].startswith("slug: expected one that none of your deployments")
    assert (await user.get(path)).json()["slug"] == "other"
    assert (await deploy(user, flow_json(), slug="iris"))["http"] == 409
    dry = {"flow_id": first["flow_id"], "slug": "iris"}
    planned = (await user.post(DEPLOYMENTS, params={"dry_run": True}, json=dry)).json()
    assert planned["deployable"] is False
    (fault,) = [check for check in planned["checks"] if check["result"] == "error"]
    assert (fault["code"], fault["field"]) == ("slug", "slug")
    assert fault["message"] == taken.json()["message"]
    assert (await user.patch(path, json={"slug": "other"})).status_code == 200
    await user.delete(f"{DEPLOYMENTS}{first['id']}/")
    assert (await user.patch(path, json={"slug": "iris"})).json()["slug"] == "iris"


@pytest.mark.parametrize(
    "slug",
    ["", "Iris", "iris_1", "-iris", "iris-", "x" * 64, UUID, "presets", "iris\n", "ä", None, 7],
    ids=str,
)
async def test_what_is_no_slug_is_refused_with_what_was_expected(
    in_process_gateway: InProcessGateway, slug: object
) -> None:
    user = await in_process_gateway.user()
    made = await deploy(user, flow_json())
    answer = await user.patch(f"{DEPLOYMENTS}{made['id']}/", json={"slug": slug})
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body["code"]) == (422, "validation_failed")
    assert body["errors"][0]["pointer"] == "#/slug"
    assert "expected" in body["message"] or "should be a valid string" in body["message"]


async def test_another_name_changes_no_address(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    made = await deploy(user, flow_json(), name="Iris")
    changed = await user.patch(f"{DEPLOYMENTS}{made['id']}/", json={"name": "Other"})
    assert (changed.json()["name"], changed.json()["slug"]) == ("Other", "iris")


async def test_a_user_of_an_earlier_release_gets_a_handle_with_the_next_deployment(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user("ada@example.com")
    async with in_process_gateway.db.read() as session:
        profile = await session.get_one(Profile, user.headers["x-test-profile"])
    assert profile.handle is None
    assert (await deploy(user, flow_json(), name="Iris"))["named_path"] == "/v1/ada/iris"


@pytest.mark.parametrize("handle", ["", "Ada", "a.b", "-a", "x" * 40], ids=str)
async def test_what_is_no_handle_is_refused(
    in_process_gateway: InProcessGateway, handle: str
) -> None:
    admin = await in_process_gateway.user()
    path = f"/node/users/{admin.headers['x-test-profile']}/"
    answer = await admin.patch(path, json={"handle": handle})
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
    assert answer.json()["errors"][0]["pointer"] == "#/handle"
    assert "expected 1 to 39 lower-case letters" in answer.json()["message"]
