"""Users and their roles, over HTTP and for the operator."""

from __future__ import annotations

import asyncio

import pytest

from gateway.accounts.users import UserChange, UserState
from gateway.auth.identity import Role, Scope
from gateway.auth.profiles import ensure_owner
from gateway.errors import GatewayError
from gateway.storage.database import Database
from gateway.storage.tables import Profile
from protos.errors import ErrorCode
from tests.gateway.in_process_gateway import flow_json
from tests.gateway.served_gateway import PASSWORD, ServedGateway

USERS = "/node/users/"


@pytest.fixture
async def owner(served_gateway: ServedGateway) -> Profile:
    return await served_gateway.user("owner@example.com", Role.OWNER)


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_user_is_made_listed_changed_and_deleted(
    served_gateway: ServedGateway, owner: Profile
) -> None:
    asks = await served_gateway.key_client(owner, Scope.MANAGE)
    made = await asks.post(USERS, json={"email": "Ada@Example.com", "password": PASSWORD})
    assert made.status_code == 201, made.text
    user = made.json()
    assert (user["email"], user["role"], user["has_password"]) == (
        "ada@example.com",
        "member",
        True,
    )
    assert "password" not in {*user} - {"has_password"}
    listed = (await asks.get(USERS)).json()["items"]
    assert [one["email"] for one in listed] == ["ada@example.com", "owner@example.com"]
    path = f"{USERS}{user['id']}/"
    changed = await asks.patch(path, json={"role": "admin", "email": "countess@example.com"})
    assert (changed.json()["role"], changed.json()["email"]) == ("admin", "countess@example.com")
    assert (await asks.get(path)).json() == changed.json()
    assert (await asks.delete(path)).status_code == 204
    assert (await asks.get(path)).status_code == 404


@pytest.mark.databases("sqlite", "postgresql")
async def test_an_address_belongs_to_one_user(
    served_gateway: ServedGateway, owner: Profile
) -> None:
    asks = await served_gateway.key_client(owner, Scope.MANAGE)
    ada = (await asks.post(USERS, json={"email": "ada@example.com"})).json()
    again = await asks.post(USERS, json={"email": " ADA@example.com"})
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    renamed = await asks.patch(f"{USERS}{ada['id']}/", json={"email": owner.email})
    assert (renamed.status_code, renamed.json()["code"]) == (409, "conflict")
    for email in ("", "ada", "@x", "a@", "a b@c", "a@b@c", "a\x00@b", "a@" + "b" * 300):
        refused = await asks.post(USERS, json={"email": email})
        assert (refused.status_code, refused.json()["code"]) == (422, "validation_failed"), email


BAD_PASSWORDS = [
    "",
    "elevenchars",
    "password1234",
    "passwordpassword",
    "aaaaaaaaaaaaaaaa",
    "123456789012",
    "qwertyuiop12",
    "newcomer@example.com",
    "x" * 257,
]


async def test_passwords_that_are_short_common_or_the_address_are_refused_and_not_repeated(
    served_gateway: ServedGateway, owner: Profile
) -> None:
    asks = await served_gateway.key_client(owner, Scope.MANAGE)
    for password in BAD_PASSWORDS:
        body = {"email": "newcomer@example.com", "password": password}
        refused = await asks.post(USERS, json=body)
        assert (refused.status_code, refused.json()["code"]) == (422, "validation_failed"), password
        assert not password or password not in refused.text
    broken = await asks.post(USERS, json={"email": "a@b", "password": {"hidden": "hidden-word"}})
    assert broken.status_code == 422
    assert "hidden-word" not in broken.text


async def test_any_long_password_is_accepted_in_every_unicode_form(
    served_gateway: ServedGateway, owner: Profile
) -> None:
    for number, password in enumerate(
        ("alles klein geschrieben", "\u212bngstr\u00f6m \u96ea\u96ea\u96ea und mehr")
    ):
        email = f"user{number}@example.com"
        await served_gateway.services.users.create(email, Role.MEMBER, password, by=None)
        typed = {"email": email, "password": password.replace("\u212b", "\u00c5")}
        assert (await served_gateway.client().post("/node/session/", json=typed)).status_code == 200


