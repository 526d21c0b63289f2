"""API keys: created, leaked, stopped, replaced, and who still uses them."""

from __future__ import annotations

import re
import subprocess
import time
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Locator, expect

from tests.console.conftest import owner_of
from tests.console.watched_page import WatchedPage
from tests.slipstream.running import Up, environment

pytestmark = pytest.mark.services

_BODY = '{"input_data": {"x": [[5.1, 3.5, 1.4, 0.2]]}}'
_SECONDS = 20.0


@pytest.fixture(scope="module")
def demo(running: Up) -> str:
    """The URL of the demo's deployment."""
    with owner_of(running) as owner:
        (found,) = owner.get("/node/deployments/").json()["items"]
    return f"{running.url}/node/deployment-trigger/{found['id']}/"


def curl(url: str, key: str) -> int:
    """Call a deployment as a terminal does; return the status."""
    command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", url, "-d", _BODY]
    headers = ["-H", f"X-API-Key: {key}", "-H", "Content-Type: application/json"]
    ran = subprocess.run(
        [*command, *headers], capture_output=True, text=True, check=True, env=environment()
    )
    return int(ran.stdout)


def until(url: str, key: str, status: int) -> None:
    """Call until the answer has this status: all gateways know of a change within a second."""
    deadline = time.monotonic() + _SECONDS
    while (got := curl(url, key)) != status:
        assert time.monotonic() < deadline, f"expected {status}, got {got}"


def row(watched: WatchedPage, name: str, state: str) -> Locator:
    """Return the row of a key by name and state."""
    rows = watched.page.get_by_role("row").filter(has_text=name)
    return rows.filter(has_text=state)


def choose(watched: WatchedPage, of: Locator, action: str) -> None:
    """Choose an action in the menu of a row."""
    of.get_by_role("button", name="Actions for").click()
    watched.page.get_by_role("menuitem", name=action, exact=True).click()


def create(watched: WatchedPage, name: str) -> str:
    """Create a key for all deployments and return it."""
    watched.follow("API keys")
    watched.follow("Create key")
    watched.dialog("Create an API key").get_by_label("Name").fill(name)
    watched.press("Create key")
    return watched.take_key()


@pytest.mark.usefixtures("at_flows")
def test_a_leaked_key_is_stopped_replaced_and_deleted(logged_in: WatchedPage, demo: str) -> None:
    page = logged_in.page
    key = create(logged_in, "shop")
    until(demo, key, 200)

    choose(logged_in, row(logged_in, "shop", "Active"), "Deactivate")
    page.get_by_text("shop is deactivated: callers get 401.").first.wait_for()
    until(demo, key, 401)
    logged_in.press("Undo")  # the notice goes after a while
    row(logged_in, "shop", "Active").wait_for()
    until(demo, key, 200)

    choose(logged_in, row(logged_in, "shop", "Active"), "Rotate")
    logged_in.dialog("Rotate shop").get_by_role("radio", name="In 24 hours").wait_for()
    logged_in.press("Rotate")
    new = logged_in.take_key()
    row(logged_in, "shop", "Rotating, 23 h left").wait_for()
    until(demo, new, 200)
    assert curl(demo, key) == 200

    row(logged_in, "shop", "Rotating").get_by_role("link", name="shop").click()
    page.get_by_text("with the old key since the rotation").wait_for()
    page.get_by_role("cell", name="127.0.0.1").wait_for()
    key_id = urlsplit(page.url).path.rpartition("/")[2]
    logged_in.follow("What was changed of it")
    logged_in.heading("Audit log").wait_for()
    expect(page.get_by_label("Its id")).to_have_value(key_id)
    page.get_by_text("api_key.rotate").first.wait_for()
    page.go_back()
    page.get_by_text("with the old key since the rotation").wait_for()
    logged_in.press("End grace now")
    page.get_by_text("The old key of shop has ended").first.wait_for()
    until(demo, key, 401)
    assert curl(demo, new) == 200
    page.get_by_text("It is still tried").wait_for()
    page.get_by_text(re.compile(r"calls? (was|were) refused")).first.wait_for()
    address = page.get_by_role("table", name="Addresses").get_by_role("row").nth(1)
    expect(address.get_by_role("cell").nth(2)).not_to_have_text("0")
    logged_in.check_accessibility()

    for path in (f"/node/api-keys/{key_id}/", f"/node/api-keys/{key_id}/addresses/"):
        logged_in.announce(path, 404)  # the stream may tell the page before its own answer does
    logged_in.press("Delete")
    dialog = logged_in.dialog("Delete shop")
    delete = dialog.get_by_role("button", name="Delete")
    assert delete.is_disabled()
    dialog.get_by_label("Type “shop” to confirm").fill("shop")
    delete.click()
    logged_in.heading("API keys").wait_for()
    row(logged_in, "shop", "Expired").wait_for(state="detached")
    assert curl(demo, new) == 200


def test_a_key_for_one_deployment_has_limits_that_can_be_changed(
    logged_in: WatchedPage, demo: str
) -> None:
    page = logged_in.page
    logged_in.open("/settings/keys/new")
    dialog = logged_in.dialog("Create an API key")
    dialog.get_by_label("Name").fill("narrow")
    dialog.get_by_role("radio", name="Some deployments").click()
    dialog.get_by_role("checkbox", name="Iris classifier").click()
    dialog.get_by_label("Environment").fill("Not A Label")
    dialog.get_by_text("Limits").click()
    dialog.get_by_label("Calls per minute").fill("many")
    dialog.get_by_text("Expected a whole number").wait_for()
    logged_in.check_accessibility()
    dialog.get_by_label("Calls per minute").fill("1")
    logged_in.announce("/node/api-keys/", 422)
    logged_in.press("Create key")
    dialog.get_by_role("alert").wait_for()
    dialog.get_by_label("Environment").fill("staging")
    logged_in.press("Create key")
    page.get_by_text("Call it: paste this into a terminal").wait_for()
    key = logged_in.take_key()
    until(demo, key, 200)
    until(demo, key, 429)

    row(logged_in, "narrow", "Active").get_by_role("link", name="narrow").click()
    logged_in.heading("narrow").wait_for()
    page.get_by_text("Limits").click()
    page.get_by_label("Calls per minute").fill("")
    page.get_by_label("Name").fill("wide")
    logged_in.press("Save")
    logged_in.heading("wide").wait_for()
    until(demo, key, 200)


def test_a_page_of_a_key_that_does_not_exist_says_so(logged_in: WatchedPage) -> None:
    unknown = "00000000-0000-4000-8000-000000000000"
    for path in (f"/node/api-keys/{unknown}/", f"/node/api-keys/{unknown}/addresses/"):
        logged_in.announce(path, 404)
    logged_in.open(f"/settings/keys/{unknown}")
    logged_in.page.get_by_text("not_found").wait_for()
