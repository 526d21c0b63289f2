"""Logging in, and what is done against guessing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from ipaddress import ip_network

import httpx
import pytest
from argon2 import PasswordHasher

from gateway.accounts import passwords
from gateway.accounts.login_queue import MAX_WAITING, LoginQueue
from gateway.accounts.login_throttle import (
    MAX_FAILURES_PER_ADDRESS,
    MAX_FAILURES_PER_EMAIL,
    LoginThrottle,
)
from gateway.accounts.users import UserChange, UserState
from gateway.auth.identity import Role
from gateway.errors import GatewayError
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.storage.tables import Profile
from tests.gateway.in_process_gateway import InProcessGateway
from tests.gateway.served_gateway import PASSWORD, ServedGateway

SESSION = "/node/session/"


@pytest.fixture
async def ada(served_gateway: ServedGateway) -> Profile:
    return await served_gateway.user("ada@example.com", Role.ADMIN)


async def log_in(
    client: httpx.AsyncClient, email: str = "ada@example.com", password: str = PASSWORD
) -> httpx.Response:
    return await client.post(SESSION, json={"email": email, "password": password})


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_password_opens_a_session_that_no_script_and_no_other_site_gets(
    served_gateway: ServedGateway, ada: Profile
) -> None:
    browser = served_gateway.client()
    answer = await log_in(browser, " Ada@Example.com ")
    assert answer.status_code == 200, answer.text
    name, *attributes = answer.headers["set-cookie"].split("; ")
    assert name.startswith("slipstream_session=")
    assert {attribute.lower() for attribute in attributes} == {
        "httponly",
        "samesite=strict",
        "path=/",
        "max-age=2592000",
    }
    assert answer.headers["cache-control"] == "no-store"
    assert (answer.json()["user"]["id"], answer.json()["user"]["role"]) == (ada.id, "admin")
    shown = await browser.get(SESSION)
    assert shown.json() == answer.json()
    assert shown.headers["cache-control"] == "no-store"


async def test_by_tls_or_behind_a_proxy_the_cookie_is_for_this_host_and_tls_only(
    database: Database, settings: Settings
) -> None:
    for given, url in ((settings, "https://office"), (_secure(settings), "http://office")):
        in_process_gateway = InProcessGateway(given)
        if url.startswith("https"):
            await in_process_gateway.services.users.create(
                "ada@example.com", Role.MEMBER, PASSWORD, by=None
            )
        browser = in_process_gateway.client({})
        browser.base_url = httpx.URL(url)
        cookie = (await log_in(browser)).headers["set-cookie"]
        assert cookie.startswith("__Host-slipstream_session=")
        assert {"Secure", "HttpOnly", "Path=/"} <= set(cookie.split("; "))
        assert "domain" not in cookie.lower()
        token = cookie.partition(";")[0]
        shown = await in_process_gateway.client({"cookie": f"theme=dark; {token}; x"}).get(SESSION)
        assert shown.status_code == 200
        await in_process_gateway.close()


def _secure(settings: Settings) -> Settings:
    return settings.model_copy(update={"secure_cookies": True})


async def test_every_failed_login_gets_the_same_response(
    served_gateway: ServedGateway, ada: Profile
) -> None:
    users = served_gateway.services.users
    asleep = await served_gateway.user("asleep@example.com")
    await users.change(asleep.id, UserChange(state=UserState.DEACTIVATED), by=None)
    await users.create("new@example.com", Role.MEMBER, None, by=None)
    client = served_gateway.client()
    answers = [
        await log_in(client, password="not the password"),
        await log_in(client, "unknown@example.com"),
        await log_in(client, "asleep@example.com"),
        await log_in(client, "new@example.com"),
        await log_in(client, "no address"),
        await log_in(client, password=""),
        await log_in(client, password=PASSWORD * 150),
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert {(answer.json()["code"], answer.json()["message"]) for answer in answers} == {
        ("login_failed", "e-mail address or password is wrong, or the user is deactivated")
    }
    assert not any("set-cookie" in answer.headers for answer in answers)


@pytest.fixture
def real_password_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash at the product's cost, not at the one of tests/conftest.py."""
    monkeypatch.setattr(passwords, "_MEMORY_KIB", 64 * 1024)
    monkeypatch.setattr(passwords, "_TIME_COST", 3)


