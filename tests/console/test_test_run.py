"""Test runs in the flow editor: of all nodes, of some, and of what a failed run was given."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from tests.console.editing import (
    CHAIN,
    Owner,
    fill_expression,
    node_on_canvas,
    open_editor,
    open_panel,
    status,
)
from tests.console.watched_page import WatchedPage

pytestmark = pytest.mark.services

# Any, throughout: JSON
Nodes = Sequence[Mapping[str, Any]]
TEST = "/node/flows/test/"
BEYOND_DOUBLES = 2**53 + 1
RATIO: Nodes = (
    {"id": "input", "type": "api_input", "config": {"test_data": {"a": 6, "b": 3}}},
    {"id": "parts", "type": "transform", "config": {"fields": {"a": "input.a", "b": "input.b"}}},
    {"id": "ratio", "type": "transform", "config": {"fields": {"q": "parts.a / parts.b"}}},
    {"id": "output", "type": "api_output", "config": {"fields": {"q": "ratio.q"}}},
)


def data_line(watched: WatchedPage) -> Locator:
    """Return the line below the graph."""
    return watched.page.get_by_role("region", name="Test data")


def card(watched: WatchedPage, node_id: str) -> Locator:
    """Return a node of the graph."""
    return node_on_canvas(watched.page, node_id)


def panel(watched: WatchedPage, node_id: str, tab: str) -> Locator:
    """Open a tab of a node's panel."""
    shown = open_panel(watched, node_id)
    shown.get_by_role("tab", name=tab).click()
    return shown


def test_the_nodes_light_up_and_show_what_they_gave_or_why_not(
    logged_in: WatchedPage, owner: Owner
) -> None:
    page = logged_in.page
    open_editor(logged_in, owner.make_flow("Lights", RATIO), "ratio")
    logged_in.press("Test run")
    data_line(logged_in).get_by_text("The test has completed").wait_for()
    expect(card(logged_in, "ratio")).to_have_accessible_name(re.compile(r"completed in \d"))
    output = panel(logged_in, "ratio", "Output")
    output.get_by_text('"q": 2').wait_for()
    panel(logged_in, "output", "Output").get_by_text('"q": 2').wait_for()

    panel(logged_in, "ratio", "Settings")
    fill_expression(page, "q", "parts.a / 0")
    page.get_by_role("region", name="Node ratio").get_by_text("division by zero").wait_for()
    page.keyboard.press("Control+Enter")  # before it is saved: the draft in memory is tested
    data_line(logged_in).get_by_text("The test has failed at ratio").wait_for()
    expect(card(logged_in, "ratio")).to_contain_text(re.compile("Failed: .*division by zero"))
    expect(card(logged_in, "output")).to_contain_text("Skipped")
    panel(logged_in, "ratio", "Output").get_by_role("alert").get_by_text("division").wait_for()
    logged_in.check_accessibility()


def test_a_test_is_followed_while_it_runs_and_stopped(logged_in: WatchedPage, owner: Owner) -> None:
    pause = {"id": "pause", "type": "wait", "config": {"seconds": 600}}
    open_editor(logged_in, owner.make_flow("Slow", [CHAIN[0], pause, *CHAIN[1:]]))
    logged_in.press("Test run")
    card(logged_in, "pause").get_by_text("Running").wait_for()
    card(logged_in, "twice").get_by_text("Waiting").wait_for()
    logged_in.press("Stop the test")
    card(logged_in, "pause").get_by_text("Cancelled").wait_for()
    data_line(logged_in).get_by_text("The test was cancelled").wait_for()
    logged_in.page.get_by_role("button", name="Test run").wait_for()


def test_test_data_come_from_the_signature_or_the_last_run_and_are_saved_with_the_flow(
    logged_in: WatchedPage, owner: Owner
) -> None:
    page = logged_in.page
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
    nodes = [{**CHAIN[0], "config": {"schema": schema}}, *CHAIN[1:]]
    flow_id = owner.make_flow("Input", nodes)
    open_editor(logged_in, flow_id)
    line = data_line(logged_in)
    text = line.get_by_role("textbox", name="Test data")
    text.fill('{"x": "many"}')
    logged_in.announce(TEST, 422)
    logged_in.press("Test run")
    line.get_by_role("alert").get_by_text("input_data/x").wait_for()
    logged_in.check_accessibility()
    page.set_viewport_size({"width": 1280, "height": 800})

    text.fill("{")
    line.get_by_text("This is no JSON").wait_for()
    expect(page.get_by_role("button", name="Test run")).to_have_attribute("aria-disabled", "true")
    logged_in.press("From signature")
    expect(text).to_have_value('{"x":1}')
    status(logged_in, "Saved")
    assert owner.node(flow_id, "input")["config"]["test_data"] == {"x": 1}

    # What a browser would round is tested as it is, and not saved.
    text.fill(f'{{"x": {BEYOND_DOUBLES}}}')
    line.get_by_text("not saved with the flow").wait_for()
    logged_in.press("Test run")
    line.get_by_text("The test has completed").wait_for()
    panel(logged_in, "twice", "Output").get_by_text(str(2 * BEYOND_DOUBLES)).wait_for()
    text.fill('{"x": 5}')
    logged_in.press("From last run")
    expect(text).to_have_value(f'{{"x":{BEYOND_DOUBLES}}}')
    line.get_by_text("it is not saved with the flow").wait_for()
    logged_in.press("Back to the flow's test data")
    expect(text).to_have_value('{"x":5}')
    status(logged_in, "Saved")
    assert owner.node(flow_id, "input")["config"]["test_data"] == {"x": 5}

    page.get_by_role("navigation", name="Parts of the flow").get_by_text("Runs").click()
    logged_in.heading("Runs of Input").wait_for()
    expect(page.get_by_role("grid", name="Runs").get_by_text("Test of a draft")).to_have_count(1)


