"""Invitations: a link with which a user sets a password, once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from sqlalchemy import update

from gateway.accounts.invitations import INVITATION_LIFETIME
from gateway.accounts.login_throttle import MAX_FAILURES_PER_EMAIL
from gateway.accounts.passwords import PasswordService
from gateway.auth.identity import Role
from gateway.storage.account_tables import Invitation
from gateway.storage.tables import Profile
from tests.gateway.audit.audit_log_entries import acts_in
from tests.gateway.databases import rows_with
from tests.gateway.served_gateway import PASSWORD, ServedGateway

ACCEPT = "/node/session/invitation/"
NEW_PASSWORD = "vier bunte heften pferde"


@pytest.fixture
async def ada(served_gateway: ServedGateway) -> httpx.AsyncClient:
    """An owner's browser."""
    return await served_gateway.browser(await served_gateway.user("ada@example.com", Role.OWNER))


@pytest.fixture
async def bob(served_gateway: ServedGateway) -> Profile:
    """A member without a password."""
    return await served_gateway.services.users.create("bob@example.com", Role.MEMBER, None, by=None)


async def invite(client: httpx.AsyncClient, user: Profile) -> str:
    """Return the token of a new invitation."""
    answer = await client.post(f"/node/users/{user.id}/invitation/")
    assert answer.status_code == 201, answer.text
    url: str = answer.json()["url"]
    return url.partition("#token=")[2]


async def accept(
    client: httpx.AsyncClient, token: str, password: str = NEW_PASSWORD
) -> httpx.Response:
    return await client.post(ACCEPT, json={"token": token, "password": password})


def refusal(answer: httpx.Response) -> tuple[int, str]:
    assert "set-cookie" not in answer.headers
    return answer.status_code, answer.json()["code"]


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_user_sets_a_password_with_the_link_and_is_logged_in(
    served_gateway: ServedGateway, ada: httpx.AsyncClient, bob: Profile
) -> None:
    made = await ada.post(f"/node/users/{bob.id}/invitation/")
    assert made.headers["cache-control"] == "no-store"
    assert made.json()["url"].startswith(f"{served_gateway.url}/console/invite#token=")
    left = datetime.fromisoformat(made.json()["expires_at"]) - datetime.now(UTC)
    assert timedelta(hours=71.9) < left <= INVITATION_LIFETIME == timedelta(hours=72)
    browser = served_gateway.client()
    answer = await accept(browser, made.json()["url"].partition("#token=")[2])
    assert answer.status_code == 200, answer.text
    assert (answer.json()["user"]["id"], answer.json()["user"]["has_password"]) == (bob.id, True)
    assert (await browser.get("/node/session/")).json() == answer.json()
    login = {"email": bob.email, "password": NEW_PASSWORD}
    assert (await served_gateway.client().post("/node/session/", json=login)).is_success


async def test_the_token_has_128_bits_and_is_stored_as_a_hash_only(
    served_gateway: ServedGateway, ada: httpx.AsyncClient, bob: Profile
) -> None:
    token = await invite(ada, bob)
    assert len(bytes.fromhex(token)) == 16
    assert not any((await rows_with(served_gateway.db, {token})).values())


@pytest.mark.databases("sqlite", "postgresql")
async def test_it_works_once_and_a_newer_one_ends_it(
    served_gateway: ServedGateway, ada: httpx.AsyncClient, bob: Profile
) -> None:
    first, second = await invite(ada, bob), await invite(ada, bob)
    assert refusal(await accept(served_gateway.client(), first)) == (410, "invitation_invalid")
    assert (await accept(served_gateway.client(), second)).is_success
    assert refusal(await accept(served_gateway.client(), second)) == (410, "invitation_invalid")


