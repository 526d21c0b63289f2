"""Versions in the console: redeployed, rehearsed, tried beside the live one, rolled back."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.console.caller import Caller, rules_flow, until_answered
from tests.console.watched_page import WatchedPage

pytestmark = pytest.mark.services


def test_a_breaking_redeploy_is_held_then_rolled_back(
    logged_in: WatchedPage, caller: Caller
) -> None:
    page = logged_in.page
    flow = caller.make_rules({"y": "input.a"}, {"a": 1})
    made = caller.deploy_with_key(flow, name="Rules live")
    assert caller.call_by_key(made, {"a": 1}).json()["output_data"] == {"y": 1}
    caller.change_rules(
        flow, {"y": "input.a * 10"}, {"a": 1, "b": 2}, type="object", required=["a", "b"]
    )

    logged_in.open(f"/flows/{flow}/deploy")
    page.get_by_text("Draft differs").wait_for()
    logged_in.follow("Redeploy")
    dialog = logged_in.dialog("Redeploy Rules live")
    dialog.get_by_text("Breaks calls").first.wait_for()
    page.keyboard.press("Escape")
    page.wait_for_url(f"**/flows/{flow}/deploy")
    logged_in.follow("Redeploy")
    dialog.get_by_text("Breaks calls").first.wait_for()
    first_line = dialog.get_by_role("row").nth(1)
    expect(first_line).to_contain_text("Breaks calls")
    button = dialog.get_by_role("button", name="Redeploy as v2")
    assert button.is_disabled()
    logged_in.check_accessibility()
    dialog.get_by_role("checkbox", name="Callers must change").click()
    dialog.get_by_label("Note").fill("Ten times")
    button.click()
    page.get_by_text("Version 2 is live.").wait_for()
    page.get_by_role("cell", name="Ten times").wait_for()
    until_answered(caller, made, {"a": 1, "b": 2}, {"y": 10})
    assert caller.call_by_key(made, {"a": 1}).status_code == 422

    logged_in.press("Promote v1")
    logged_in.dialog("Promote v1?").get_by_role("row", name="output/config").first.wait_for()
    logged_in.dialog("Promote v1?").get_by_role("button", name="Promote v1").click()
    page.get_by_text("Version 1 is live.").hover()  # it stays as long as that
    until_answered(caller, made, {"a": 1}, {"y": 1})
    page.get_by_text("Live v1").wait_for()
    logged_in.press("Undo")
    page.get_by_text("Live v2").wait_for()
    until_answered(caller, made, {"a": 1, "b": 2}, {"y": 10})

    page.get_by_role("link", name="v1", exact=True).click()
    page.get_by_role("heading", name="Graph").wait_for()
    logged_in.open(f"/deployments/{made['id']}/compare?before=1&after=2")
    page.get_by_role("table", name="Changes").wait_for()
    graph = page.get_by_role("img", name="Both graphs: 0 nodes added, 0 removed, 2 changed.")
    expect(graph.get_by_text("Changed")).to_have_count(2)


def test_a_redeploy_is_rehearsed_on_recorded_inputs(logged_in: WatchedPage, caller: Caller) -> None:
    page = logged_in.page
    flow = caller.make_rules({"y": "input.a"}, {"a": 1})
    made = caller.deploy_with_key(flow, name="Rules rehearsed")
    for a in (0, 1, 2):
        assert caller.call_by_key(made, {"a": a}).json()["output_data"] == {"y": a}
    limited = {
        "type": "object",
        "required": ["a"],
        "properties": {"a": {"type": "integer", "maximum": 1}},
    }
    caller.change_rules(flow, {"y": "input.a * 10"}, {"a": 1}, **limited)

    logged_in.open(f"/deployments/{made['id']}/redeploy")
    dialog = logged_in.dialog("Redeploy Rules rehearsed")
    dialog.get_by_text("Callers must change").wait_for()
    dialog.get_by_label("Last inputs").select_option("10")
    dialog.get_by_role("button", name="Rehearse on the last 10 inputs").click()
    dialog.get_by_text("3 of 3 compared").wait_for()
    for count in ("1 equal", "1 different", "1 failed"):
        expect(dialog).to_contain_text(count)
    (different,) = (
        dialog.get_by_role("table", name="Different answers").get_by_role("row").all()[1:]
    )
    assert [cell.inner_text() for cell in different.get_by_role("cell").all()[1:]] == [
        "/y",
        "1",
        "10",
    ]
    failed = dialog.get_by_role("table", name="Inputs without an answer")
    expect(failed).to_contain_text("invalid_input")
    logged_in.check_accessibility()

    dialog.get_by_role("checkbox", name="Callers must change").click()
    dialog.get_by_role("button", name="Redeploy as v2").click()
    page.get_by_text("Version 2 is live.").hover()  # it stays as long as that
    until_answered(caller, made, {"a": 1}, {"y": 10})
    logged_in.press("Roll back to 1")
    page.get_by_text("Live v1").wait_for()
    until_answered(caller, made, {"a": 1}, {"y": 1})

    logged_in.open(f"/deployments/{made['id']}/redeploy")
    dialog = logged_in.dialog("Redeploy Rules rehearsed")
    different = dialog.get_by_role("table", name="Different answers")
    test = different.get_by_role("link", name=re.compile("^Test "))
    expect(test).to_have_attribute("href", re.compile("/console/runs/[0-9a-f-]{36}$"))


def test_a_rehearsal_that_goes_on_is_cancelled(logged_in: WatchedPage, caller: Caller) -> None:
    flow = caller.make_rules({"y": "input.a"}, {"a": 1})
    made = caller.deploy_with_key(flow, name="Rules waiting")
    assert caller.call_by_key(made, {"a": 1}).is_success
    draft = rules_flow({"y": "input.a"}, {"a": 1}, {})
    draft["nodes"].append({"id": "pause", "type": "wait", "config": {"seconds": 600}})
    draft["edges"].append({"source": "input", "target": "pause"})
    caller.ask("PATCH", f"/node/flows/{flow}/", draft)
    logged_in.open(f"/deployments/{made['id']}/redeploy")
    dialog = logged_in.dialog("Redeploy Rules waiting")
    dialog.get_by_role("button", name="Rehearse on the last 20 inputs").click()
    dialog.get_by_text("0 of 1 compared").wait_for()
    logged_in.check_accessibility()
    dialog.get_by_role("button", name="Cancel the rehearsal").click()
    dialog.get_by_text("It was cancelled").wait_for()
    logged_in.check_accessibility()


def test_nodes_that_call_other_systems_are_asked_for(
    logged_in: WatchedPage, caller: Caller
) -> None:
    flow = caller.make_rules({"y": "input.a"}, {"a": 1})
    made = caller.deploy_with_key(flow, name="Rules calling")
    assert caller.call_by_key(made, {"a": 1}).is_success
    draft = rules_flow({"y": "input.a"}, {"a": 1}, {})
    draft["nodes"].append(
        {"id": "notify", "type": "http_request", "config": {"url": "https://127.0.0.1:9/"}}
    )
    draft["edges"].append({"source": "input", "target": "notify"})
    caller.ask("PATCH", f"/node/flows/{flow}/", draft)
    logged_in.open(f"/deployments/{made['id']}/redeploy")
    dialog = logged_in.dialog("Redeploy Rules calling")
    logged_in.announce(f"/node/deployments/{made['id']}/rehearse/", 422)
    dialog.get_by_role("button", name="Rehearse on the last 20 inputs").click()
    dialog.get_by_text("notify: what they send").wait_for()
    logged_in.check_accessibility()
    dialog.get_by_role("button", name="Rehearse, and call them").click()
    dialog.get_by_text("1 of 1 compared").wait_for()


def test_a_draft_that_cannot_be_deployed_says_why(logged_in: WatchedPage, caller: Caller) -> None:
    flow = caller.make_rules({"y": "input.a"}, {"a": 1})
    made = caller.deploy_with_key(flow, name="Rules broken")
    unconnected = {**rules_flow({"y": "input.a"}, {"a": 1}, {}), "edges": []}
    caller.ask("PATCH", f"/node/flows/{flow}/", unconnected)
    logged_in.open(f"/deployments/{made['id']}/redeploy")
    dialog = logged_in.dialog("Redeploy Rules broken")
    dialog.get_by_text("The draft cannot be deployed").wait_for()
    assert dialog.get_by_role("button", name="Redeploy as v2").is_disabled()


def test_a_canary_is_begun_watched_and_rolled_back(logged_in: WatchedPage, caller: Caller) -> None:
    page = logged_in.page
    flow = caller.make_rules({"y": "input.a"}, {"a": 1})
    made = caller.deploy_with_key(flow, name="Rules tried beside")
    caller.change_rules(flow, {"y": "input.a * 10"}, {"a": 1})

    logged_in.open(f"/deployments/{made['id']}/versions")
    logged_in.follow("Try beside the live one")
    dialog = logged_in.dialog("Try a version of Rules tried beside")
    expect(dialog.get_by_role("radio", name="Shadow")).to_be_disabled()
    share = dialog.get_by_label("Share of the calls, in per cent")
    share.fill("100")
    dialog.get_by_text("Expected a whole number from 1 to 99.").wait_for()
    expect(dialog.get_by_role("button", name="Begin")).to_be_disabled()
    share.fill("99")
    dialog.get_by_text("2 percentage points more errors, 2 times as slow").click()
    dialog.get_by_label("Slowdown, as a factor of live").fill("")
    dialog.get_by_text("latency is not checked").wait_for()
    logged_in.check_accessibility()
    dialog.get_by_role("button", name="Begin").click()
    page.get_by_role("heading", name="Canary: v2 beside v1").wait_for()
    page.get_by_text("Canary v2, 99 %").wait_for()
    until_answered(caller, made, {"a": 1}, {"y": 10})
    row = page.get_by_role("table", name="The latest calls of both").get_by_role("row").nth(2)
    expect(row).not_to_contain_text("\N{EN DASH}")  # its calls have been counted
    logged_in.check_accessibility()

    share = page.get_by_label("Share of the calls, in per cent")
    share.fill("1")
    logged_in.press("Change the share")
    page.get_by_text("The share is 1 % now.").first.wait_for()
    until_answered(caller, made, {"a": 1}, {"y": 1})
    logged_in.press("Roll back")
    page.get_by_text("Version 1 answers all calls again.").first.wait_for()
    page.get_by_text("Rolled back").wait_for()
    page.get_by_text("Canary v2, 1 %").wait_for(state="detached")
    logged_in.check_accessibility()

    logged_in.follow("Try beside the live one")
    dialog.get_by_label("Version", exact=True).select_option("2")
    dialog.get_by_role("button", name="Begin").click()
    page.get_by_text("Canary v2, 10 %").wait_for()
    page.get_by_role("button", name="Promote v2").first.click()
    logged_in.dialog("Promote v2?").get_by_role("button", name="Promote v2").click()
    page.get_by_text("✓Promoted").wait_for()
    page.get_by_text("Live v2").wait_for()
    until_answered(caller, made, {"a": 1}, {"y": 10})