def test_a_part_of_a_flow_is_tested_and_pinned_outputs_stand_for_nodes(
    logged_in: WatchedPage, owner: Owner
) -> None:
    page = logged_in.page
    open_editor(logged_in, owner.make_flow("Parts", RATIO))
    line = data_line(logged_in)
    logged_in.announce(TEST, 422)
    output = panel(logged_in, "ratio", "Output")
    output.get_by_role("button", name="Run this node only").click()
    line.get_by_text("'ratio' reads 'parts'").wait_for()

    output.get_by_role("button", name="Run up to here").click()
    output.get_by_text('"q": 2').wait_for()
    expect(card(logged_in, "parts")).to_have_accessible_name(re.compile("completed"))
    expect(card(logged_in, "output")).to_have_accessible_name("API output output")

    panel(logged_in, "ratio", "Settings")
    fill_expression(page, "q", "parts.a * parts.b")
    page.get_by_text("= 18").wait_for()  # of what the test has found of `parts`
    panel(logged_in, "ratio", "Output")
    output.get_by_role("button", name="Run this node only").click()
    output.get_by_text('"q": 18').wait_for()

    output.get_by_role("button", name="Pin this output").click()
    card(logged_in, "ratio").get_by_text("Pinned").wait_for()
    line.get_by_role("button", name="ratio").wait_for()
    logged_in.check_accessibility()
    page.set_viewport_size({"width": 1280, "height": 800})
    line.get_by_role("textbox", name="Test data").fill('{"a": 2, "b": 0}')
    logged_in.press("Test run")
    line.get_by_text("The test has completed").wait_for()
    panel(logged_in, "output", "Output").get_by_text('"q": 18').wait_for()

    line.get_by_role("button", name="ratio").click()
    logged_in.press("Test run")
    page.get_by_role("region", name="Node output").get_by_text('"q": 0').wait_for()


def test_a_failed_run_is_tried_in_the_editor_corrected_redeployed_and_retried(
    logged_in: WatchedPage, owner: Owner
) -> None:
    page = logged_in.page
    flow_id = owner.make_flow("Journey", RATIO)
    body = {"flow_id": flow_id, "name": "Ratio", "deployment_type": "server"}
    made = owner.ask("POST", "/node/deployments/", body)
    owner.rename_node(flow_id, "output", "Result")
    call = {"input_data": {"a": 4, "b": 0}}
    failed = owner.call(made["trigger_path"], call)

    logged_in.open(f"/runs/{failed}")
    logged_in.follow("Try in editor")
    line = data_line(logged_in)
    expect(line.get_by_role("textbox", name="Test data")).to_have_value('{"a":4,"b":0}')
    line.get_by_text("This draft differs from Ratio v1, which the run used.").wait_for()
    card(logged_in, "parts").get_by_text("Pinned").wait_for()
    expect(card(logged_in, "ratio")).to_contain_text(re.compile("Failed: .*division by zero"))
    assert owner.node(flow_id, "input")["config"]["test_data"] == {"a": 6, "b": 3}
    page.set_viewport_size({"width": 1280, "height": 800})

    page.get_by_role("textbox", name="Expression of q").focus()
    page.get_by_role("region", name="Node ratio").get_by_text("division by zero").wait_for()
    fill_expression(page, "q", "parts.b == 0 ? 0 : parts.a / parts.b")
    page.get_by_text("= 0", exact=True).wait_for()
    logged_in.press("Test run")
    line.get_by_text("The test has completed").wait_for()
    status(logged_in, "Saved")

    logged_in.open(f"/deployments/{made['id']}/redeploy")
    dialog = logged_in.dialog("Redeploy Ratio")
    dialog.get_by_role("button", name="Redeploy as v2").click()
    page.get_by_text("Version 2 is live.").wait_for()
    logged_in.open(f"/runs/{failed}")
    page.get_by_label("Version to retry with").select_option("latest")
    logged_in.press("Retry")
    page.get_by_text("Retry of").wait_for()
    page.get_by_text("✓Completed").wait_for()
    page.get_by_role("link", name="Ratio v2").wait_for()