@pytest.mark.databases("sqlite", "postgresql")
async def test_of_two_gateways_one_redeems_it(
    served_gateway: ServedGateway,
    ada: httpx.AsyncClient,
    bob: Profile,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = ServedGateway(served_gateway.container.settings)
    await other.open()
    arrived = asyncio.Barrier(2)
    accept_password = PasswordService.accept

    async def accept_together(self: PasswordService, password: str, email: str) -> str:
        hashed = await accept_password(self, password, email)
        await arrived.wait()  # both have passed all checks but those of the transaction
        return hashed

    token = await invite(ada, bob)
    monkeypatch.setattr(PasswordService, "accept", accept_together)
    answers = await asyncio.gather(
        accept(served_gateway.client(), token), accept(other.client(), token)
    )
    assert sorted(answer.status_code for answer in answers) == [200, 410]
    await other.close()


@pytest.mark.databases("sqlite", "postgresql")
async def test_it_expires(
    served_gateway: ServedGateway, ada: httpx.AsyncClient, bob: Profile
) -> None:
    token = await invite(ada, bob)
    async with served_gateway.db.write() as session:
        await session.execute(update(Invitation).values(expires_at=datetime.now(UTC)))
    assert refusal(await accept(served_gateway.client(), token)) == (410, "invitation_invalid")


async def test_a_weak_password_leaves_the_link_valid(
    served_gateway: ServedGateway, ada: httpx.AsyncClient, bob: Profile
) -> None:
    token = await invite(ada, bob)
    weak = await accept(served_gateway.client(), token, "password1234")
    assert refusal(weak) == (422, "validation_failed")
    assert token not in weak.text
    assert (await accept(served_gateway.client(), token)).is_success


async def test_a_user_who_has_forgotten_the_password_gets_a_new_one_and_earlier_sessions_end(
    served_gateway: ServedGateway, ada: httpx.AsyncClient
) -> None:
    eve = await served_gateway.user("eve@example.com")
    old = await served_gateway.browser(eve)
    assert (await accept(served_gateway.client(), await invite(ada, eve))).is_success
    await served_gateway.container.feed.poll()
    assert (await old.get("/node/session/")).status_code == 401
    login = {"email": eve.email, "password": PASSWORD}
    assert (await served_gateway.client().post("/node/session/", json=login)).status_code == 401


async def test_an_admin_invites_neither_owners_nor_themselves(
    served_gateway: ServedGateway, ada: httpx.AsyncClient, bob: Profile
) -> None:
    eve = await served_gateway.user("eve@example.com", Role.ADMIN)
    admin = await served_gateway.browser(eve)
    owner = (await ada.get("/node/session/")).json()["user"]["id"]
    for user_id, refused in (
        (owner, (403, "role_forbidden")),
        (eve.id, (409, "conflict")),
        ("00000000-0000-4000-8000-000000000000", (404, "not_found")),
    ):
        assert refusal(await admin.post(f"/node/users/{user_id}/invitation/")) == refused
    assert await invite(admin, bob)


@pytest.mark.parametrize(
    "change", [{"state": "deactivated"}, {"password": PASSWORD}, {"role": "owner"}]
)
async def test_what_an_admin_decides_later_ends_it(
    served_gateway: ServedGateway, ada: httpx.AsyncClient, bob: Profile, change: dict[str, str]
) -> None:
    token = await invite(ada, bob)
    assert (await ada.patch(f"/node/users/{bob.id}/", json=change)).is_success
    assert refusal(await accept(served_gateway.client(), token)) == (410, "invitation_invalid")
    await ada.patch(f"/node/users/{bob.id}/", json={"state": "active"})
    assert refusal(await accept(served_gateway.client(), token)) == (410, "invitation_invalid")


async def test_a_deactivated_user_is_not_invited(
    served_gateway: ServedGateway, ada: httpx.AsyncClient, bob: Profile
) -> None:
    await ada.patch(f"/node/users/{bob.id}/", json={"state": "deactivated"})
    answer = await ada.post(f"/node/users/{bob.id}/invitation/")
    assert refusal(answer) == (409, "conflict")


async def test_a_changed_password_ends_it(
    served_gateway: ServedGateway, ada: httpx.AsyncClient
) -> None:
    eve = await served_gateway.user("eve@example.com")
    browser = await served_gateway.browser(eve)
    token = await invite(ada, eve)
    passwords = {"old_password": PASSWORD, "new_password": NEW_PASSWORD}
    assert (await browser.post("/node/session/password/", json=passwords)).is_success
    assert refusal(await accept(served_gateway.client(), token)) == (410, "invitation_invalid")


async def test_it_ends_the_session_that_the_browser_had(
    served_gateway: ServedGateway, ada: httpx.AsyncClient, bob: Profile
) -> None:
    token = await invite(ada, bob)
    before = ada.cookies["slipstream_session"]
    assert (await accept(ada, token)).is_success
    again = served_gateway.client(cookie=f"slipstream_session={before}")
    assert (await again.get("/node/session/")).status_code == 401


async def test_wrong_tokens_are_throttled_and_keep_no_right_one_out(
    served_gateway: ServedGateway, ada: httpx.AsyncClient, bob: Profile
) -> None:
    token = await invite(ada, bob)
    client = served_gateway.client()
    answers = [await accept(client, "0" * 32) for _ in range(MAX_FAILURES_PER_EMAIL + 1)]
    assert refusal(answers[0]) == (410, "invitation_invalid")
    assert refusal(answers[-1]) == (429, "too_many_failures")
    assert (await accept(client, token)).is_success


async def test_a_page_of_another_site_redeems_nothing(
    served_gateway: ServedGateway, ada: httpx.AsyncClient, bob: Profile
) -> None:
    foreign = served_gateway.client(origin="https://evil.example")
    assert refusal(await accept(foreign, await invite(ada, bob))) == (403, "csrf_failed")


async def test_the_audit_log_has_the_invitation_and_its_acceptance(
    served_gateway: ServedGateway, ada: httpx.AsyncClient, bob: Profile
) -> None:
    token = await invite(ada, bob)
    await accept(served_gateway.client(), token)
    acts = await acts_in(served_gateway.db)
    invited, accepted = (
        act for act in acts if act.action in ("user.invite", "user.accept_invitation")
    )
    assert (invited.subject_id, invited.actor_name) == (bob.id, "ada@example.com")
    assert (accepted.subject_id, accepted.actor_name) == (bob.id, bob.email)
    assert token not in str([(act.before, act.after, act.subject_name) for act in acts])
