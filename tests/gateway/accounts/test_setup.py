"""The first password, by the link that `slipstream up` prints."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import delete, select, update

from gateway.accounts import setup
from gateway.accounts.login_throttle import MAX_FAILURES_PER_ADDRESS, MAX_FAILURES_PER_EMAIL
from gateway.accounts.passwords import PasswordService
from gateway.accounts.setup import issue_setup_token
from gateway.auth.identity import Role
from gateway.auth.profiles import ensure_owner
from gateway.fleet.hosts import HostLease, HostStore
from gateway.storage.account_tables import SetupToken
from gateway.storage.sql import seconds_from_now
from gateway.storage.tables import Host, Profile
from tests.gateway.audit.audit_log_entries import acts_in
from tests.gateway.databases import rows_with
from tests.gateway.served_gateway import PASSWORD, ServedGateway

SETUP = "/node/setup/"
EMAIL = "ada@example.com"


async def host(served_gateway: ServedGateway, name: str = "one") -> str:
    """Return the id of a host that runs."""
    lease = await HostStore(served_gateway.db).claim(
        name=name, owner=name, has_ended=lambda _: False, joined=True
    )
    assert isinstance(lease, HostLease)
    later = update(Host).where(Host.id == lease.host_id)
    async with served_gateway.db.write() as session:  # no supervisor renews it here
        await session.execute(later.values(lease_until=seconds_from_now(3600)))
    return lease.host_id


async def issue(served_gateway: ServedGateway, host_id: str) -> str | None:
    return await issue_setup_token(served_gateway.db, served_gateway.services.hasher, host_id)


@pytest.fixture
async def owner(served_gateway: ServedGateway) -> Profile:
    """Whom each installation has from its first start on."""
    return await ensure_owner(served_gateway.db)


@pytest.fixture
async def token(served_gateway: ServedGateway, owner: Profile) -> str:
    """The token of the printed link."""
    made = await issue(served_gateway, await host(served_gateway))
    assert made is not None
    return made


async def set_up(
    client: httpx.AsyncClient, token: str, email: str = EMAIL, password: str = PASSWORD
) -> httpx.Response:
    return await client.post(SETUP, json={"token": token, "email": email, "password": password})


def refusal(answer: httpx.Response) -> tuple[int, str]:
    assert "set-cookie" not in answer.headers
    return answer.status_code, answer.json()["code"]


@pytest.mark.databases("sqlite", "postgresql")
async def test_it_gives_the_owner_an_address_and_a_password_and_logs_in(
    served_gateway: ServedGateway, owner: Profile, token: str
) -> None:
    browser = served_gateway.client()
    answer = await set_up(browser, token, " Ada@Example.com ")
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["user"]["id"] == owner.id
    assert (body["user"]["email"], body["user"]["role"]) == (EMAIL, "owner")
    assert body["user"]["has_password"] is True
    assert answer.headers["cache-control"] == "no-store"
    shown = await browser.get("/node/session/")
    assert shown.json() == body
    browser.headers["x-csrf-token"] = body["csrf_token"]
    assert (await browser.delete("/node/session/")).status_code == 204
    login = {"email": EMAIL, "password": PASSWORD}
    again = await served_gateway.client().post("/node/session/", json=login)
    assert again.status_code == 200
    assert set(again.json()) == set(body)
    names = [a.headers["set-cookie"].partition("=")[0] for a in (answer, again)]
    assert names == ["slipstream_session"] * 2


async def test_the_token_has_128_bits_and_is_stored_as_a_hash_only(
    served_gateway: ServedGateway, token: str
) -> None:
    assert len(bytes.fromhex(token)) == 16
    assert not any((await rows_with(served_gateway.db, {token})).values())


async def test_it_works_once(served_gateway: ServedGateway, token: str) -> None:
    client = served_gateway.client()
    assert (await set_up(client, token)).is_success
    for given in (token, "0" * 32):
        answer = await set_up(served_gateway.client(), given, "bob@example.com")
        assert refusal(answer) == (410, "setup_completed")
    async with served_gateway.db.read() as session:
        assert list(await session.execute(select(SetupToken))) == []
    assert await issue(served_gateway, await host(served_gateway)) is None


@pytest.mark.databases("sqlite", "postgresql")
async def test_of_two_people_who_use_the_link_at_once_one_becomes_the_owner(
    served_gateway: ServedGateway, token: str
) -> None:
    emails = [f"user{n}@example.com" for n in range(4)]
    answers = await asyncio.gather(
        *(set_up(served_gateway.client(), token, email) for email in emails)
    )
    assert sorted(answer.status_code for answer in answers) == [200, 410, 410, 410]
    (won,) = [answer.json()["user"]["email"] for answer in answers if answer.is_success]
    async with served_gateway.db.read() as session:
        profiles = list((await session.execute(select(Profile))).scalars())
    assert [profile.email for profile in profiles] == [won]


@pytest.mark.databases("sqlite", "postgresql")
async def test_two_gateways_agree_on_who_was_first(
    served_gateway: ServedGateway, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = ServedGateway(served_gateway.container.settings)
    await other.open()
    arrived = asyncio.Barrier(2)
    accept = PasswordService.accept

    async def accept_together(self: PasswordService, password: str, email: str) -> str:
        hashed = await accept(self, password, email)
        await arrived.wait()  # both have passed all checks but those of the transaction
        return hashed

    monkeypatch.setattr(PasswordService, "accept", accept_together)
    answers = await asyncio.gather(
        set_up(served_gateway.client(), token, "one@example.com"),
        set_up(other.client(), token, "two@example.com"),
    )
    assert sorted(answer.status_code for answer in answers) == [200, 410]
    await other.close()


async def test_a_wrong_token_is_refused(served_gateway: ServedGateway, token: str) -> None:
    wrong = "0" * 32 if token[0] != "0" else "1" * 32
    for given in (wrong, "", token[:-1], token.upper() + "0", "ä" * 32):
        answer = await set_up(served_gateway.client(), given)
        assert refusal(answer) == (401, "setup_token_invalid"), given
        assert given == "" or given not in answer.text
    assert (await set_up(served_gateway.client(), token)).is_success


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_new_start_ends_the_link_of_the_last_one_and_not_those_of_other_hosts(
    served_gateway: ServedGateway, owner: Profile
) -> None:
    one, two = await host(served_gateway), await host(served_gateway, "two")
    first, other = await issue(served_gateway, one), await issue(served_gateway, two)
    second = await issue(served_gateway, one)
    assert first is not None
    assert other is not None
    assert len({first, other, second}) == 3
    client = served_gateway.client()
    assert refusal(await set_up(client, first)) == (401, "setup_token_invalid")
    assert (await set_up(client, other)).is_success


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_link_ends_with_its_host(served_gateway: ServedGateway, owner: Profile) -> None:
    store = HostStore(served_gateway.db)
    host_id = await host(served_gateway)
    token = await issue(served_gateway, host_id)
    assert token is not None
    await store.release(HostLease(host_id=host_id, token=1))
    answer = await set_up(served_gateway.client(), token)
    assert refusal(answer) == (401, "setup_token_invalid")
    async with served_gateway.db.write() as session:
        await session.execute(delete(Host))
    async with served_gateway.db.read() as session:
        assert list(await session.execute(select(SetupToken))) == []


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_link_is_valid_for_a_day(served_gateway: ServedGateway, token: str) -> None:
    assert timedelta(days=1) == setup.TOKEN_LIFETIME
    async with served_gateway.db.write() as session:
        row = (await session.execute(select(SetupToken))).scalar_one()
        row.expires_at -= setup.TOKEN_LIFETIME
    answer = await set_up(served_gateway.client(), token)
    assert refusal(answer) == (401, "setup_token_invalid")


async def test_address_and_password_follow_the_rules_of_users(
    served_gateway: ServedGateway, token: str
) -> None:
    await served_gateway.services.users.create("bob@example.com", Role.MEMBER, None, by=None)
    client = served_gateway.client()
    for email, password, field in (
        (EMAIL, "short", "password"),
        (EMAIL, "passwordpassword", "password"),
        (EMAIL, EMAIL, "password"),
        ("no address", PASSWORD, "email"),
    ):
        answer = await set_up(client, token, email, password)
        assert refusal(answer) == (422, "validation_failed")
        assert answer.json()["message"].startswith(f"{field}: ")
        assert password not in answer.json()["message"] or password == EMAIL
    taken = await set_up(client, token, "bob@example.com")
    assert refusal(taken) == (409, "conflict")
    assert (await set_up(client, token)).is_success, "the link is still valid"


async def test_errors_of_the_body_repeat_nothing_of_it(
    served_gateway: ServedGateway, token: str
) -> None:
    body = {"token": token, "email": EMAIL, "password": 17, "secret": PASSWORD}
    answer = await served_gateway.client().post(SETUP, json=body)
    assert refusal(answer) == (422, "validation_failed")
    assert token not in answer.text
    assert PASSWORD not in answer.text


async def test_guesses_are_throttled_and_do_not_keep_the_owner_out(
    served_gateway: ServedGateway, token: str
) -> None:
    client = served_gateway.client()
    for _ in range(MAX_FAILURES_PER_EMAIL):
        assert refusal(await set_up(client, "0" * 32)) == (401, "setup_token_invalid")
    blocked = await set_up(client, "0" * 32)
    assert refusal(blocked) == (429, "too_many_failures")
    assert int(blocked.headers["retry-after"]) > 0
    for n in range(MAX_FAILURES_PER_ADDRESS - MAX_FAILURES_PER_EMAIL):
        answer = await set_up(client, "0" * 32, f"user{n}@example.com")
        assert refusal(answer) == (401, "setup_token_invalid")
    blocked = await set_up(client, "0" * 32, "new@example.com")
    assert refusal(blocked) == (429, "too_many_failures")
    (act,) = await acts_in(served_gateway.db)
    assert (act.action, act.subject_id) == ("address.fail_login", "127.0.0.1")
    while (answer := await set_up(client, token)).status_code == 429:
        assert answer.json()["code"] == "overloaded"  # a busy machine hashes passwords slowly
    assert answer.status_code == 200


async def test_the_audit_log_has_it(
    served_gateway: ServedGateway, owner: Profile, token: str
) -> None:
    answer = await set_up(served_gateway.client(), token)
    acts = await acts_in(served_gateway.db)
    assert [act.action for act in acts] == ["user.set_up", "session.create"]
    for act in acts:
        assert (act.actor_id, act.address) == (owner.id, "127.0.0.1")
        assert act.request_id == answer.headers["x-request-id"]
    told = f"{acts[0].before} {acts[0].after}"
    assert "admin@localhost" in told
    assert EMAIL in told
    assert PASSWORD not in told
    assert "argon2" not in told
    assert token not in told


async def test_no_other_page_can_send_it(served_gateway: ServedGateway, token: str) -> None:
    for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
        answer = await set_up(served_gateway.client(**headers), token)
        assert refusal(answer) == (403, "csrf_failed")


async def test_a_password_that_was_set_on_the_machine_completes_the_set_up(
    served_gateway: ServedGateway, owner: Profile, token: str
) -> None:
    await served_gateway.user("bob@example.com")
    assert refusal(await set_up(served_gateway.client(), token)) == (410, "setup_completed")
