"""The own account, other users, and what a role allows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import expect

from tests import onnx_models
from tests.console.conftest import installation, owner_of, session_of
from tests.console.editing import EMAIL, PASSWORD
from tests.console.watched_page import WatchedPage
from tests.slipstream.running import LOOPBACK, Up

pytestmark = pytest.mark.services

_NEW_PASSWORD = "vier bunte heften pferde"
_SECRET = "Secret plan"
_ONLY_OWNERS = "Only owners can manage owners. You are an admin."
_numbers = count(1)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """Run an installation whose webhooks may go to this machine."""
    yield from installation(tmp_path_factory.mktemp("users") / "state", **LOOPBACK)


@pytest.fixture
def member(running: Up) -> str:
    """The address of a new member, whose password is PASSWORD."""
    return user_with("member", running)


def user_with(role: str, running: Up) -> str:
    """Make a user whose password is PASSWORD; return the address."""
    email = f"{role}{next(_numbers)}@example.com"
    with owner_of(running) as owner:
        body = {"email": email, "password": PASSWORD, "role": role}
        owner.post("/node/users/", json=body).raise_for_status()
    return email


def log_in(watched: WatchedPage, running: Up, email: str, password: str = PASSWORD) -> None:
    """Log a user in, at the list of flows."""
    watched.page.goto(f"{running.url}/console/")
    watched.log_in(email, password)
    watched.heading("Flows").wait_for()


def choose(watched: WatchedPage, email: str, action: str) -> None:
    """Choose an action in the menu of a user."""
    watched.page.get_by_role("button", name=f"Actions for {email}").click()
    watched.page.get_by_role("menuitem", name=action, exact=True).click()


@pytest.mark.usefixtures("at_flows")
def test_an_owner_invites_a_user_who_sets_a_password_with_the_link(
    logged_in: WatchedPage, new_browser: Callable[[], WatchedPage]
) -> None:
    page = logged_in.page
    logged_in.follow("Users")
    page.get_by_role("cell", name=EMAIL).wait_for()
    logged_in.press("Invite user")
    logged_in.dialog("Invite a user").get_by_label("E-mail").fill("bob@example.com")
    page.get_by_role("radio", name="Admin").click()
    logged_in.press("Make link")
    logged_in.dialog("Send this link").wait_for()
    link = logged_in.copied_by(logged_in.button("Copy link"))
    page.get_by_role("checkbox", name="I saved it").click()
    logged_in.dialog("Send this link").get_by_role("button", name="Close").last.click()
    row = page.get_by_role("row").filter(has_text="bob@example.com")
    row.get_by_text("none yet").wait_for()

    invited = new_browser()
    invited.announce("/node/session/invitation/", 422)
    invited.page.goto(link)
    invited.heading("Set your password").wait_for()
    for password in ("password1234", _NEW_PASSWORD):
        invited.page.get_by_label("Password", exact=True).fill(password)
        invited.press("Set password and log in")
        if password != _NEW_PASSWORD:
            invited.page.get_by_text("hard to guess").first.wait_for()
    invited.heading("Flows").wait_for()
    invited.follow("Profile")
    invited.page.get_by_text("bob@example.com").wait_for()
    invited.page.get_by_text("Admin", exact=True).wait_for()

    late = new_browser()
    late.announce("/node/session/invitation/", 410)
    late.page.goto(link)
    late.page.get_by_label("Password", exact=True).fill(_NEW_PASSWORD)
    late.press("Set password and log in")
    late.page.get_by_text("This link is no longer valid").wait_for()
    late.check_accessibility()


@pytest.mark.usefixtures("at_flows")
def test_an_owner_changes_deactivates_and_deletes_a_user(
    logged_in: WatchedPage, member: str
) -> None:
    page = logged_in.page
    logged_in.follow("Users")
    row = page.get_by_role("row").filter(has_text=member)
    choose(logged_in, member, "Change role")
    page.get_by_role("radio", name="Admin").click()
    logged_in.press("Save")
    row.get_by_role("cell", name="Admin").wait_for()
    choose(logged_in, member, "Deactivate")
    row.get_by_text("Deactivated").wait_for()
    logged_in.press("Undo")
    expect(row).not_to_contain_text("Deactivated")
    choose(logged_in, member, "New link")
    expect(logged_in.dialog("Send this link").locator(":focus")).to_have_count(1)
    page.keyboard.press("Escape")
    logged_in.press("Leave")
    choose(logged_in, member, "Delete")
    dialog = logged_in.dialog(f"Delete {member}")
    dialog.get_by_text("Models stay and belong to the installation").wait_for()
    dialog.get_by_label(f"Type “{member}” to confirm").fill(member)
    dialog.get_by_role("button", name="Delete").click()
    row.wait_for(state="detached")
    own = page.get_by_role("row").filter(has_text=EMAIL).get_by_role("button", name="Change role")
    assert own.get_attribute("aria-disabled") == "true"


def test_a_member_sees_why_something_is_not_allowed_and_nothing_of_others(
    new_browser: Callable[[], WatchedPage], running: Up, member: str
) -> None:
    watched = new_browser()
    log_in(watched, running, member)
    page = watched.page
    assert not page.get_by_role("link", name="Users").count()
    watched.open("/settings/users")
    invite = page.get_by_role("button", name="Invite user")
    assert invite.get_attribute("aria-disabled") == "true"
    reason = "Only admins and owners can manage users. You are a member."
    described = page.locator(f"#{invite.get_attribute('aria-describedby')}")
    assert described.text_content() == reason
    page.get_by_role("main").get_by_text(reason).filter(visible=True).first.wait_for()
    invite.click(force=True)
    assert not page.get_by_role("dialog").is_visible()
    watched.check_accessibility()
    watched.follow("Audit log")
    assert page.get_by_role("checkbox", name="Everyone's").is_disabled()
    watched.check_accessibility()

    with owner_of(running) as owner:
        key = owner.get("/node/api-keys/").json()["items"][0]
    for path in (f"/node/api-keys/{key['id']}/", f"/node/api-keys/{key['id']}/addresses/"):
        watched.announce(path, 404)
    watched.open(f"/settings/keys/{key['id']}")
    page.get_by_text("not_found").wait_for()
    assert key["name"] not in page.locator("body").inner_text()
    watched.open("/settings/keys")
    page.get_by_text("No API keys yet").wait_for()
    watched.check_accessibility()
    watched.follow("Webhooks")
    page.get_by_text("No deliveries yet").wait_for()
    watched.follow("Endpoints")
    page.get_by_text("No deployment has a webhook").wait_for()
    watched.check_accessibility()


@dataclass(frozen=True)
class Refusal:
    """What the routes refuse to members, and how a screen says so."""

    screen: str
    reason: str
    method: str
    path: str
    control: str = ""
    """A button, which stays visible; without one the reason is there in place of the controls."""
    body: Mapping[str, Any] | None = None  # Any: JSON


_NOT_YOURS = "Only its owner, admins and owners can change this model."
_REFUSALS = (
    Refusal(
        "/models/iris/versions/1", _NOT_YOURS, "DELETE", "/node/models/iris/versions/1/", "Delete"
    ),
    Refusal(
        "/models/iris/versions/1",
        _NOT_YOURS,
        "PUT",
        "/node/models/iris/labels/mine/",
        body={"version": 1},
    ),
    Refusal(
        "/servers/{server}", _NOT_YOURS, "POST", "/node/inference-servers/{server}/stop/", "Stop"
    ),
    Refusal(
        "/servers/{server}",
        _NOT_YOURS,
        "PATCH",
        "/node/inference-servers/{server}/",
        body={"idle_timeout_seconds": 600},
    ),
    Refusal(
        "/servers/{server}",
        "Only those who manage the model see its log.",
        "GET",
        "/node/inference-servers/{server}/logs/",
    ),
    Refusal(
        "/settings/users",
        "Only admins and owners can manage users. You are a member.",
        "POST",
        "/node/users/",
        "Invite user",
        {"email": "carol@example.com", "role": "member"},
    ),
    Refusal(
        "/system",
        "Only admins and owners see the state of the system. You are a member.",
        "GET",
        "/node/system/",
    ),
    Refusal(
        "/settings/audit",
        "Only admins and owners see everyone's events. You are a member.",
        "GET",
        "/node/audit/?everyone=true",
    ),
)
_SCREENS = {
    "/flows": "Flows",
    "/models": "Models",
    "/deployments": "Deployments",
    "/runs": "Runs",
    "/webhooks": "Webhooks",
    "/usage": "Usage",
    "/settings/keys": "API keys",
    "/settings/profile": "Profile",
    "/settings/sessions": "Sessions",
    "/settings/audit": "Audit log",
}
"""What the navigation of a member leads to: all that the routes show to members."""


def test_what_a_member_sees_and_can_do_is_what_the_routes_allow(
    new_browser: Callable[[], WatchedPage], running: Up, member: str
) -> None:
    watched = new_browser()
    log_in(watched, running, member)
    page = watched.page
    links = page.get_by_role("navigation", name="Main").get_by_role("listitem").get_by_role("link")
    assert [link.get_attribute("href") for link in links.all()] == [
        f"/console{path}" for path in _SCREENS
    ]
    for path, heading in _SCREENS.items():
        watched.open(path)
        watched.heading(heading).wait_for()
        for button in page.locator("main button[aria-disabled=true]").all():
            assert button.get_attribute("aria-describedby"), f"{path}: {button.text_content()}"

    with owner_of(running) as owner:
        [server] = owner.get("/node/inference-servers/").json()["items"]
    with session_of(running, member) as client:
        for refusal in _REFUSALS:
            watched.open(refusal.screen.format(server=server["id"]))
            page.get_by_role("main").get_by_text(refusal.reason).first.wait_for(state="attached")
            if refusal.control:
                button = page.get_by_role("main").get_by_role("button", name=refusal.control).first
                assert button.get_attribute("aria-disabled") == "true", refusal
                button.click(force=True)
                assert not page.get_by_role("dialog").count(), refusal
            path = refusal.path.format(server=server["id"])
            answer = client.request(refusal.method, path, json=refusal.body)
            assert answer.json()["code"] == "role_forbidden", (refusal, answer.text)

    watched.open("/flows/new")
    page.get_by_role("radio", name="iris").click()
    watched.press("Make flow")
    watched.heading("Iris").wait_for()
    watched.press("Deploy")
    watched.dialog("Create Deployment").get_by_role("button", name="Deploy").click()
    watched.dialog("Save your API key").wait_for()


def test_an_admin_manages_all_but_owners_and_sees_what_the_routes_allow(
    new_browser: Callable[[], WatchedPage], running: Up, member: str
) -> None:
    watched = new_browser()
    admin = user_with("admin", running)
    log_in(watched, running, admin)
    page = watched.page
    page.get_by_role("link", name="System", exact=True).click()
    watched.heading("System").wait_for()
    page.get_by_text("Gateways").first.wait_for()
    watched.open("/models/iris/versions/1")
    delete = watched.button("Delete version")
    expect(delete).not_to_have_attribute("aria-disabled", "true")

    watched.follow("Users")
    row = page.get_by_role("row").filter(has_text=EMAIL)
    change = row.get_by_role("button", name="Change role")
    expect(change).to_have_attribute("aria-disabled", "true")
    expect(change).to_have_accessible_description(_ONLY_OWNERS)
    watched.press("Invite user")
    owner_role = page.get_by_role("radio", name="Owner")
    expect(owner_role).to_be_disabled()
    page.get_by_text(_ONLY_OWNERS).filter(visible=True).first.wait_for()
    page.keyboard.press("Escape")
    choose(watched, member, "Deactivate")
    page.get_by_role("row").filter(has_text=member).get_by_text("Deactivated").wait_for()

    with session_of(running, admin) as client:
        users = {user["email"]: user["id"] for user in client.get("/node/users/").json()["items"]}
        for method, path, body in (
            ("PATCH", f"/node/users/{users[EMAIL]}/", {"state": "deactivated"}),
            ("DELETE", f"/node/users/{users[EMAIL]}/", None),
            ("POST", "/node/users/", {"email": "dan@example.com", "role": "owner"}),
        ):
            answer = client.request(method, path, json=body)
            assert answer.json()["code"] == "role_forbidden", (method, path, answer.text)
        assert client.get("/node/system/").status_code == 200


@pytest.mark.long
def test_ids_of_others_are_unknown_on_each_screen(
    new_browser: Callable[[], WatchedPage], running: Up, member: str, tmp_path: Path
) -> None:
    with owner_of(running) as owner:
        ids = foreign_objects(owner, tmp_path)
    watched = new_browser()
    log_in(watched, running, member)
    page = watched.page
    page.on("request", lambda request: watched.announce(urlsplit(request.url).path, 404))
    for screen in (
        "/flows/{flow}/edit",
        "/flows/{flow}/history",
        "/flows/{flow}/deploy",
        "/flows/{flow}/deploy/new",
        "/deployments/{deployment}/code",
        "/deployments/{deployment}/try",
        "/deployments/{deployment}/runs",
        "/deployments/{deployment}/usage",
        "/deployments/{deployment}/compare?before=1&after=1",
        "/deployments/{deployment}/redeploy",
        "/deployments/{deployment}/rollout",
        "/deployments/{deployment}/settings",
        "/deployments/{deployment}/versions",
        "/deployments/{deployment}/versions/1",
        "/deployments/{deployment}/webhook",
        "/runs/{run}",
        "/models/foreign/versions/1",
        "/settings/keys/{key}",
        "/webhooks/deliveries/{delivery}",
    ):
        watched.open(screen.format(**ids))
        page.get_by_text("not_found").first.wait_for()
        assert _SECRET not in page.locator("body").inner_text(), screen


def foreign_objects(owner: httpx.Client, folder: Path) -> dict[str, str]:
    """Make one object of each kind, with a name that only its owner may see; return their ids."""
    nodes = [
        {"id": "input", "type": "api_input", "config": {"test_data": {"x": 1}}},
        {"id": "output", "type": "api_output", "config": {"fields": {"y": "input.x"}}},
    ]
    edges = [{"source": "input", "target": "output"}]
    flow = owner.post("/node/flows/", json={"name": _SECRET, "nodes": nodes, "edges": edges})
    body = {
        "flow_id": flow.json()["id"],
        "name": _SECRET,
        "deployment_type": "server",
        "notification_method": "webhook",
        "callback_url": f"{owner.base_url}/readyz",
    }
    deployment = owner.post("/node/deployments/", json=body).raise_for_status().json()["id"]
    call = {"input_data": {"x": 1}}
    owner.post(f"/node/deployment-trigger/{deployment}/", json=call).raise_for_status()
    query = {"deployment": deployment}
    [run] = owner.get("/node/flow-runs/", params=query).raise_for_status().json()["items"]
    sent = owner.post(f"/node/webhooks/endpoints/{deployment}/test/").raise_for_status()
    content = onnx_models.mlp(folder / "foreign.onnx").read_bytes()
    query = {"name": "foreign", "visibility": "private"}
    headers = {"content-type": "application/octet-stream"}
    uploaded = owner.post("/node/models/", params=query, content=content, headers=headers)
    assert uploaded.status_code == 201, uploaded.text
    key = owner.post("/node/api-keys/", json={"name": _SECRET}).raise_for_status()
    return {
        "flow": flow.json()["id"],
        "deployment": deployment,
        "run": run["flow_run_id"],
        "delivery": sent.json()["id"],
        "key": key.json()["id"],
    }


def test_a_changed_password_ends_the_other_sessions(
    new_browser: Callable[[], WatchedPage], running: Up, member: str
) -> None:
    first, second = new_browser(), new_browser()
    log_in(first, running, member)
    log_in(second, running, member)
    page = first.page
    first.follow("Profile")
    page.get_by_label("Present password").fill("not-the-password")
    page.get_by_label("New password").fill(_NEW_PASSWORD)
    first.announce("/node/session/password/", 401)
    first.press("Change password")
    page.get_by_text("This is not your password.").wait_for()
    assert not page.get_by_role("dialog").is_visible()
    page.get_by_label("Present password").fill(PASSWORD)
    first.press("Change password")
    page.get_by_text("Your other sessions have ended.").first.wait_for()

    for path in ("/node/api-keys/", "/node/sessions/"):
        second.announce(path, 401)
    second.dialog("Your session has ended").wait_for()  # by itself: its stream has ended
    second.page.get_by_label("Password", exact=True).fill(_NEW_PASSWORD)
    second.press("Log in")
    second.follow("Sessions")
    second.page.get_by_text("This browser").wait_for()
    second.press("End all others")
    second.page.get_by_text("1 other session has ended.").first.wait_for()
    second.page.get_by_role("button", name="End", exact=True).wait_for(state="detached")
    assert second.page.get_by_role("row").count() == 2  # the head, and this browser


@pytest.mark.usefixtures("at_flows")
def test_the_audit_log_is_filtered_shows_changes_and_is_exported(
    logged_in: WatchedPage, running: Up
) -> None:
    page = logged_in.page
    with owner_of(running) as owner:
        key = owner.post("/node/api-keys/", json={"name": "watched"}).json()
        changed = {"name": "seen", "environment": "staging"}
        owner.patch(f"/node/api-keys/{key['id']}/", json=changed).raise_for_status()
    logged_in.follow("Audit log")
    page.get_by_label("Action", exact=True).fill("api_key.update")
    page.get_by_label("Kind").select_option("api_key")
    page.get_by_text("environment, name").first.click()
    assert page.locator("del").first.inner_text().endswith("watched") or page.locator("del").nth(
        1
    ).inner_text().endswith("watched")
    page.locator("ins").get_by_text("staging").wait_for()
    logged_in.check_accessibility()
    href = page.get_by_role("link", name="Export CSV").get_attribute("href")
    assert href is not None
    with owner_of(running) as owner:
        exported = httpx.get(f"{running.url}{href}", cookies=owner.cookies)
    assert exported.headers["content-type"] == "text/csv; charset=utf-8"
    assert "api_key.update" in exported.text
    assert "api_key.create" not in exported.text
    logged_in.open("/settings/audit?action=nothing.at_all")
    page.get_by_text("No event matches these filters.").wait_for()
    logged_in.press("Clear the filters")
    page.get_by_text("session.create").first.wait_for()