async def test_only_an_owner_manages_owners(served_gateway: ServedGateway, owner: Profile) -> None:
    admin = await served_gateway.caller(
        await served_gateway.user("admin@example.com", Role.ADMIN), "session"
    )
    asks, path = admin.client, f"{USERS}{owner.id}/"
    other = (await asks.post(USERS, json={"email": "b@example.com", "role": "admin"})).json()
    for answer in (
        await asks.post(USERS, json={"email": "c@example.com", "role": "owner"}),
        await asks.patch(f"{USERS}{other['id']}/", json={"role": "owner"}),
        await asks.patch(path, json={"role": "member"}),
        await asks.patch(path, json={"password": PASSWORD}),
        await asks.patch(path, json={"state": "deactivated"}),
        await asks.delete(path),
        await asks.delete(f"{path}sessions/"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "role_forbidden")
    assert (await asks.patch(f"{USERS}{other['id']}/", json={"role": "member"})).is_success
    boss = await served_gateway.key_client(owner, Scope.MANAGE)
    raised = await boss.patch(f"{USERS}{other['id']}/", json={"role": "owner"})
    assert raised.json()["role"] == "owner"


async def test_users_cannot_raise_their_own_role(
    served_gateway: ServedGateway, owner: Profile
) -> None:
    for role in (Role.MEMBER, Role.ADMIN):
        user = await served_gateway.user(f"climbing.{role}@example.com", role)
        for credential in ("session", "manage key"):
            asks = (await served_gateway.caller(user, credential)).client
            for raised in (Role.ADMIN, Role.OWNER):
                answer = await asks.patch(f"{USERS}{user.id}/", json={"role": raised})
                assert answer.status_code == 403 or raised == role, answer.text
            helper = {"email": f"helper.{role}@example.com", "role": "owner"}
            assert (await asks.post(USERS, json=helper)).status_code == 403
        shown = await (await served_gateway.key_client(owner, Scope.MANAGE)).get(
            f"{USERS}{user.id}/"
        )
        assert shown.json()["role"] == role


async def test_users_cannot_lock_themselves_out_or_skip_the_old_password(
    served_gateway: ServedGateway, owner: Profile
) -> None:
    await served_gateway.user("second@example.com", Role.OWNER)
    asks, path = await served_gateway.key_client(owner, Scope.MANAGE), f"{USERS}{owner.id}/"
    for answer in (
        await asks.patch(path, json={"password": PASSWORD}),
        await asks.patch(path, json={"role": "member"}),
        await asks.patch(path, json={"state": "deactivated"}),
        await asks.delete(path),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert (await asks.patch(path, json={"email": "renamed@example.com"})).is_success


async def test_the_last_active_owner_stays_even_if_the_operator_says_otherwise(
    served_gateway: ServedGateway, owner: Profile
) -> None:
    users, cleanup = served_gateway.services.users, served_gateway.container.execution.cleanup
    second = await served_gateway.user("second@example.com", Role.OWNER)
    await users.change(second.id, UserChange(state=UserState.DEACTIVATED), by=None)
    for change in (UserChange(role=Role.ADMIN), UserChange(state=UserState.DEACTIVATED)):
        with pytest.raises(GatewayError, match="only active owner"):
            await users.change(owner.id, change, by=None)
    with pytest.raises(GatewayError, match="only active owner"):
        await users.delete(owner.id, cleanup, by=None)
    await users.delete(second.id, cleanup, by=None)


@pytest.mark.databases("sqlite", "postgresql")
async def test_two_owners_who_demote_each_other_leave_one_owner(
    served_gateway: ServedGateway, owner: Profile
) -> None:
    second = await served_gateway.user("second@example.com", Role.OWNER)
    users, change = served_gateway.services.users, UserChange(role=Role.MEMBER)
    outcomes = await asyncio.gather(
        *(users.change(one.id, change, by=None) for one in (owner, second)),
        return_exceptions=True,
    )
    refused = [outcome for outcome in outcomes if isinstance(outcome, GatewayError)]
    assert [error.code for error in refused] == [ErrorCode.CONFLICT]


async def test_a_new_role_takes_effect_at_once(
    served_gateway: ServedGateway, owner: Profile
) -> None:
    ada = await served_gateway.user("ada@example.com")
    key, browser = (
        await served_gateway.key_client(ada, Scope.MANAGE),
        await served_gateway.browser(ada),
    )
    for client in (key, browser):
        assert (await client.get(USERS)).json()["code"] == "role_forbidden"
    await served_gateway.services.users.change(ada.id, UserChange(role=Role.ADMIN), by=None)
    await served_gateway.container.feed.poll()
    for client in (key, browser):
        assert (await client.get(USERS)).status_code == 200


@pytest.mark.databases("sqlite", "postgresql")
async def test_deleting_a_user_deletes_their_resources(
    served_gateway: ServedGateway, owner: Profile
) -> None:
    ada = await served_gateway.user("ada@example.com")
    key, browser = (
        await served_gateway.key_client(ada, Scope.MANAGE),
        await served_gateway.browser(ada),
    )
    flow = (await key.post("/node/flows/", json=flow_json())).json()
    await key.post("/node/deployments/", json={"flow_id": flow["id"]})
    boss = await served_gateway.key_client(owner, Scope.MANAGE)
    assert (await boss.delete(f"{USERS}{ada.id}/")).status_code == 204
    await served_gateway.container.feed.poll()
    assert (await key.get("/node/flows/")).json()["code"] == "api_key_invalid"
    assert (await browser.get("/node/session/")).json()["code"] == "session_invalid"
    async with served_gateway.db.read() as session:
        connection = await session.connection()
        for table in ("flows", "deployments", "deployment_versions", "console_sessions"):
            rows = await connection.exec_driver_sql(f"SELECT * FROM {table}")
            assert rows.all() == [], table


async def test_the_first_user_is_an_owner_without_a_password(database: Database) -> None:
    first = await ensure_owner(database)
    assert (first.email, first.role, first.password_hash) == ("admin@localhost", "owner", None)
