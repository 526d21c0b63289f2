"""What a page does when something is missing: the gateway, the session, a file, a name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import onnx_models
from tests.console.conftest import installation, owner_of
from tests.console.editing import EMAIL, PASSWORD, tab_to
from tests.console.watched_page import WatchedPage
from tests.slipstream.running import Up

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """An installation of its own: models stay."""
    yield from installation(tmp_path_factory.mktemp("console") / "state")


def test_an_own_model_is_uploaded_deployed_and_tried(
    logged_in: WatchedPage, tmp_path: Path
) -> None:
    page = logged_in.page
    logged_in.open("/welcome")
    logged_in.follow("Choose a file")
    page.get_by_label("File", exact=True).set_input_files(onnx_models.mlp(tmp_path / "own.onnx"))
    logged_in.press("Upload and make flow")
    logged_in.heading("Own").wait_for()
    logged_in.press("Deploy")
    logged_in.dialog("Create Deployment").get_by_role("button", name="Deploy").click()
    page.get_by_role("checkbox", name="I saved it").click()
    logged_in.dialog("Save your API key").get_by_role("button", name="Close").last.click()
    logged_in.follow("Try it")
    deployment = page.url.split("/")[-2]
    logged_in.announce(f"/node/deployment-trigger/{deployment}/", 503)  # until the server is ready
    logged_in.press("Send")
    page.get_by_text("200 completed").wait_for()


def test_an_own_model_by_keyboard_alone(logged_in: WatchedPage, tmp_path: Path) -> None:
    page, press = logged_in.page, logged_in.page.keyboard.press
    logged_in.open("/welcome")
    logged_in.heading("Welcome").wait_for()
    tab_to(page, "Choose a file")
    press("Enter")
    logged_in.dialog("New flow").wait_for()
    file = page.get_by_label("File", exact=True)
    with page.expect_file_chooser() as chooser:
        while not file.evaluate("(input) => input === document.activeElement"):
            press("Tab")
        press("Enter")
    chooser.value.set_files(onnx_models.mlp(tmp_path / "typed.onnx"))
    tab_to(page, "Upload and make flow")
    press("Enter")
    logged_in.heading("Typed").wait_for()


def test_a_file_that_is_no_model_is_refused_with_the_reason(
    logged_in: WatchedPage, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    logged_in.announce("/node/models/", 422)
    logged_in.open("/flows/new")
    logged_in.page.get_by_role("radio", name="Upload an .onnx file").click()
    logged_in.page.get_by_label("File", exact=True).set_input_files(broken)
    logged_in.press("Upload and make flow")
    alert = logged_in.page.get_by_role("alert")
    alert.get_by_text("invalid_model").wait_for()
    alert.get_by_text("Request req_").wait_for()


@pytest.mark.usefixtures("at_flows")
def test_pages_stay_while_the_gateway_is_away(logged_in: WatchedPage) -> None:
    page = logged_in.page
    page.get_by_role("link", name="Iris classifier").wait_for()
    logged_in.until_all_loaded()
    for path in ("/livez", "/node/deployments/", "/node/events/", "/node/flows/", "/node/session/"):
        logged_in.announce(path, None)
    page.context.set_offline(True)
    logged_in.follow("Deployments")
    page.get_by_text("The gateway has not answered since").wait_for()
    logged_in.check_accessibility()
    page.set_viewport_size({"width": 1280, "height": 800})
    logged_in.follow("Flows")
    page.get_by_role("link", name="Iris classifier").wait_for()
    page.context.set_offline(False)
    page.get_by_text("The gateway has not answered since").wait_for(state="hidden")
    logged_in.follow("Deployments")
    page.get_by_role("link", name="Iris classifier").wait_for()


@pytest.mark.usefixtures("at_flows")
def test_what_cannot_be_loaded_again_stays_and_is_said_to_be_old(
    logged_in: WatchedPage, running: Up
) -> None:
    page = logged_in.page
    page.get_by_role("link", name="Iris classifier").wait_for()
    logged_in.announce("/node/flows/", 503)
    problem = {"code": "storage_unavailable", "message": "the database is away", "retryable": False}
    page.route(
        "**/node/flows/?*",
        lambda route: route.fulfill(status=503, json={"status": 503, "title": "", **problem}),
    )
    with owner_of(running) as owner:
        [flow, *_] = owner.get("/node/flows/").json()["items"]
        shown = owner.get(f"/node/flows/{flow['id']}/").raise_for_status().json()
        copy = {name: shown[name] for name in ("nodes", "edges")}
        made = owner.post("/node/flows/", json={"name": "Made meanwhile", **copy})
        made.raise_for_status()
    page.get_by_text("could not be loaded again: the database is away").first.wait_for()
    assert page.get_by_role("link", name="Iris classifier").first.is_visible()
    page.unroute("**/node/flows/?*")
    page.get_by_role("button", name="Try again").click()
    page.get_by_role("link", name="Made meanwhile").wait_for()


@pytest.mark.usefixtures("at_flows")
def test_a_request_after_the_end_of_the_session_is_sent_again_after_the_log_in(
    logged_in: WatchedPage,
) -> None:
    page = logged_in.page
    logged_in.follow("New flow")
    page.get_by_role("radio", name="iris").click()
    page.get_by_label("Name of the flow").fill("After the session")
    for path in ("/node/flows/", "/node/models/iris/versions/latest/starter/"):
        logged_in.announce(path, 401)
    page.context.clear_cookies()
    logged_in.press("Make flow")
    logged_in.dialog("Your session has ended").wait_for()
    logged_in.check_accessibility()
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    logged_in.press("Log in")
    logged_in.heading("After the session").wait_for()


def test_the_log_in_leads_to_the_page_that_was_asked_for(watched: WatchedPage, running: Up) -> None:
    page = watched.page
    page.goto(f"{running.url}/console/")
    watched.log_in(EMAIL, PASSWORD)  # not with the session of the other tests: it ends here
    page.get_by_role("button", name="Account").click()
    page.get_by_role("menuitem", name="Log out").click()
    page.get_by_label("E-mail").wait_for()  # leaving the page earlier aborts the request
    watched.open("/settings/keys")
    watched.log_in(EMAIL, "not-the-password")
    page.get_by_text("E-mail address or password is wrong.").wait_for()
    watched.log_in(EMAIL, PASSWORD)
    watched.heading("API keys").wait_for()


def test_a_dialog_that_the_log_in_has_led_to_does_not_close_to_the_log_in(
    watched: WatchedPage, running: Up
) -> None:
    with owner_of(running) as owner:
        flow = owner.get("/node/flows/").json()["items"][0]["id"]
    watched.page.goto(f"{running.url}/console/flows/{flow}/deploy/new")
    watched.log_in(EMAIL, PASSWORD)
    watched.dialog("Create Deployment").get_by_label("Name").wait_for()
    watched.page.keyboard.press("Escape")
    watched.page.wait_for_url(f"**/flows/{flow}/deploy")


@pytest.mark.usefixtures("at_flows")
def test_an_async_call_is_followed_until_its_run_has_ended(logged_in: WatchedPage) -> None:
    page = logged_in.page
    logged_in.follow("Iris classifier")
    logged_in.press("Deploy")
    page.get_by_role("radio", name="Long, fire and forget").click()
    page.get_by_text("Deployment Type").first.click()
    page.get_by_role("radio", name="Server Mode Production").click()
    logged_in.press("Deploy")
    page.get_by_role("checkbox", name="I saved it").click()
    logged_in.dialog("Save your API key").get_by_role("button", name="Close").last.click()
    page.get_by_text("Production · async · Server").wait_for()
    logged_in.follow("Try it")
    logged_in.press("Send")
    page.get_by_text("200 completed").wait_for()
