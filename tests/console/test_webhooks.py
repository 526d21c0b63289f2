"""Webhooks: what was sent, sent again, signed with a new secret, and checked."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from standardwebhooks.webhooks import WebhookVerificationError

from tests.console.conftest import installation, owner_of
from tests.console.watched_page import WEBHOOK_SECRET, WatchedPage
from tests.gateway.webhooks.receiver import Message, Receiver
from tests.slipstream.running import LOOPBACK, Up

pytestmark = pytest.mark.services

_SECONDS = 30.0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """An installation that may send webhooks to this machine."""
    yield from installation(tmp_path_factory.mktemp("console") / "state", **LOOPBACK)


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    """A program that takes webhooks."""
    started = Receiver(tmp_path)
    yield started
    started.close()


@pytest.fixture
def inbox(running: Up, receiver: Receiver) -> Callable[[str], tuple[str, str]]:
    """Makes a deployment that sends its events to a path of the receiver, and calls it once."""

    def deploy(path: str) -> tuple[str, str]:
        webhook = {"notification_method": "webhook", "callback_url": receiver.url(path)}
        with owner_of(running) as owner:
            (demo, *_) = owner.get("/node/deployments/").json()["items"][::-1]
            body = {"flow_id": demo["flow_id"], "name": f"To {path}", "execution_mode": "fast"}
            answer = owner.post("/node/deployments/", json={**body, **webhook})
            made = answer.raise_for_status().json()
            call = f"/node/deployment-trigger/{made['id']}/"
            while not owner.get("/v2/models/iris/ready").is_success:
                time.sleep(0.05)
            called = owner.post(call, json={"input_data": {"x": [[5.1, 3.5, 1.4, 0.2]]}})
            assert called.is_success, called.text
        return made["id"], made["webhook_secret"]

    return deploy


def received(receiver: Receiver, count: int) -> list[Message]:
    """Wait until the receiver has so many messages, and return them."""
    deadline = time.monotonic() + _SECONDS
    while len(found := receiver.messages()) < count:
        assert time.monotonic() < deadline, f"expected {count} messages, got {len(found)}"
        time.sleep(0.05)
    return found


def choose(page: Page, name: str, action: str) -> None:
    """Choose an action in the menu of an endpoint."""
    page.get_by_role("button", name=f"Actions for {name}").click()
    page.get_by_role("menuitem", name=action, exact=True).click()


@pytest.mark.usefixtures("at_flows")
def test_a_delivery_is_followed_sent_again_and_signed_with_a_new_secret(
    logged_in: WatchedPage,
    running: Up,
    receiver: Receiver,
    inbox: Callable[[str], tuple[str, str]],
) -> None:
    page = logged_in.page
    deployment, old = inbox("flaky/2")
    logged_in.follow("Webhooks")
    page.get_by_role("link", name="run.completed").first.wait_for()
    page.get_by_role("link", name="run.completed").first.click()
    received(receiver, 2)
    page.get_by_text("Delivered · 200").wait_for()
    page.get_by_text("Failed · 500").wait_for()
    page.get_by_text("webhook-signature").wait_for()
    copied = logged_in.copied_by(logged_in.button("Copy as cURL"))
    assert copied.startswith(f"curl -X POST '{receiver.url('flaky/2')}'")
    logged_in.press("Send again")
    first, *_, third = received(receiver, 3)
    assert third.id == first.id
    third.verify(old)

    logged_in.follow("Endpoints")
    page.get_by_role("cell", name="To flaky/2", exact=True).wait_for()
    choose(page, "To flaky/2", "Rotate the secret")
    logged_in.press("Rotate the secret")
    logged_in.dialog("Save your webhook secret").wait_for()
    logged_in.check_accessibility()
    new = logged_in.copied_by(logged_in.button("Copy secret"))
    assert WEBHOOK_SECRET.fullmatch(new)
    variable = logged_in.copied_by(logged_in.button("Copy line")).removesuffix(f"={new}")
    receivers = {"language": "python", "variant": "webhook"}
    with owner_of(running) as owner:
        code = owner.get(f"/node/deployments/{deployment}/examples/", params=receivers).text
    assert f'os.environ.get(\\"{variable}\\")' in code
    page.get_by_role("checkbox", name="I saved it").click()
    logged_in.dialog("Save your webhook secret").get_by_role("button", name="Close").last.click()
    page.get_by_text("both secrets sign for").wait_for()
    logged_in.check_accessibility()

    choose(page, "To flaky/2", "Send a test")
    logged_in.dialog("Test of To flaky/2").get_by_text("500").wait_for()
    test = received(receiver, 4)[-1]
    for secret in (old, new):
        test.verify(secret)
    logged_in.dialog("Test of To flaky/2").get_by_role("button", name="Close").last.click()
    choose(page, "To flaky/2", "End the overlap")
    page.get_by_text("both secrets sign for").wait_for(state="hidden")
    choose(page, "To flaky/2", "Send a test")
    last = received(receiver, 5)[-1]
    last.verify(new)
    with pytest.raises(WebhookVerificationError):
        last.verify(old)


def test_held_events_are_sent_when_the_webhook_is_enabled(
    logged_in: WatchedPage,
    running: Up,
    receiver: Receiver,
    inbox: Callable[[str], tuple[str, str]],
) -> None:
    page = logged_in.page
    deployment, _ = inbox("ok")
    received(receiver, 1)
    logged_in.open("/webhooks/endpoints")
    choose(page, "To ok", "Disable")
    page.get_by_role("row", name="To ok").get_by_text("Disabled").wait_for()
    call = f"/node/deployment-trigger/{deployment}/"
    with owner_of(running) as owner:
        owner.post(call, json={"input_data": {"x": [[5.1, 3.5, 1.4, 0.2]]}}).raise_for_status()
    logged_in.open(f"/webhooks?deployment={deployment}&status=held")
    page.get_by_role("link", name="run.completed").wait_for()
    assert page.get_by_label("Status").input_value() == "held"
    logged_in.follow("Endpoints")
    choose(page, "To ok", "Enable and replay held events")
    page.get_by_text("is enabled; 1 held event is sent.").first.wait_for()
    assert len({message.id for message in received(receiver, 2)}) == 2

    choose(page, "To ok", "Choose events")
    page.get_by_role("checkbox", name="run.started").click()
    logged_in.press("Save")
    page.get_by_text("run.started, run.completed, run.failed").wait_for()


def test_a_paused_webhook_is_resumed(
    logged_in: WatchedPage, receiver: Receiver, inbox: Callable[[str], tuple[str, str]]
) -> None:
    page = logged_in.page
    inbox("later/600/429")
    received(receiver, 1)
    logged_in.open("/webhooks/endpoints")
    row = page.get_by_role("row", name="To later/600/429")
    row.get_by_text("nothing is sent for").wait_for()
    logged_in.check_accessibility()
    choose(page, "To later/600/429", "Resume sending")
    page.get_by_text("What waits for To later/600/429 is sent now.").first.wait_for()
    first, second = received(receiver, 2)
    assert first.id == second.id


def test_failed_deliveries_are_replayed(
    logged_in: WatchedPage, receiver: Receiver, inbox: Callable[[str], tuple[str, str]]
) -> None:
    page = logged_in.page
    deployment, _ = inbox("abort")
    received(receiver, 1)
    logged_in.open(f"/webhooks?deployment={deployment}&status=failed")
    page.get_by_role("link", name="run.completed").wait_for()
    logged_in.press("Replay failed")
    logged_in.press("Replay")
    page.get_by_text("1 event is sent again.").first.wait_for()
    one, two = received(receiver, 2)
    assert one.id == two.id


def test_the_check_marks_what_is_wrong(
    logged_in: WatchedPage, receiver: Receiver, inbox: Callable[[str], tuple[str, str]]
) -> None:
    page = logged_in.page
    _, secret = inbox("ok")
    (message,) = received(receiver, 1)
    headers = "\n".join(f"{name}: {value}" for name, value in message.headers.items())
    logged_in.open("/webhooks/check")
    page.get_by_label("Headers, one a line").fill(headers)
    page.get_by_label("Body, as received").fill(message.body)
    page.get_by_label("Secret", exact=True).fill(secret)
    logged_in.press("Check")
    page.get_by_text("The signature is valid").wait_for()
    logged_in.check_accessibility()

    again = json.dumps(json.loads(message.body), indent=1)
    page.get_by_label("Body, as received").fill(again)
    logged_in.press("Check")
    page.get_by_text("A receiver refuses this request").wait_for()
    wrong = page.get_by_label("Body, as received")
    assert wrong.get_attribute("aria-invalid") == "true"
    assert page.get_by_label("Headers, one a line").get_attribute("aria-invalid") is None
    logged_in.check_accessibility()


@pytest.mark.usefixtures("at_flows")
def test_newer_deliveries_do_not_move_the_rows(
    logged_in: WatchedPage, inbox: Callable[[str], tuple[str, str]]
) -> None:
    inbox("ok")
    logged_in.follow("Webhooks")
    logged_in.page.get_by_role("link", name="run.completed").first.wait_for()
    rows = logged_in.page.locator("main tbody tr")
    before = rows.count()
    inbox("ok")
    logged_in.button("Show 1 newer").wait_for()
    expect(rows).to_have_count(before)
    logged_in.check_accessibility()
    logged_in.press("Show 1 newer")
    expect(rows).to_have_count(before + 1)
