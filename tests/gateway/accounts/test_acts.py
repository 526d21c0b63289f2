"""What the audit log says of users and sessions, and who reads it."""

from __future__ import annotations

import httpx

from gateway.accounts.users import UserChange
from gateway.auth.identity import Role, Scope
from tests.gateway.audit.acts import acts_in
from tests.gateway.house import PASSWORD, House
from tests.gateway.office import flow_json

SESSION = "/node/session/"
NEW_PASSWORD = "noch mehr pferde heften"


async def newest(house: House) -> tuple[str, str | None, str | None]:
    """Return action, actor and session of the newest act."""
    act = (await acts_in(house.db))[-1]
    assert act.address == "127.0.0.1"
    assert act.request_id
    return act.action, act.actor_id, act.session_id


async def log_in(house: House, email: str) -> httpx.AsyncClient:
    browser = house.client()
    answer = await browser.post(SESSION, json={"email": email, "password": PASSWORD})
    browser.headers["x-csrf-token"] = answer.json()["csrf_token"]
    return browser


async def test_what_a_session_does_is_told_with_the_session(house: House) -> None:
    ada = await house.user("ada@example.com")
    browser = await log_in(house, ada.email)
    assert await newest(house) == ("session.create", ada.id, None)
    session_id = (await browser.get(SESSION)).json()["session_id"]
    await browser.post("/node/flows/", json=flow_json())
    assert await newest(house) == ("flow.create", ada.id, session_id)
    body = {"old_password": PASSWORD, "new_password": NEW_PASSWORD}
    assert (await browser.post(f"{SESSION}password/", json=body)).is_success
    assert await newest(house) == ("user.change_password", ada.id, session_id)
    await browser.delete(SESSION)
    assert await newest(house) == ("session.delete", ada.id, session_id)


async def test_no_act_tells_a_password_or_its_hash(house: House) -> None:
    ada = await house.user("ada@example.com")
    await house.services.users.change(ada.id, UserChange(password=NEW_PASSWORD), by=None)
    told = "".join(f"{act.before} {act.after}" for act in await acts_in(house.db))
    assert "password_hash" in told
    assert "argon2" not in told
    assert PASSWORD not in told
    assert NEW_PASSWORD not in told


async def test_administrators_read_everybodys_acts_and_members_their_own(house: House) -> None:
    ada = await house.key_client(await house.user("ada@example.com"), Scope.MANAGE)
    boss = await house.key_client(await house.user("boss@example.com", Role.ADMIN), Scope.MANAGE)
    flow = (await ada.post("/node/flows/", json=flow_json())).json()["id"]
    everyone = {"everyone": "true", "subject_id": flow}
    for path in ("/node/audit/", "/node/audit/export/"):
        assert flow in (await boss.get(path, params=everyone)).text
        assert flow not in (await boss.get(path, params={"subject_id": flow})).text
        refused = await ada.get(path, params=everyone)
        assert (refused.status_code, refused.json()["code"]) == (403, "role_forbidden")
