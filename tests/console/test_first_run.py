"""From the first start to an own answered call, as a user goes there."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests import onnx_models
from tests.console.conftest import start
from tests.console.editing import EMAIL, PASSWORD, tab_to
from tests.console.watched_page import KEY, WatchedPage
from tests.slipstream.running import NO_WORKER, environment
from tests.timing import TIMEOUT_SECONDS

pytestmark = [pytest.mark.services, pytest.mark.timeout(400)]

MAX_SECONDS = 180


@pytest.fixture
def first_start(tmp_path: Path) -> Iterator[str]:
    """The printed link of an installation whose users have no password yet."""
    up, link = start(tmp_path / "state", *NO_WORKER)
    yield link
    assert up.stop() == 0


def test_from_the_set_up_link_to_an_answer_in_a_shell(
    first_start: str, watched: WatchedPage
) -> None:
    watched.page.goto(first_start)
    watched.heading("First start: make your account").wait_for()
    watched.announce("/node/setup/", 422)
    make_account(watched, "password1234")
    watched.page.get_by_text("expected one that is hard to guess").wait_for()
    make_account(watched, PASSWORD)
    make_flow_and_deploy(watched)

    with watched.page.expect_response(lambda response: response.url.endswith("/watch/")):
        watched.press("Copy call")
    watched.check_accessibility()
    command = watched.clipboard()
    assert KEY.search(command)
    answer = run_in_shell(command)
    assert answer["status"] == "completed"
    assert answer["output_data"]["label"] == [0]

    close_key_dialog(watched)
    watched.page.get_by_text(re.compile(r"X-API-Key: sk-\w{5}\*+\w{5}")).wait_for()
    watched.page.get_by_text("Ready").wait_for()
    watched.page.get_by_text("Your first call was answered.").wait_for()
    watched.page.get_by_text("curl from 127.0.0.1").wait_for()
    watched.check_accessibility()
    for link, shown in (
        ("Python", "Python: waits for completion and returns results · call_deployment.py"),
        ("Receive the webhook", "Python: receives the events of its runs · receive_webhooks.py"),
        ("gRPC", "tritonclient.grpc"),
    ):
        watched.follow(link)
        watched.page.get_by_text(shown).first.wait_for()
    watched.follow("Try it")
    watched.press("Send")
    watched.page.get_by_text("200 completed").wait_for()
    watched.follow("API keys")
    watched.page.get_by_role("cell", name="Key for Iris Deployment", exact=True).wait_for()

    watched.announce("/node/setup/", 410)  # the link works once
    watched.page.goto(first_start)
    make_account(watched, PASSWORD)
    watched.page.get_by_text("This link is no longer valid").wait_for()


def test_from_the_set_up_link_to_an_answer_in_a_shell_by_keyboard_alone(
    first_start: str, watched: WatchedPage
) -> None:
    page, press = watched.page, watched.page.keyboard.press
    began = time.monotonic()
    page.goto(first_start)
    watched.heading("First start: make your account").wait_for()
    expect(page.get_by_label("E-mail")).to_be_focused()
    page.keyboard.type(EMAIL)
    tab_to(page, "Password")
    page.keyboard.type(PASSWORD)
    press("Enter")
    watched.heading("Welcome").wait_for()
    page.get_by_role("heading", name="Model iris").wait_for()
    tab_to(page, "Make a flow")
    press("Enter")
    watched.dialog("New flow").get_by_text("FP32").first.wait_for()
    tab_to(page, "Make flow")
    press("Enter")
    watched.heading("Iris").wait_for()
    page.get_by_text("No problems").wait_for()
    tab_to(page, "Tidy up")
    tab_to(page, "Deploy")
    press("Enter")
    watched.dialog("Create Deployment").locator("form :focus").wait_for()
    press("ControlOrMeta+Enter")
    watched.dialog("Save your API key").wait_for()
    with page.expect_response(lambda response: response.url.endswith("/watch/")):
        tab_to(page, "Copy call")
        press("Enter")
    answer = run_in_shell(watched.clipboard())
    assert answer["output_data"]["label"] == [0]
    saved = page.get_by_role("checkbox", name="I saved it")
    while not saved.evaluate("(box) => box === document.activeElement"):
        assert time.monotonic() - began < MAX_SECONDS
        press("Tab")
    press("Space")
    tab_to(page, "Close")
    press("Enter")
    page.get_by_text("Your first call was answered.").wait_for()
    assert time.monotonic() - began < MAX_SECONDS


# The first test has its steps with the example; test_states.py has those of an own model.
@pytest.mark.long
def test_an_own_model_from_the_set_up_link_to_an_answer_in_a_shell(
    first_start: str, watched: WatchedPage, tmp_path: Path
) -> None:
    page, began = watched.page, time.monotonic()
    page.goto(first_start)
    make_account(watched, PASSWORD)
    watched.heading("Welcome").wait_for()
    watched.follow("Choose a file")
    model = onnx_models.mlp(tmp_path / "own.onnx")
    page.get_by_label("File", exact=True).set_input_files(model)
    watched.press("Upload and make flow")
    watched.heading("Own").wait_for()
    page.get_by_text("No problems").wait_for()
    watched.press("Deploy")
    watched.dialog("Create Deployment").get_by_role("button", name="Deploy").click()
    with page.expect_response(lambda response: response.url.endswith("/watch/")):
        watched.press("Copy call")
    until_answered_in_shell(watched.clipboard())
    close_key_dialog(watched)
    page.get_by_text("Your first call was answered.").wait_for()
    assert time.monotonic() - began < MAX_SECONDS


def make_account(watched: WatchedPage, password: str) -> None:
    """Fill in the form of the set-up and send it."""
    watched.page.get_by_label("E-mail").fill(EMAIL)
    watched.page.get_by_label("Password", exact=True).fill(password)
    watched.press("Make account")


def make_flow_and_deploy(watched: WatchedPage) -> None:
    """Make a flow of the demo's model from the welcome page, and deploy it by the defaults."""
    watched.heading("Welcome").wait_for()
    watched.page.get_by_role("heading", name="Model iris").wait_for()
    watched.follow("Make a flow")
    watched.dialog("New flow").get_by_text("FP32").first.wait_for()
    watched.press("Make flow")

    watched.heading("Iris").wait_for()
    watched.page.get_by_text("No problems").wait_for()
    watched.press("Deploy")
    watched.dialog("Create Deployment").get_by_label("Name").wait_for()
    watched.press("Deploy")


def close_key_dialog(watched: WatchedPage) -> None:
    """Close the dialog with the key, which first asks whether it is saved."""
    dialog = watched.dialog("Save your API key")
    close = dialog.get_by_role("button", name="Close").last
    assert close.is_disabled()
    watched.page.keyboard.press("Escape")
    dialog.get_by_text("Leave without the key?").wait_for()
    watched.check_accessibility()
    watched.press("Go back to the key")
    dialog.get_by_role("checkbox", name="I saved it").click()
    close.click()


def until_answered_in_shell(command: str) -> None:
    """Run a command until its call is answered: the inference server boots."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while (answer := run_in_shell(command)).get("status") != "completed":
        assert answer["code"] == "server_not_ready", answer
        assert time.monotonic() < deadline, answer
        time.sleep(0.2)


def run_in_shell(command: str) -> dict[str, Any]:
    """Run a command as a terminal does into which it is pasted; return the JSON it prints.

    Any: what a deployment answers.
    """
    ran = subprocess.run(
        ("/bin/sh", "-c", command), capture_output=True, text=True, check=True, env=environment()
    )
    answer: dict[str, Any] = json.loads(ran.stdout)
    return answer
