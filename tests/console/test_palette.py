"""The command palette, the shortcuts, and how strong a new password is."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import unquote

import pytest
from playwright.sync_api import Locator, Page

from tests.console.conftest import owner_of
from tests.console.editing import EMAIL, Owner, node_on_canvas, open_editor
from tests.console.watched_page import KEY, WatchedPage
from tests.slipstream.running import Up

pytestmark = pytest.mark.services

_FOCUSED = "document.activeElement.textContent"


def palette(watched: WatchedPage) -> Locator:
    """Open the command palette by its key; return its field."""
    watched.page.keyboard.press("Control+k")
    field = watched.page.get_by_role("combobox", name="Search, or paste")
    field.wait_for()
    return field


def paste(watched: WatchedPage, text: str) -> None:
    """Paste a text where the focus is."""
    watched.page.evaluate("text => navigator.clipboard.writeText(text)", text)
    watched.page.keyboard.press("Control+v")


def sent_by(page: Page) -> list[str]:
    """Collect the addresses and bodies of requests from now on."""
    sent: list[str] = []
    page.on("request", lambda one: sent.append(unquote(one.url) + (one.post_data or "")))
    return sent


def demo(running: Up) -> dict[str, Any]:
    """The demo's deployment. Any: JSON."""
    with owner_of(running) as owner:
        (found,) = owner.get("/node/deployments/").json()["items"]
    document: dict[str, Any] = found
    return document


def focused(watched: WatchedPage) -> str:
    """Return the text of what has the focus."""
    text: str = watched.page.evaluate(_FOCUSED)
    return text


def at(watched: WatchedPage, path: str) -> None:
    """Wait until the page has this path of the console."""
    watched.page.wait_for_url(f"**/console{path}")


@pytest.mark.usefixtures("at_flows")
def test_a_leaked_key_is_pasted_found_by_its_mask_and_deactivated(
    logged_in: WatchedPage, running: Up
) -> None:
    with owner_of(running) as owner:
        made = owner.post("/node/api-keys/", json={"name": "leaked"}).json()
    key, masked = made["key"], made["masked"]
    assert KEY.fullmatch(key)
    sent = sent_by(logged_in.page)
    palette(logged_in)
    paste(logged_in, f"  {key}\n")
    logged_in.heading("leaked").wait_for()
    at(logged_in, f"/settings/keys/{made['id']}")
    assert any(masked in one for one in sent), "the mask was searched for"
    logged_in.press("Deactivate")
    logged_in.page.get_by_text("leaked is deactivated: callers get 401.").first.wait_for()
    assert not [one for one in sent if key[8:-5] in one]


@pytest.mark.usefixtures("at_flows")
def test_a_mistyped_key_is_said_and_not_sent(logged_in: WatchedPage, running: Up) -> None:
    with owner_of(running) as owner:
        key = owner.post("/node/api-keys/", json={"name": "mistyped"}).json()["key"]
    wrong = key[:20] + ("x" if key[20] != "x" else "y") + key[21:-5] + "00000"
    sent = sent_by(logged_in.page)
    field = palette(logged_in)
    paste(logged_in, wrong)
    logged_in.page.get_by_text("its checksum is wrong").wait_for()
    logged_in.page.get_by_text("Nothing was found.").wait_for()
    assert field.input_value() == f"{wrong[:8]}********00000"
    field.fill(f"look at {key} please")
    assert field.input_value() == f"look at {key[:8]}********{key[-5:]} please"
    logged_in.check_accessibility()
    assert not [one for one in sent if wrong[8:-5] in one or key[8:-5] in one]


@pytest.mark.usefixtures("at_flows")
def test_what_is_pasted_opens(logged_in: WatchedPage, running: Up) -> None:
    deployment = demo(running)
    palette(logged_in)
    paste(logged_in, deployment["flow_id"])
    at(logged_in, f"/flows/{deployment['flow_id']}/edit")
    logged_in.page.get_by_role("button", name="Tidy up").wait_for()
    palette(logged_in)
    body = json.dumps({"input_data": {"x": [[9.5, 0, 0, 0]], "n": 2**60 + 1}})
    url = f"{running.url}/node/deployment-trigger/{deployment['id']}/"
    paste(logged_in, f"curl -sS -X POST {url} \\\n  -H 'X-API-Key: sk-…' -d '{body}'")
    logged_in.page.get_by_role("tab", name="JSON").click()
    field = logged_in.page.get_by_label("input_data, as JSON")
    field.wait_for()
    assert str(2**60 + 1) in field.input_value()
    assert "9.5" in field.input_value()
    with owner_of(running) as owner:
        call = owner.post(url, json={"input_data": {"x": [[5.1, 3.5, 1.4, 0.2]]}})
        request_id = call.raise_for_status().headers["x-request-id"]
        run_id = request_id.removeprefix("req_")
        while not owner.get(
            f"/node/flow-runs/{run_id}/"
        ).is_success:  # fast calls are recorded later
            time.sleep(0.1)
    palette(logged_in)
    paste(logged_in, request_id)
    at(logged_in, f"/runs/{run_id}")


