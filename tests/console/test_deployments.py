"""Deployments in the console: made in each way, redeployed, rolled back, changed, exported."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
from playwright.sync_api import expect

from tests.console.caller import Caller, until_answered
from tests.console.watched_page import KEY, WatchedPage
from tests.slipstream.running import Up, environment
from tests.system.each_backend.test_documented_samples import DEPLOYMENT, HOST, SAMPLES
from tests.system.each_backend.test_documented_samples import KEY as DOCUMENTED_KEY
from tests.system.example_code.test_documented_samples import COMMANDS
from tests.system.flow_documents import echo_flow
from tests.timing import eventually

pytestmark = pytest.mark.services

ROW = [[5.1, 3.5, 1.4, 0.2]]


@pytest.mark.usefixtures("at_flows")
def test_deployments_are_filtered_by_the_address(logged_in: WatchedPage, caller: Caller) -> None:
    page = logged_in.page
    flow = caller.make_rules({"y": "input.a"}, {"a": 1})
    caller.deploy_with_key(flow, name="Colours")
    paused = caller.deploy_with_key(flow, name="Colours at night", execution_mode="async")
    caller.ask("POST", f"/node/deployments/{paused['id']}/pause/")
    logged_in.follow("Deployments")
    rows = page.get_by_role("main").locator("tbody tr")
    page.get_by_label("Filter deployments").fill("cOLOURS")
    expect(rows).to_have_count(2)
    page.get_by_label("State").select_option("paused")
    expect(rows).to_have_count(1)
    page.wait_for_url("**/deployments?q=cOLOURS&state=paused")
    logged_in.check_accessibility()
    page.reload()
    page.get_by_role("link", name="Colours at night").wait_for()
    page.get_by_label("Mode").select_option("fast")
    page.get_by_text("No deployment matches.").wait_for()
    logged_in.press("Clear the filters")
    page.get_by_role("link", name="Iris classifier").wait_for()
    expect(page.get_by_label("Filter deployments")).to_have_value("")


ANSWERS = {
    "Sync": ("200 OK", "output_data"),
    "Async": ("202 Accepted", "flow_run_id"),
    "Fast": ("200 OK", "output_data"),
}


# Each mode and each type once; each with each in `make test-long`.
MODES = [
    ("Sync", "API"),
    ("Async", "Server"),
    ("Fast", "Server"),
    *(
        pytest.param(*each, marks=pytest.mark.long)
        for each in (("Sync", "Server"), ("Async", "API"), ("Fast", "API"))
    ),
]


@pytest.mark.parametrize(("mode", "kind"), MODES)
def test_a_mode_and_type_show_the_answer_to_expect(
    logged_in: WatchedPage, caller: Caller, mode: str, kind: str
) -> None:
    page = logged_in.page
    flow = caller.flow_named("Iris classifier")
    logged_in.open(f"/flows/{flow['id']}/deploy/new")
    dialog = logged_in.dialog("Create Deployment")
    dialog.get_by_text("Fast is possible too").wait_for()
    dialog.get_by_text("Execution Mode").first.click()
    dialog.get_by_role("radio", name=re.compile(f"^{mode}")).click()
    dialog.get_by_text("Deployment Type").first.click()
    dialog.get_by_role("radio", name=re.compile(f"^{kind}")).click()
    name = f"{mode} on {kind}"
    dialog.get_by_label("Name").fill(name)
    expected = dialog.get_by_role("figure", name="The answer to expect").or_(
        dialog.locator("figure", has_text="The answer to expect")
    )
    status, member = ANSWERS[mode]
    expect(expected).to_contain_text(status)
    expect(expected).to_contain_text(member)
    if (mode, kind) == ("Sync", "API"):
        _open_all_parts(logged_in)
        logged_in.check_accessibility()
    logged_in.press("Deploy")
    page.get_by_role("checkbox", name="I saved it").click()
    logged_in.dialog("Save your API key").get_by_role("button", name="Close").last.click()
    logged_in.heading(name).wait_for()
    deployment = page.url.split("/deployments/")[1].split("/")[0]
    shown = caller.ask("GET", f"/node/deployments/{deployment}/")
    assert (shown["execution_mode"], shown["deployment_type"]) == (mode.lower(), kind.lower())
    if kind == "Server" or mode in {"Fast", "Async"}:
        answer = caller.answer(shown["trigger_path"], {"input_data": {"x": ROW}})
        assert (answer.status_code, member in answer.text) == (int(status[:3]), True)


def _open_all_parts(watched: WatchedPage) -> None:
    closed = watched.page.locator("details:not([open]) > summary")
    while closed.count():
        closed.first.click()


ECHO = echo_flow()["nodes"]
FIRST_CALLERS = {
    "javascript": "The documented JavaScript, envelope",
    "python": "cURL or Python, flat answers",
    "curl": "cURL or Python, flat answers",
}


@pytest.mark.parametrize(
    "language",
    # Python's choice is that of cURL.
    ["javascript", "curl", pytest.param("python", marks=pytest.mark.long)],
)
def test_a_documented_sample_runs_for_the_first_caller_that_was_chosen(
    logged_in: WatchedPage, running: Up, caller: Caller, language: str
) -> None:
    page = logged_in.page
    flow = caller.make_flow(f"Documented {language}", ECHO)
    logged_in.open(f"/flows/{flow}/deploy/new?preset=production")
    dialog = logged_in.dialog("Create Deployment")
    expect(dialog.get_by_role("radio", name="Always-on production")).to_be_checked()
    dialog.get_by_role("radio", name=FIRST_CALLERS[language]).click()
    dialog.get_by_role("button", name="Deploy").click()
    shown = logged_in.dialog("Save your API key").get_by_text(KEY).first
    found = KEY.search(shown.inner_text())
    assert found is not None
    page.get_by_role("checkbox", name="I saved it").click()
    logged_in.dialog("Save your API key").get_by_role("button", name="Close").last.click()
    page.wait_for_url("**/deployments/*/code")
    deployment = page.url.split("/")[-2]
    ran = run_sample(language, running.url, deployment, found.group())
    assert ran.returncode == 0, ran.stderr
    if language == "curl":
        assert json.loads(ran.stdout)["output_data"] == {"param1": "value1"}
    else:
        assert "Status: completed" in ran.stdout
        assert "value1" in ran.stdout


def test_a_flow_is_deployed_in_its_rocket_section_and_gets_a_key_later(
    logged_in: WatchedPage, caller: Caller
) -> None:
    page = logged_in.page
    flow = caller.make_rules({"y": "input.a"}, {"a": 1})
    logged_in.open(f"/flows/{flow}/edit")
    parts = page.get_by_role("navigation", name="Parts of the flow")
    rocket = parts.get_by_role("link", name="Deploy")
    expect(rocket).to_have_attribute("title", "Deployments of this flow")
    rocket.click()
    page.get_by_text("No deployments yet. Create one").wait_for()
    create = page.get_by_role("link", name="Create Deployment").first
    create.click()
    dialog = logged_in.dialog("Create Deployment")
    expect(dialog.get_by_role("radio", name="Short, result inline")).to_be_checked()
    page.keyboard.press("Escape")
    expect(create).to_be_focused()
    create.click()
    dialog.get_by_role("radio", name="Always-on production").click()
    dialog.get_by_role("radio", name="No key").or_(
        dialog.get_by_role("radio", name="A key that covers it already")
    ).click()
    logged_in.press("Deploy")
    logged_in.heading("Rules Deployment").wait_for()
    dialog.wait_for(state="hidden")
    [made] = caller.ask("GET", f"/node/deployments/?flow_id={flow}")["items"]
    logged_in.press("Generate API key")
    key = logged_in.take_key()
    until_answered(caller, {**made, "api_key": {"key": key}}, {"a": 5}, {"y": 5})


def test_a_dry_run_refuses_a_blocked_webhook_before_it_is_made(
    logged_in: WatchedPage, caller: Caller
) -> None:
    flow = caller.make_rules({"y": "input.a"}, {"a": 1})
    logged_in.open(f"/flows/{flow}/deploy/new")
    dialog = logged_in.dialog("Create Deployment")
    dialog.get_by_text("Can be deployed, not in mode fast").wait_for()
    assert dialog.get_by_role("radio", name="ML model").is_disabled()
    dialog.get_by_text("Notification").first.click()
    dialog.get_by_role("radio", name="Webhook").click()
    dialog.get_by_label("Callback URL").fill("https://10.0.0.1/hook")
    dialog.get_by_text("Cannot be deployed").wait_for()
    dialog.get_by_label("Callback URL").fill("https://8.8.8.8/hook")
    dialog.get_by_text("Can be deployed").wait_for()
    dialog.get_by_role("radio", name="No key").or_(
        dialog.get_by_role("radio", name="A key that covers it already")
    ).click()
    logged_in.press("Deploy")
    logged_in.dialog("Save your webhook secret").get_by_text("whsec_").first.wait_for()
    logged_in.check_accessibility()


def test_settings_act_on_the_next_call(logged_in: WatchedPage, caller: Caller) -> None:
    page = logged_in.page
    made = caller.deploy_with_key(caller.make_rules({"y": "input.a"}, {"a": 1}), name="Rules set")
    assert "data" in caller.call_by_key(made, {"a": 1}).json()
    logged_in.open(f"/deployments/{made['id']}/settings")
    page.get_by_role("heading", name="General").wait_for()
    page.get_by_role("radio", name="The documented JavaScript").click()
    page.get_by_label("Calls a minute").fill("2000")
    logged_in.press("Save")
    page.get_by_text("Saved. It acts on the next call.").wait_for()
    shown = caller.ask("GET", f"/node/deployments/{made['id']}/")
    assert (shown["response_format"], shown["limits"]["calls_per_minute"]) == ("envelope", 2000)

    logged_in.press("More of Rules set")
    page.get_by_role("menuitem", name="Pause").click()
    page.get_by_text("Paused v1").wait_for()
    assert caller.call_by_key(made, {"a": 1}).status_code == 409
    logged_in.press("More of Rules set")
    page.get_by_role("menuitem", name="Resume").click()
    page.get_by_text("Live v1").wait_for()

    logged_in.press("Delete this deployment")
    logged_in.dialog("Delete Rules set?").wait_for()
    logged_in.announce(f"/node/deployments/{made['id']}/", 410)
    logged_in.press("Delete deployment")
    logged_in.heading("Deployments").wait_for()
    # its key ends with it, which each process knows a moment later: until then it is gone
    eventually(lambda: caller.call_by_key(made, {"a": 1}).status_code, lambda status: status == 401)


def test_settings_do_not_overwrite_what_others_have_changed(
    logged_in: WatchedPage, caller: Caller
) -> None:
    page = logged_in.page
    made = caller.deploy_with_key(
        caller.make_rules({"y": "input.a"}, {"a": 1}), name="Rules shared"
    )
    path = f"/node/deployments/{made['id']}/"
    logged_in.open(f"/deployments/{made['id']}/settings")
    page.get_by_label("Calls a minute").fill("2000")
    caller.ask("PATCH", path, {"name": "Rules renamed", "limits": {"calls_per_day": 5000}})
    logged_in.announce(path, 412)
    logged_in.press("Save")
    page.get_by_role("alert").get_by_text("Changed meanwhile").wait_for()
    assert caller.ask("GET", path)["limits"]["calls_per_minute"] is None
    logged_in.press("Load the present settings")
    page.get_by_role("alert").wait_for(state="detached")
    assert page.get_by_label("Name", exact=True).input_value() == "Rules renamed"
    assert page.get_by_label("Calls a minute").input_value() == "2000"
    logged_in.press("Save")
    page.get_by_text("Saved. It acts on the next call.").wait_for()
    assert page.get_by_text("Saved. It acts on the next call.").count() == 1
    shown = caller.ask("GET", path)
    assert shown["name"] == "Rules renamed"
    assert (shown["limits"]["calls_per_minute"], shown["limits"]["calls_per_day"]) == (2000, 5000)


def test_a_webhook_is_set_up_disabled_and_removed(logged_in: WatchedPage, caller: Caller) -> None:
    page = logged_in.page
    made = caller.deploy_with_key(caller.make_rules({"y": "input.a"}, {"a": 1}), name="Rules hook")
    logged_in.open(f"/deployments/{made['id']}/webhook")
    page.get_by_label("Callback URL").fill("https://8.8.8.8/hook")
    page.get_by_role("checkbox", name="run.started").click()
    logged_in.press("Set up a webhook")
    dialog = logged_in.dialog("Save your webhook secret")
    dialog.get_by_text("whsec_").first.wait_for()
    dialog.get_by_role("checkbox", name="I saved it").click()
    dialog.get_by_role("button", name="Close").last.click()
    page.get_by_text("No failed attempts in a row").wait_for()
    logged_in.press("Disable")
    page.get_by_text("Disabled: by a user").wait_for()
    logged_in.press("Enable and replay held events")
    page.get_by_text("Sending").wait_for()
    # Its state may be read again before the page knows that there is none.
    logged_in.announce(f"/node/webhooks/endpoints/{made['id']}/", 404)
    logged_in.press("Remove the webhook")
    logged_in.dialog("Remove the webhook").wait_for()
    logged_in.check_accessibility()
    logged_in.dialog("Remove the webhook").get_by_role("button", name="Remove the webhook").click()
    page.get_by_text("Events of runs can be sent").wait_for()
    shown = caller.ask("GET", f"/node/deployments/{made['id']}/")
    assert (shown["notification_method"], shown["callback_url"]) == ("none", None)


def test_advice_shows_its_change_first_and_makes_it(logged_in: WatchedPage, caller: Caller) -> None:
    page = logged_in.page
    flow = caller.flow_named("Iris classifier")["id"]
    made = caller.deploy_with_key(flow, name="Advised", execution_mode="sync")
    for _ in range(20):
        assert caller.call_by_key(made, {"x": ROW}).is_success
    eventually(lambda: caller.ask("GET", f"/node/deployments/{made['id']}/advice/")["items"], bool)
    logged_in.open(f"/deployments/{made['id']}/usage")
    page.get_by_text("the flow fits mode fast").wait_for()
    logged_in.press("Show the change")
    dialog = logged_in.dialog("Change the settings")
    expect(dialog).to_contain_text('"execution_mode": "fast"')
    logged_in.check_accessibility()
    dialog.get_by_role("button", name="Change it").click()
    page.get_by_text("Production · fast · Server").wait_for()
    page.get_by_text("the flow fits mode fast").wait_for(state="detached")


def test_usage_is_shown_as_charts_with_tables(logged_in: WatchedPage, caller: Caller) -> None:
    page = logged_in.page
    made = caller.deploy_with_key(
        caller.make_rules({"y": "input.a / input.b"}, {"a": 1, "b": 1}), name="Rules used"
    )
    answers = [caller.call_by_key(made, {"a": 1, "b": b}).json() for b in (1, 1, 0)]
    code = answers[-1]["code"]

    def until_counted(calls: int) -> None:  # within seconds
        path = f"/node/usage/?deployment={made['id']}"
        eventually(
            lambda: sum(each["calls"] for each in caller.ask("GET", path)["items"]),
            lambda counted: counted == calls,
        )

    until_counted(3)
    page.clock.install()
    logged_in.open(f"/deployments/{made['id']}/usage?range=1h")
    page.get_by_text("3 calls, 1 of them failed.").wait_for()
    page.get_by_role("img", name="3 calls, 1 of them failed").wait_for()
    page.get_by_text("Versions made in this time: v1.").wait_for()
    page.get_by_role("cell", name=code).wait_for()
    page.get_by_text("Show as a table").first.click()
    page.get_by_role("table", name="Calls and errors").wait_for()
    logged_in.check_accessibility()
    caller.call_by_key(made, {"a": 1, "b": 1})
    until_counted(4)
    page.clock.fast_forward(60_000)
    page.get_by_text("4 calls, 1 of them failed.").wait_for()

    logged_in.open("/usage?by=version&range=1h")
    page.get_by_role("link", name="Rules used v1").wait_for()
    with page.expect_download() as download:
        logged_in.press("Download CSV")
    lines = download.value.path().read_text().splitlines()
    assert lines[0].startswith("version,from,to,calls,errors")
    assert any(line.startswith("Rules used v1,") for line in lines)
    logged_in.follow("Code")
    page.get_by_role("cell", name=code).wait_for()


def run_sample(
    language: str, url: str, deployment: str, key: str
) -> subprocess.CompletedProcess[str]:
    """Run a sample of the product documentation, with our host, key and deployment in it."""
    text = (SAMPLES / f"{language}.txt").read_text()
    for documented, ours in ((HOST, url), (DOCUMENTED_KEY, key), (DEPLOYMENT, deployment)):
        assert text.count(documented) == 1
        text = text.replace(documented, ours)
    return subprocess.run(
        COMMANDS[language],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
