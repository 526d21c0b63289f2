"""Console sessions: how long they last, who sees them, and how they end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import httpx
import pytest

from gateway.accounts.users import UserChange, UserState
from gateway.auth.identity import Role, Scope
from gateway.auth.sessions import SessionService
from gateway.errors import GatewayError
from gateway.settings import Settings
from gateway.storage.change_feed import ChangeFeed
from gateway.storage.database import Database
from gateway.storage.tables import Profile
from tests.gateway.databases import statements
from tests.gateway.in_process_gateway import InProcessGateway, flow_json
from tests.gateway.served_gateway import PASSWORD, ServedGateway
from tests.timing import Clock

SESSION, SESSIONS = "/node/session/", "/node/sessions/"
NEW_PASSWORD = "noch mehr pferde heften"


@pytest.fixture
async def ada(served_gateway: ServedGateway) -> Profile:
    return await served_gateway.user("ada@example.com", Role.OWNER)


Serve = Callable[[timedelta, timedelta], SessionService]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def serve(in_process_gateway: InProcessGateway, clock: Clock) -> Serve:
    """Return a service of sessions, as a process of its own has one."""

    def made(idle: timedelta, lifetime: timedelta) -> SessionService:
        feed = ChangeFeed(in_process_gateway.db)
        return SessionService(
            in_process_gateway.db,
            in_process_gateway.services.hasher,
            feed,
            idle=idle,
            lifetime=lifetime,
            clock=clock.now,
        )

    return made


async def opened(
    in_process_gateway: InProcessGateway, sessions: SessionService, profile: Profile
) -> str:
    async with in_process_gateway.db.write() as session:
        made = await sessions.open(session, profile.id, address=None, user_agent="x" * 1000)
    return made.token


async def test_an_idle_session_ends(
    in_process_gateway: InProcessGateway, profile: Profile, serve: Serve, clock: Clock
) -> None:
    sessions = serve(timedelta(hours=2), timedelta(days=1))
    token = await opened(in_process_gateway, sessions, profile)
    for _ in range(4):
        clock.advance(hours=1.99)
        assert (await sessions.identify(token)).profile_id == profile.id
    clock.advance(hours=2)
    with pytest.raises(GatewayError, match="has ended"):
        await sessions.identify(token)


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_session_used_in_another_process_is_not_idle(
    in_process_gateway: InProcessGateway, profile: Profile, serve: Serve, clock: Clock
) -> None:
    here, there = (serve(timedelta(hours=3), timedelta(days=1)) for _ in range(2))
    token = await opened(in_process_gateway, here, profile)
    await here.identify(token)
    for _ in range(4):
        clock.advance(hours=0.9)
        await there.identify(token)
    assert (await here.identify(token)).profile_id == profile.id


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_session_in_use_ends_at_its_maximum_lifetime(
    in_process_gateway: InProcessGateway, profile: Profile, serve: Serve, clock: Clock
) -> None:
    sessions = serve(timedelta(days=1), timedelta(hours=2))
    token = await opened(in_process_gateway, sessions, profile)
    clock.advance(hours=1.99)
    assert (await sessions.identify(token)).session_id
    clock.advance(hours=0.01)
    with pytest.raises(GatewayError, match="has ended"):
        await sessions.identify(token)


@pytest.mark.databases("sqlite", "postgresql")
async def test_expired_sessions_are_deleted_at_the_next_login(
    in_process_gateway: InProcessGateway, profile: Profile, serve: Serve, clock: Clock
) -> None:
    sessions = serve(timedelta(hours=1), timedelta(days=1))
    await opened(in_process_gateway, sessions, profile)
    clock.advance(hours=2)
    await opened(in_process_gateway, sessions, profile)
    async with in_process_gateway.db.read() as session:
        rows = await (await session.connection()).exec_driver_sql("SELECT * FROM console_sessions")
        assert len(rows.all()) == 1


async def test_requests_of_a_session_write_nothing_and_hardly_read(
    served_gateway: ServedGateway, ada: Profile
) -> None:
    browser = await served_gateway.browser(ada)
    with statements(served_gateway.db) as asked:
        for _ in range(20):
            assert (await browser.get("/node/deployments/presets/")).status_code == 200
    assert [statement for statement in asked if "console_sessions" in statement] == []


async def test_an_invalid_token_never_reaches_the_database(served_gateway: ServedGateway) -> None:
    with statements(served_gateway.db) as asked:
        for token in ("", "short", "\u00fc" * 43, "x" * 10_000):
            with pytest.raises(GatewayError, match="has ended"):
                await served_gateway.container.sessions.identify(token)
    assert asked == []


@pytest.mark.databases("sqlite", "postgresql")
async def test_sessions_are_listed_and_ended_by_their_user(
    served_gateway: ServedGateway, ada: Profile
) -> None:
    phone = served_gateway.client(**{"user-agent": "Phone/1"})
    await phone.post(SESSION, json={"email": ada.email, "password": PASSWORD})
    laptop = await served_gateway.browser(ada)
    listed = (await laptop.get(SESSIONS)).json()["items"]
    assert [(one["user_agent"], one["current"]) for one in listed] == [
        (None, True),
        ("Phone/1", False),
    ]
    assert listed[1]["address"] == "127.0.0.1"
    ended = await laptop.delete(f"{SESSIONS}{listed[1]['id']}/")
    assert ended.status_code == 204
    assert (await phone.get(SESSION)).json()["code"] == "session_invalid"
    assert len((await laptop.get(SESSIONS)).json()["items"]) == 1
    assert (await laptop.delete(f"{SESSIONS}{listed[1]['id']}/")).status_code == 404


async def test_logging_out_ends_the_session_and_takes_the_cookie_away(
    served_gateway: ServedGateway, ada: Profile
) -> None:
    browser = await served_gateway.browser(ada)
    token = browser.cookies["slipstream_session"]
    answer = await browser.delete(SESSION)
    assert answer.status_code == 204
    cleared = answer.headers.get_list("set-cookie")
    assert [cookie.partition("=")[0] for cookie in cleared] == [
        "slipstream_session",
        "__Host-slipstream_session",
    ]
    assert all("Max-Age=0" in cookie for cookie in cleared)
    again = served_gateway.client(cookie=f"slipstream_session={token}")
    assert (await again.get(SESSION)).status_code == 401


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_new_password_needs_the_old_one_and_ends_all_other_sessions(
    served_gateway: ServedGateway, ada: Profile
) -> None:
    here, elsewhere = await served_gateway.browser(ada), await served_gateway.browser(ada)
    path = f"{SESSION}password/"
    wrong = await here.post(path, json={"old_password": "x", "new_password": NEW_PASSWORD})
    assert (wrong.status_code, wrong.json()["code"]) == (401, "login_failed")
    weak = await here.post(path, json={"old_password": PASSWORD, "new_password": "short"})
    assert (weak.status_code, weak.json()["code"]) == (422, "validation_failed")
    good = await here.post(path, json={"old_password": PASSWORD, "new_password": NEW_PASSWORD})
    assert good.status_code == 204
    await served_gateway.container.feed.poll()
    assert (await here.get(SESSION)).status_code == 200
    assert (await elsewhere.get(SESSION)).status_code == 401
    for password, status in ((PASSWORD, 401), (NEW_PASSWORD, 200)):
        body = {"email": ada.email, "password": password}
        assert (await served_gateway.client().post(SESSION, json=body)).status_code == status


async def test_a_key_takes_precedence_over_a_cookie(
    served_gateway: ServedGateway, ada: Profile
) -> None:
    bob = await served_gateway.user("bob@example.com")
    browser = await served_gateway.browser(ada)
    key = (await served_gateway.key_client(bob, Scope.MANAGE)).headers["x-api-key"]
    del browser.headers["x-csrf-token"]
    made = await browser.post("/node/flows/", json=flow_json(), headers={"x-api-key": key})
    assert made.status_code == 201, "a key needs no CSRF token"
    assert (await browser.get("/node/flows/")).json()["items"] == []


async def test_a_session_calls_a_deployment_and_the_run_has_no_key(
    served_gateway: ServedGateway, ada: Profile
) -> None:
    browser = await served_gateway.browser(ada)
    flow = (await browser.post("/node/flows/", json=flow_json())).json()
    body = {"flow_id": flow["id"], "execution_mode": "async"}
    deployment = (await browser.post("/node/deployments/", json=body)).json()["id"]
    call = f"/node/deployment-trigger/{deployment}/"
    answer = await browser.post(call, json={"input_data": {"x": [[1, 2, 3, 4]]}})
    assert answer.status_code == 202, answer.text
    (run,) = (await browser.get("/node/flow-runs/")).json()["items"]
    assert (run["deployment_id"], run["api_key_id"]) == (deployment, None)
    del browser.headers["x-csrf-token"]
    forged = await browser.post(call, json={})
    assert (forged.status_code, forged.json()["code"]) == (403, "csrf_failed")


@pytest.fixture
async def two_houses(database: Database, settings: Settings) -> AsyncIterator[list[ServedGateway]]:
    """Two gateways on one database that hear of each other's writes."""
    houses = [ServedGateway(settings) for _ in range(2)]
    for each in houses:
        await each.open(follows=True)
    yield houses
    for each in houses:
        await each.close()


