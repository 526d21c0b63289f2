"""What the audit log says of users and sessions, and who reads it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from gateway.accounts import login_throttle
from gateway.accounts.login_throttle import MAX_FAILURES_PER_ADDRESS, MAX_FAILURES_PER_EMAIL
from gateway.accounts.users import UserChange
from gateway.auth.identity import Role, Scope
from tests.gateway.audit.audit_log_entries import acts_in
from tests.gateway.in_process_gateway import flow_json
from tests.gateway.served_gateway import PASSWORD, ServedGateway

SESSION = "/node/session/"
NEW_PASSWORD = "noch mehr pferde heften"


async def newest(served_gateway: ServedGateway) -> tuple[str, str | None, str | None]:
    """Return action, actor and session of the newest act."""
    act = (await acts_in(served_gateway.db))[-1]
    assert act.address == "127.0.0.1"
    assert act.request_id
    return act.action, act.actor_id, act.session_id


async def log_in(served_gateway: ServedGateway, email: str) -> httpx.AsyncClient:
    browser = served_gateway.client()
    answer = await browser.post(SESSION, json={"email": email, "password": PASSWORD})
    browser.headers["x-csrf-token"] = answer.json()["csrf_token"]
    return browser


async def test_events_of_a_session_contain_its_id(served_gateway: ServedGateway) -> None:
    ada = await served_gateway.user("ada@example.com")
    browser = await log_in(served_gateway, ada.email)
    assert await newest(served_gateway) == ("session.create", ada.id, None)
    session_id = (await browser.get(SESSION)).json()["session_id"]
    await browser.post("/node/flows/", json=flow_json())
    assert await newest(served_gateway) == ("flow.create", ada.id, session_id)
    body = {"old_password": PASSWORD, "new_password": NEW_PASSWORD}
    assert (await browser.post(f"{SESSION}password/", json=body)).is_success
    assert await newest(served_gateway) == ("user.change_password", ada.id, session_id)
    await browser.delete(SESSION)
    assert await newest(served_gateway) == ("session.delete", ada.id, session_id)


async def test_no_event_contains_a_password_or_its_hash(served_gateway: ServedGateway) -> None:
    ada = await served_gateway.user("ada@example.com")
    await served_gateway.services.users.change(ada.id, UserChange(password=NEW_PASSWORD), by=None)
    told = "".join(f"{act.before} {act.after}" for act in await acts_in(served_gateway.db))
    assert "password_hash" in told
    assert "argon2" not in told
    assert PASSWORD not in told
    assert NEW_PASSWORD not in told


@pytest.mark.databases("sqlite", "postgresql")
async def test_administrators_read_all_events_and_members_their_own(
    served_gateway: ServedGateway,
) -> None:
    ada = await served_gateway.key_client(
        await served_gateway.user("ada@example.com"), Scope.MANAGE
    )
    boss = await served_gateway.key_client(
        await served_gateway.user("boss@example.com", Role.ADMIN), Scope.MANAGE
    )
    flow = (await ada.post("/node/flows/", json=flow_json())).json()["id"]
    everyone = {"everyone": "true", "subject_id": flow}
    for path in ("/node/audit/", "/node/audit/export/"):
        assert flow in (await boss.get(path, params=everyone)).text
        assert flow not in (await boss.get(path, params={"subject_id": flow})).text
        refused = await ada.get(path, params=everyone)
        assert (refused.status_code, refused.json()["code"]) == (403, "role_forbidden")


# Any: what acts tell
async def failures_told(served_gateway: ServedGateway) -> list[tuple[str, str | None, Any]]:
    """Return the acts of failed log-ins: action, who for or where from, and what they tell."""
    acts = [act for act in await acts_in(served_gateway.db) if act.action.endswith(".fail_login")]
    assert {(act.actor_id, act.address) for act in acts} <= {(None, "127.0.0.1")}
    return [(act.action, act.subject_name or act.subject_id, act.after) for act in acts]


async def fail(served_gateway: ServedGateway, email: str, times: int = 1) -> None:
    """Send log-ins with a wrong password for a user."""
    client = served_gateway.client()
    for _ in range(times):
        await client.post(SESSION, json={"email": email, "password": "not the password"})


async def test_the_first_and_the_last_failed_login_are_recorded(
    served_gateway: ServedGateway,
) -> None:
    ada = await served_gateway.user("ada@example.com")
    await fail(served_gateway, ada.email, MAX_FAILURES_PER_EMAIL + 3)
    assert await failures_told(served_gateway) == [
        ("user.fail_login", ada.email, {"failures": 1}),
        ("user.fail_login", ada.email, {"failures": MAX_FAILURES_PER_EMAIL}),
    ]
    hers = await served_gateway.key_client(ada, Scope.MANAGE)
    seen = (await hers.get("/node/audit/", params={"action": "user.fail_login"})).json()["items"]
    assert [act["address"] for act in seen] == ["127.0.0.1", "127.0.0.1"]


async def test_a_failed_login_of_an_unknown_user_is_not_recorded(
    served_gateway: ServedGateway,
) -> None:
    await fail(served_gateway, "my secret typed into the wrong field", MAX_FAILURES_PER_EMAIL)
    assert await failures_told(served_gateway) == []


async def test_an_address_that_guesses_for_many_users_is_recorded_when_it_is_blocked(
    served_gateway: ServedGateway,
) -> None:
    gate = served_gateway.container.login._throttle
    for number in range(MAX_FAILURES_PER_ADDRESS):
        attempt = await gate.begin(f"{number}@example.com", "2001:db8::7")
        await gate.failed(attempt, None)
    (act,) = await acts_in(served_gateway.db)
    assert (act.action, act.subject_id) == ("address.fail_login", "2001:db8::/64")
    assert act.after == {"failures": MAX_FAILURES_PER_ADDRESS}
    assert act.owner_id is None


async def test_failed_logins_cannot_fill_the_audit_log(
    served_gateway: ServedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login_throttle, "MAX_AUDIT_EVENTS", 3)
    for number in range(5):
        user = await served_gateway.user(f"user{number}@example.com")
        await fail(served_gateway, user.email, 2)
    assert len(await failures_told(served_gateway)) == 3


async def test_a_wrong_old_password_is_recorded(served_gateway: ServedGateway) -> None:
    ada = await served_gateway.user("ada@example.com")
    browser = await log_in(served_gateway, ada.email)
    body = {"old_password": "not the password", "new_password": NEW_PASSWORD}
    refused = await browser.post(f"{SESSION}password/", json=body)
    assert refused.json()["code"] == "login_failed"
    act = (await acts_in(served_gateway.db))[-1]
    assert (act.action, act.actor_id, act.after) == ("user.fail_login", ada.id, {"failures": 1})
    assert act.session_id is not None


@pytest.mark.databases("sqlite", "postgresql")
async def test_resources_deleted_with_a_user_are_recorded(served_gateway: ServedGateway) -> None:
    ada, boss = (
        await served_gateway.user("ada@example.com"),
        await served_gateway.user("boss@example.com", Role.ADMIN),
    )
    hers, asks = (
        await served_gateway.key_client(ada, Scope.MANAGE),
        await served_gateway.key_client(boss, Scope.MANAGE),
    )
    flow = (await hers.post("/node/flows/", json=flow_json())).json()["id"]
    kept, gone = [
        (await hers.post("/node/deployments/", json={"flow_id": flow})).json()["id"]
        for _ in range(2)
    ]
    await hers.delete(f"/node/deployments/{gone}/")
    before = {act.id for act in await acts_in(served_gateway.db)}
    await asks.delete(f"/node/users/{ada.id}/")
    told = [act for act in await acts_in(served_gateway.db) if act.id not in before]
    assert {act.actor_id for act in told} == {boss.id}
    assert sorted(act.action for act in told) == [
        *("api_key.delete", "api_key.delete", "deployment.delete", "flow.delete", "user.delete"),
    ]
    assert {flow, kept, ada.id} < {act.subject_id for act in told}
    everyone = {"everyone": "true", "subject_id": kept, "action": "deployment.delete"}
    (act,) = (await asks.get("/node/audit/", params=everyone)).json()["items"]
    assert act["before"] == {"name": "Iris classifier Deployment"}