@pytest.mark.long
@pytest.mark.usefixtures("real_password_hashes")
async def test_rejecting_an_unknown_user_takes_as_long(
    served_gateway: ServedGateway, ada: Profile
) -> None:
    async def fastest(email: str) -> float:
        seconds = []
        for _ in range(3):
            began = time.process_time()  # of all threads: other processes do not count
            assert (
                await log_in(served_gateway.client(), email, "not the password")
            ).status_code == 401
            seconds.append(time.process_time() - began)
        return min(seconds)

    assert await fastest("unknown@example.com") > 0.5 * await fastest("ada@example.com")


async def test_the_event_loop_is_not_blocked_while_passwords_are_checked(
    served_gateway: ServedGateway, ada: Profile
) -> None:
    # A hash of the real cost takes a tenth of a second; on the loop, each allows a few ticks.
    served_gateway.services.passwords._hasher = PasswordHasher(time_cost=3, memory_cost=64 * 1024)
    guesses = asyncio.gather(
        *(log_in(served_gateway.client(), f"guess{n}@example.com") for n in range(6))
    )
    ticks = 0
    while not guesses.done():
        await asyncio.sleep(0.005)
        ticks += 1
    assert ticks > 40, ticks
    assert {answer.status_code for answer in await guesses} == {401}


@pytest.mark.databases("sqlite", "postgresql")
async def test_after_too_many_failures_even_the_right_password_is_rejected(
    served_gateway: ServedGateway, ada: Profile
) -> None:
    await served_gateway.user("bob@example.com")
    client = served_gateway.client()
    for _ in range(MAX_FAILURES_PER_EMAIL):
        assert (await log_in(client, password="wrong")).status_code == 401
    refused = await log_in(client, "ADA@example.com")
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_failures")
    assert 0 < int(refused.headers["retry-after"]) <= 15 * 60
    assert (await log_in(client, "bob@example.com")).status_code == 200


async def test_a_successful_login_resets_the_count(
    served_gateway: ServedGateway, ada: Profile
) -> None:
    client = served_gateway.client()
    for _ in range(3):
        for _ in range(MAX_FAILURES_PER_EMAIL - 1):
            await served_gateway.container.login._throttle.begin(ada.email, "10.0.0.1")
        assert (await log_in(client)).status_code == 200


@pytest.mark.databases("sqlite", "postgresql")
async def test_concurrent_guesses_are_limited_like_sequential_ones(
    served_gateway: ServedGateway, ada: Profile
) -> None:
    guesses = (
        log_in(served_gateway.client(), password=f"guess {n}")
        for n in range(3 * MAX_FAILURES_PER_EMAIL)
    )
    statuses = [answer.status_code for answer in await asyncio.gather(*guesses)]
    assert sorted(set(statuses)) == [401, 429]
    assert statuses.count(401) == MAX_FAILURES_PER_EMAIL


@pytest.fixture
async def proxied(database: Database, settings: Settings) -> AsyncIterator[ServedGateway]:
    """A gateway that trusts every peer on this machine as a proxy."""
    changes = {"trusted_proxies": (ip_network("127.0.0.0/8"),)}
    opened = ServedGateway(settings.model_copy(update=changes))
    await opened.open()
    yield opened
    await opened.close()


@pytest.mark.databases("sqlite", "postgresql")
async def test_many_logins_of_one_address_do_not_delay_those_of_another(
    proxied: ServedGateway,
) -> None:
    await proxied.user("ada@example.com", Role.OWNER)
    proxied.services.passwords._hasher = PasswordHasher(time_cost=1, memory_cost=64 * 1024)
    attacker = proxied.client(**{"x-forwarded-for": "192.0.2.1"})
    guesses = [
        asyncio.create_task(log_in(attacker, f"guess{number}@example.com")) for number in range(60)
    ]
    refused, _ = await asyncio.wait(guesses, return_when=asyncio.FIRST_COMPLETED)
    assert {task.result().status_code for task in refused} == {429}, "while others are checked"
    before = sum(task.done() and task.result().status_code == 401 for task in guesses)
    user = proxied.client(**{"x-forwarded-for": "192.0.2.2"})
    assert (await log_in(user)).status_code == 200
    checked = sum(task.done() and task.result().status_code == 401 for task in guesses) - before
    assert checked <= 4, "it takes two hashes, as the stored one has other parameters"
    answers = await asyncio.gather(*guesses)
    statuses = [answer.status_code for answer in answers]
    assert (statuses.count(401), statuses.count(429)) == (MAX_WAITING + 1, 59 - MAX_WAITING)
    turned_away = next(answer for answer in answers if answer.status_code == 429)
    assert turned_away.json()["code"] == "overloaded"
    assert int(turned_away.headers["retry-after"]) >= 1
    metrics = (await user.get("/metrics")).text
    assert f'requests_refused_total{{reason="address_logins"}} {59 - MAX_WAITING}' in metrics