@pytest.mark.usefixtures("at_flows")
def test_objects_screens_and_verbs_are_found_by_typing(logged_in: WatchedPage, running: Up) -> None:
    deployment = demo(running)
    page = logged_in.page
    logged_in.press("Search")
    page.get_by_role("combobox", name="Search, or paste").wait_for()
    page.keyboard.type("classif")
    found = page.get_by_role("option", name="Iris classifier Deployment")
    found.wait_for()
    logged_in.check_accessibility()
    found.click()
    at(logged_in, f"/deployments/{deployment['id']}/code")
    logged_in.heading("Iris classifier").wait_for()
    palette(logged_in)
    page.keyboard.type("show usage")
    page.get_by_role("option", name="Show usage").wait_for()
    page.keyboard.press("Enter")
    at(logged_in, f"/deployments/{deployment['id']}/usage")
    palette(logged_in)
    page.keyboard.type("audit")
    page.get_by_role("option", name="Audit log").wait_for()
    page.keyboard.press("Enter")
    logged_in.heading("Audit log").wait_for()
    palette(logged_in)
    recent = page.get_by_role("group", name="Recent").get_by_role("option")
    assert recent.first.text_content() == "Iris classifier · Deployments"
    page.keyboard.press("Escape")
    page.get_by_role("combobox", name="Search, or paste").wait_for(state="hidden")


@pytest.mark.usefixtures("at_flows")
def test_enter_never_opens_what_an_earlier_text_found(logged_in: WatchedPage) -> None:
    page = logged_in.page
    palette(logged_in)
    page.keyboard.type("i")
    found = page.get_by_role("group", name="Found")
    found.get_by_role("option").first.wait_for()
    page.route("**/node/search/**", lambda _: None)  # no later text is answered
    page.keyboard.type("t log")
    found.wait_for(state="detached")
    page.keyboard.press("Enter")
    logged_in.heading("Audit log").wait_for()
    palette(logged_in)
    page.keyboard.type("classif")
    page.keyboard.press("Enter")
    page.get_by_text("Searching", exact=True).wait_for()
    page.keyboard.press("Escape")
    logged_in.heading("Audit log").wait_for()


@pytest.mark.usefixtures("at_flows")
def test_keys_work_on_every_page_but_not_while_typing(
    logged_in: WatchedPage, running: Up, owner: Owner
) -> None:
    deployment = demo(running)
    owner.make_flow("A second flow")
    page = logged_in.page
    page.get_by_role("link", name="A second flow").wait_for()
    page.keyboard.press("j")
    assert focused(logged_in) == "A second flow"
    page.keyboard.press("j")
    assert focused(logged_in) == "Iris classifier"
    page.keyboard.press("k")
    assert focused(logged_in) == "A second flow"
    page.keyboard.press(".")
    page.get_by_role("menuitem", name="Duplicate").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("menu").wait_for(state="hidden")
    page.keyboard.press("/")
    page.keyboard.type("gd?jc1")
    assert page.get_by_label("Filter flows").input_value() == "gd?jc1"
    page.get_by_label("Filter flows").fill("")
    page.get_by_label("Filter flows").blur()
    page.get_by_role("link", name="A second flow").wait_for()
    for letter, heading in (
        ("d", "Deployments"),
        ("r", "Runs"),
        ("m", "Models"),
        ("k", "API keys"),
        ("f", "Flows"),
    ):
        page.keyboard.press("g")
        page.keyboard.press(letter)
        logged_in.heading(heading).wait_for()
    logged_in.open(f"/deployments/{deployment['id']}/code")
    logged_in.heading("Iris classifier").wait_for()
    page.keyboard.press("3")
    at(logged_in, f"/deployments/{deployment['id']}/runs")
    page.keyboard.press("c")
    page.get_by_text(f"Copied {deployment['id']}.").first.wait_for()
    assert logged_in.clipboard() == deployment["id"]
    page.keyboard.press("Control+3")
    at(logged_in, f"/deployments/{deployment['id']}/runs")
    logged_in.open(f"/flows/{deployment['flow_id']}/deploy")
    page.get_by_role("link", name="Iris classifier").first.wait_for()
    page.keyboard.press("e")
    at(logged_in, f"/flows/{deployment['flow_id']}/edit")


def test_the_editors_own_keys_come_first(logged_in: WatchedPage, owner: Owner) -> None:
    flow = owner.make_flow("Keys in the editor")
    page = logged_in.page
    open_editor(logged_in, flow)
    page.evaluate("text => navigator.clipboard.writeText(text)", "before")
    node_on_canvas(page, "twice").focus()
    page.keyboard.press("c")
    page.get_by_role("dialog").wait_for()
    assert logged_in.clipboard() == "before"


@pytest.mark.usefixtures("at_flows")
def test_single_keys_are_turned_off_and_stay_off(logged_in: WatchedPage) -> None:
    page = logged_in.page
    page.keyboard.press("?")
    dialog = logged_in.dialog("Keyboard shortcuts")
    dialog.get_by_text("Command palette").wait_for()
    dialog.get_by_role("checkbox", name="Single keys").click()
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    for _ in range(2):
        for key in ("?", "g", "d"):
            page.keyboard.press(key)
        field = palette(logged_in)  # the keys before have been handled
        assert logged_in.page.get_by_role("dialog").count() == 1
        page.keyboard.press("Escape")
        field.wait_for(state="hidden")
        logged_in.heading("Flows").wait_for()
        page.reload()
        logged_in.heading("Flows").wait_for()
    palette(logged_in)
    page.keyboard.type("shortcuts")
    page.get_by_role("option", name="Keyboard shortcuts").click()
    dialog.get_by_role("checkbox", name="Single keys").click()
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    page.keyboard.press("?")
    dialog.wait_for()


def test_a_new_password_says_how_strong_it_is(logged_in: WatchedPage) -> None:
    page = logged_in.page
    logged_in.open("/settings/profile")
    field = page.get_by_label("New password")
    for password, said in (
        ("short", "Too short: 7 more characters."),
        (EMAIL, "Easy to guess"),
        ("Tr0ub4dor&3x", "Fair."),
        ("vier bunte heften pferde", "Good."),
    ):
        field.fill(password)
        page.get_by_text(said).wait_for()
        logged_in.check_accessibility()
