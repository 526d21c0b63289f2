"""Nothing typed into the editor is lost: to another editor, a dead gateway, an ended session."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.console.conftest import owner_of, set_password, start
from tests.console.editing import (
    CHAIN,
    EMAIL,
    PASSWORD,
    Owner,
    node_on_canvas,
    open_editor,
    open_panel,
    saving,
    status,
)
from tests.console.watched_page import WatchedPage
from tests.slipstream.running import NO_WORKER, Up

pytestmark = pytest.mark.services

BEYOND_DOUBLES = 2**53 + 1


@pytest.fixture
def second(new_browser: Callable[..., WatchedPage], running: Up, session: Any) -> WatchedPage:
    """Another browser of the same user."""
    return new_browser(running.url, storage_state=session)


def rename_node(watched: WatchedPage, node_id: str, name: str) -> None:
    """Type a display name for a node."""
    open_panel(watched, node_id).get_by_label("Display name").fill(name)


def type_while_session_ends(watched: WatchedPage, flow_id: str) -> None:
    """Rename the node `twice` without a session, until the log-in is asked for."""
    open_editor(watched, flow_id)
    for path in (f"/node/flows/{flow_id}/", "/node/flows/check/", "/node/models/"):
        watched.announce(path, 401)
    watched.page.context.clear_cookies()
    rename_node(watched, "twice", "Typed")
    watched.dialog("Your session has ended").wait_for()


def test_a_flow_with_a_number_that_browsers_round_is_shown_and_not_changed(
    logged_in: WatchedPage, owner: Owner
) -> None:
    nodes = [{**CHAIN[0], "config": {"test_data": {"x": BEYOND_DOUBLES}}}, *CHAIN[1:]]
    flow_id = owner.make_flow("Exact", nodes)
    before = owner.flow(flow_id)
    open_editor(logged_in, flow_id, node="twice")
    page = logged_in.page
    page.get_by_text(f"Read-only: the flow has the number {BEYOND_DOUBLES}").wait_for()
    expect(page.get_by_label("Display name")).to_be_disabled()
    expression = page.get_by_role("textbox", name="Expression of y")
    expect(expression).to_have_attribute("aria-disabled", "true")
    for button in ("Test run", "Tidy up", "Rename the flow", "Remove the node", "API input"):
        control = page.get_by_role("button", name=button, exact=True)
        expect(control).to_have_attribute("aria-disabled", "true")
    node_on_canvas(page, "twice").press("Delete")
    page.get_by_text("The flow is read-only here").locator("visible=true").first.wait_for()
    logged_in.check_accessibility()
    page.set_viewport_size({"width": 1280, "height": 800})
    logged_in.press("Close the panel")
    node_on_canvas(page, "twice").and_(page.locator(":focus")).wait_for()
    status(logged_in, "Saved")
    assert owner.flow(flow_id) == before


def test_changes_of_two_editors_in_different_nodes_are_merged(
    logged_in: WatchedPage, second: WatchedPage, owner: Owner
) -> None:
    flow_id = owner.make_flow("Two editors")
    for watched in (logged_in, second):
        watched.announce(f"/node/flows/{flow_id}/", 412)
        open_editor(watched, flow_id)
    with saving(logged_in, flow_id):
        rename_node(logged_in, "twice", "Double")
    rename_node(second, "output", "Result")
    second.page.get_by_text("Merged into yours: twice.").wait_for()
    node_on_canvas(second.page, "twice").get_by_text("Double").wait_for()
    status(second, "Saved")
    assert owner.node(flow_id, "twice")["name"] == "Double"
    assert owner.node(flow_id, "output")["name"] == "Result"

    with saving(second, flow_id):
        second.press("Undo")
    assert owner.node(flow_id, "twice")["name"] == "Double"
    assert "name" not in owner.node(flow_id, "output")


@pytest.mark.parametrize(("choice", "kept"), [("Keep yours", "Yours"), ("Take theirs", "Theirs")])
def test_a_node_that_two_editors_have_changed_is_asked_about(
    logged_in: WatchedPage, owner: Owner, choice: str, kept: str
) -> None:
    flow_id = owner.make_flow("Same node")
    logged_in.announce(f"/node/flows/{flow_id}/", 412)
    open_editor(logged_in, flow_id)
    owner.rename_node(flow_id, "twice", "Theirs")
    rename_node(logged_in, "twice", "Yours")
    dialog = logged_in.dialog("Both of you changed these nodes")
    dialog.get_by_text('"name": "Theirs"').wait_for()
    logged_in.check_accessibility()
    dialog.get_by_role("radio", name=choice).click()
    logged_in.press("Save these")
    dialog.wait_for(state="hidden")
    status(logged_in, "Saved")
    assert owner.node(flow_id, "twice")["name"] == kept


def test_a_change_with_the_token_of_an_earlier_session_is_saved(
    logged_in: WatchedPage, running: Up, owner: Owner
) -> None:
    """Another tab has logged in again: this one still has the token of the session before."""
    flow_id = owner.make_flow("Other session")
    open_editor(logged_in, flow_id)
    with owner_of(running) as client:
        cookies = client.cookies.items()
        logged_in.page.context.add_cookies(
            [{"name": name, "value": value, "url": running.url} for name, value in cookies]
        )
        for path in ("/node/flows/check/", f"/node/flows/{flow_id}/"):
            logged_in.announce(path, 403)
        with saving(logged_in, flow_id):
            rename_node(logged_in, "twice", "Double")
        status(logged_in, "Saved")
    assert owner.node(flow_id, "twice")["name"] == "Double"


def test_what_is_typed_while_the_session_ends_is_saved_after_the_log_in(
    logged_in: WatchedPage, owner: Owner
) -> None:
    page, flow_id = logged_in.page, owner.make_flow("Ended session")
    type_while_session_ends(logged_in, flow_id)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    logged_in.press("Log in")
    status(logged_in, "Saved")
    assert owner.node(flow_id, "twice")["name"] == "Typed"


def test_what_is_typed_while_the_session_ends_outlives_the_page(
    logged_in: WatchedPage, owner: Owner
) -> None:
    page, flow_id = logged_in.page, owner.make_flow("Closed page")
    type_while_session_ends(logged_in, flow_id)
    page.reload()
    logged_in.log_in(EMAIL, PASSWORD)
    page.get_by_text("Changes that were not saved yet are here again.").wait_for()
    status(logged_in, "Saved")
    assert owner.node(flow_id, "twice")["name"] == "Typed"


def test_what_is_typed_without_a_gateway_is_saved_when_one_is_back(
    watched: WatchedPage, tmp_path: Path
) -> None:
    up, link = start(tmp_path / "state", *NO_WORKER)
    set_password(up, link)
    watched.page.goto(f"{up.url}/console/")
    watched.log_in(EMAIL, PASSWORD)
    watched.heading("Flows").wait_for()
    owner = Owner(up.url)
    flow_id = owner.make_flow("Dead gateway")
    owner.close()
    open_editor(watched, flow_id)
    watched.until_loaded("code-editor")
    watched.until_all_loaded()
    paths = (f"/node/flows/{flow_id}/", "/node/flows/check/", "/livez", "/node/models/")
    for path in (*paths, "/node/events/", "/node/session/"):
        watched.announce(path, None)
        watched.announce(path, 503)  # while the next one starts
    rename_node(watched, "twice", "Before")
    up.stop(signal.SIGKILL)
    rename_node(watched, "output", "Typed")
    status(watched, "Not saved: the gateway is away")

    back = Up(up.state, *NO_WORKER, port=up.port)
    back.until("ready at")
    status(watched, "Saved")
    owner = Owner(back.url)
    assert owner.node(flow_id, "twice")["name"] == "Before"
    assert owner.node(flow_id, "output")["name"] == "Typed"
    owner.close()
    assert back.stop() == 0