async def test_an_address_without_logins_takes_no_memory() -> None:
    queue = LoginQueue(lambda _: None)
    for address in ("192.0.2.1", "2001:db8::1", None):
        async with queue.turn(address):
            pass
    assert not queue._locks
    assert not queue._attempts


@pytest.fixture
def throttle(in_process_gateway: InProcessGateway) -> LoginThrottle:
    return LoginThrottle(in_process_gateway.db, in_process_gateway.services.hasher)


@pytest.mark.databases("sqlite", "postgresql")
async def test_an_address_that_guesses_for_many_users_is_blocked(
    throttle: LoginThrottle,
) -> None:
    for number in range(MAX_FAILURES_PER_ADDRESS):
        await throttle.begin(f"user{number}@example.com", "192.0.2.1")
    for address in ("192.0.2.1", "::ffff:192.0.2.1"):
        with pytest.raises(GatewayError, match="too many failed logins"):
            await throttle.begin("another@example.com", address)
    await throttle.begin("another@example.com", "192.0.2.2")


async def test_all_addresses_of_a_network_of_version_6_count_as_one(
    throttle: LoginThrottle,
) -> None:
    for number in range(MAX_FAILURES_PER_ADDRESS):
        await throttle.begin(f"user{number}@example.com", f"2001:db8::{number:x}:1")
    with pytest.raises(GatewayError, match="too many failed logins"):
        await throttle.begin("another@example.com", "2001:db8::ffff:1")
    await throttle.begin("another@example.com", "2001:db8:0:1::1")


async def test_text_typed_into_the_wrong_field_is_not_stored(
    served_gateway: ServedGateway, ada: Profile
) -> None:
    client = served_gateway.client()
    for _ in range(MAX_FAILURES_PER_EMAIL):
        await log_in(client, "my secret typed into the wrong field", "x")
    async with served_gateway.db.read() as session:
        connection = await session.connection()
        for table in ("login_failures", "audit_acts"):
            kept = repr((await connection.exec_driver_sql(f"SELECT * FROM {table}")).all())
            assert "secret" not in kept
            assert "127.0.0.1" not in kept, (
                "failures for unknown users do not store the address either"
            )


async def test_a_page_of_another_site_cannot_log_in(
    served_gateway: ServedGateway, ada: Profile
) -> None:
    body = {"email": ada.email, "password": PASSWORD}
    for headers in (
        {"origin": "https://evil.example"},
        {"origin": "http://127.0.0.1:1"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
    ):
        answer = await served_gateway.client(**headers).post(SESSION, json=body)
        assert (answer.status_code, answer.json()["code"]) == (403, "csrf_failed"), headers
    ours = {"origin": served_gateway.url, "sec-fetch-site": "same-origin"}
    assert (await served_gateway.client(**ours).post(SESSION, json=body)).status_code == 200


async def test_configured_console_origins_are_accepted(
    database: Database, settings: Settings
) -> None:
    named = settings.model_copy(update={"console_origins": ("https://Console.example/",)})
    in_process_gateway = InProcessGateway(named)
    await in_process_gateway.services.users.create(
        "ada@example.com", Role.MEMBER, PASSWORD, by=None
    )
    for origin, status in (("https://console.example", 200), ("https://other.example", 403)):
        assert (await log_in(in_process_gateway.client({"origin": origin}))).status_code == status
    await in_process_gateway.close()


async def test_a_second_login_ends_the_previous_session(
    served_gateway: ServedGateway, ada: Profile
) -> None:
    browser, other = served_gateway.client(), served_gateway.client()
    await log_in(browser)
    old = browser.cookies["slipstream_session"]
    await log_in(other)
    await log_in(browser)
    assert browser.cookies["slipstream_session"] != old
    refused = await served_gateway.client(cookie=f"slipstream_session={old}").get(SESSION)
    assert (refused.status_code, refused.json()["code"]) == (401, "session_invalid")
    assert (await other.get(SESSION)).status_code == 200, "another browser's is left alone"


async def test_login_errors_do_not_contain_the_password(
    served_gateway: ServedGateway,
) -> None:
    for body in (
        {"email": "a@b.c", "password": ["hidden-word"]},
        {"password": "hidden-word"},
        {"email": "a@b.c", "password": "x", "passwort": "hidden-word"},
        ["hidden-word"],
    ):
        answer = await served_gateway.client().post(SESSION, json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
        assert "hidden-word" not in answer.text