async def _until(client: httpx.AsyncClient, path: str, status: int) -> None:
    for _ in range(400):
        answer = await client.get(path)
        if answer.status_code == status:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(answer.text)


async def test_a_session_ended_in_one_process_ends_in_all(two_houses: list[ServedGateway]) -> None:
    here, there = two_houses
    ada = await here.user("ada@example.com", Role.OWNER)
    bob = await here.user("bob@example.com")
    administrator = await here.browser(ada)
    browser, key = await there.browser(bob), await there.key_client(bob, Scope.MANAGE)
    phone = await there.browser(bob)
    assert (await key.get("/node/flows/")).status_code == 200

    listed = (await (await here.browser(bob)).get(SESSIONS)).json()["items"]
    (phones,) = [one["id"] for one in listed if one["id"] == await _id_of(phone)]
    await here.container.sessions.end(bob.id, phones)
    await _until(phone, SESSION, 401)
    assert (await browser.get(SESSION)).status_code == 200

    assert (await administrator.delete(f"/node/users/{bob.id}/sessions/")).status_code == 204
    await _until(browser, SESSION, 401)
    assert (await key.get("/node/flows/")).status_code == 200

    change = {"state": "deactivated"}
    assert (await administrator.patch(f"/node/users/{bob.id}/", json=change)).is_success
    await _until(key, "/node/flows/", 401)
    refused = await key.get("/node/flows/")
    assert refused.json()["code"] == "api_key_deactivated"
    await here.services.users.change(bob.id, UserChange(state=UserState.ACTIVE), by=None)
    await _until(key, "/node/flows/", 200)
    assert (await browser.get(SESSION)).status_code == 401, "sessions do not come back"


async def _id_of(browser: httpx.AsyncClient) -> str:
    found: str = (await browser.get(SESSION)).json()["session_id"]
    return found
