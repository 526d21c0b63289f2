"""Editing the graph of a flow, by pointer and by keyboard."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.console.editing import Owner, drag, node_on_canvas, open_editor, saving, status, tab_to
from tests.console.watched_page import WatchedPage

pytestmark = pytest.mark.services


@pytest.mark.usefixtures("at_flows")
def test_a_flow_is_built_by_keyboard_alone_and_deployed(logged_in: WatchedPage) -> None:
    page = logged_in.page
    press = page.keyboard.press
    tab_to(page, "New flow")
    press("Enter")
    logged_in.dialog("New flow").wait_for()
    page.get_by_role("radio", name="iris").wait_for()
    logged_in.dialog("New flow").locator("[role=radio]:focus").wait_for()
    press("ArrowDown")
    press("ArrowDown")
    tab_to(page, "Name of the flow")
    press("ControlOrMeta+a")
    page.keyboard.type("By keyboard")
    press("Enter")
    logged_in.heading("By keyboard").wait_for()

    path = "/node/flows/" + page.url.split("/")[-2] + "/"
    logged_in.announce(path, 422)  # the inference node has no model yet
    node_on_canvas(page, "input").wait_for()
    tab_to(page, "API input input")
    press("Enter")
    expect(page.get_by_role("region", name="Node input")).to_be_focused()
    press("Escape")
    tab_to(page, "Inference", "Shift+Tab")
    press("Enter")
    node_on_canvas(page, "model").wait_for()
    tab_to(page, "Model *")
    page.locator("option", has_text="iris").wait_for(state="attached")
    press("i")
    press("Escape")
    tab_to(page, "API output", "Shift+Tab")
    press("Enter")
    node_on_canvas(page, "output").wait_for()
    page.get_by_text("No problems").wait_for()
    status(logged_in, "Saved")

    tab_to(page, "Deploy", "Shift+Tab")  # the link to the flow's deployments
    tab_to(page, "Deploy", "Shift+Tab")
    press("Enter")
    logged_in.dialog("Create Deployment").locator("form :focus").wait_for()
    press("ControlOrMeta+Enter")
    logged_in.dialog("Save your API key").wait_for()


def test_an_edge_is_drawn_and_a_cycle_is_refused_with_its_way(
    logged_in: WatchedPage, owner: Owner
) -> None:
    page = logged_in.page
    flow_id = owner.make_flow("Edges")
    open_editor(logged_in, flow_id)
    source = node_on_canvas(page, "input").locator(".source")
    with saving(logged_in, flow_id):
        drag(page, source, node_on_canvas(page, "output").locator(".target"))
    assert ("input", "output") in owner.edges(flow_id)

    open_editor(logged_in, owner.make_flow("Cycle", [*_NO_OUTPUT]))
    drag(page, node_on_canvas(page, "b").locator(".source"), node_on_canvas(page, "a"))
    page.get_by_text("Cannot connect: this would make a cycle, a → b → a.").first.wait_for()

    node_on_canvas(page, "b").press("c")
    dialog = logged_in.dialog("Connect b")
    dialog.get_by_text("no edge leads to it").wait_for()
    dialog.get_by_text("this would make a cycle, a → b → a").wait_for()
    logged_in.check_accessibility()


_NO_OUTPUT = (
    {"id": "input", "type": "api_input"},
    {"id": "a", "type": "transform", "config": {"expression": "1"}},
    {"id": "b", "type": "transform", "config": {"expression": "2"}},
)


def test_nodes_are_connected_moved_copied_and_deleted_by_keys_and_all_is_undone(
    logged_in: WatchedPage, owner: Owner
) -> None:
    page = logged_in.page
    flow_id = owner.make_flow("Keys")
    before = owner.flow(flow_id)
    open_editor(logged_in, flow_id)
    logged_in.announce(f"/node/flows/{flow_id}/", 422)  # without a node, if that is sent
    node_on_canvas(page, "input").press("c")
    with saving(logged_in, flow_id):
        logged_in.dialog("Connect input").get_by_role("button", name="output").click()
    assert ("input", "output") in owner.edges(flow_id)

    node = node_on_canvas(page, "twice")
    with saving(logged_in, flow_id):
        node.press("ArrowRight")
    at = owner.node(flow_id, "twice")["position"]
    with saving(logged_in, flow_id):
        node.press("Shift+ArrowDown")
    assert owner.node(flow_id, "twice")["position"] == {"x": at["x"], "y": at["y"] + 100}

    node.press("ControlOrMeta+c")
    node.press("ControlOrMeta+v")
    node_on_canvas(page, "twice_2").wait_for()
    node_on_canvas(page, "twice_2").press("Delete")
    node_on_canvas(page, "twice_2").wait_for(state="hidden")
    node.press("ControlOrMeta+a")
    node.press("Delete")
    page.get_by_text("No nodes yet").wait_for()

    undo = page.get_by_role("button", name="Undo")
    while undo.is_enabled():  # two moves are one step if they follow each other within a second
        undo.click()
    node_on_canvas(page, "twice").wait_for()
    logged_in.press("Redo")
    logged_in.press("Undo")
    status(logged_in, "Saved")
    assert owner.flow(flow_id)["nodes"] == before["nodes"]
    assert owner.flow(flow_id)["edges"] == before["edges"]


def test_the_list_is_the_same_graph_for_screen_readers_and_narrow_windows(
    logged_in: WatchedPage, owner: Owner
) -> None:
    page = logged_in.page
    flow_id = owner.make_flow("As a list")
    open_editor(logged_in, flow_id)
    logged_in.press("Tidy up")
    logged_in.press("List view")
    tree = page.get_by_role("tree", name="Nodes of the flow")
    tree.get_by_role("treeitem").first.press("ArrowDown")
    tree.get_by_role("treeitem", name="twice Transform").press("Enter")
    page.get_by_role("region", name="Node twice").wait_for()
    logged_in.check_accessibility()
    page.set_viewport_size({"width": 1280, "height": 800})
    logged_in.press("Graph view")


def test_a_problem_is_marked_on_its_node_and_field_and_its_line_leads_there(
    logged_in: WatchedPage, owner: Owner
) -> None:
    page = logged_in.page
    flow_id = owner.make_flow("Problems")
    open_editor(logged_in, flow_id, "twice")
    logged_in.announce(f"/node/flows/{flow_id}/", 422)
    expression = page.get_by_label("Expression of y")
    expression.fill("inputt.x * 2")
    node_on_canvas(page, "twice").get_by_text("1 problem").wait_for()
    status(logged_in, "Not saved, kept in this browser")
    logged_in.press("Close the panel")
    page.get_by_role("button", name="inputt").click()
    panel = page.get_by_role("region", name="Node twice")
    panel.get_by_text("inputt").last.wait_for()
    logged_in.check_accessibility()
    page.set_viewport_size({"width": 1280, "height": 800})
    page.get_by_label("Expression of y").fill("input.x * 3")
    page.get_by_text("No problems").wait_for()
    status(logged_in, "Saved")
    assert owner.node(flow_id, "twice")["config"] == {"fields": {"y": "input.x * 3"}}


def test_an_expression_is_completed_and_shows_its_value(
    logged_in: WatchedPage, owner: Owner
) -> None:
    page = logged_in.page
    flow_id = owner.make_flow("Expressions")
    open_editor(logged_in, flow_id, "twice")
    logged_in.announce(f"/node/flows/{flow_id}/", 422)
    expression = page.get_by_role("textbox", name="Expression of y")
    expression.fill("")
    expression.press_sequentially("inp")
    page.get_by_role("option", name="input").wait_for()
    logged_in.check_accessibility()
    page.set_viewport_size({"width": 1280, "height": 800})
    expression.press_sequentially("ut.")
    page.get_by_role("option", name="x").wait_for()
    page.wait_for_timeout(
        100
    )  # CodeMirror takes no completion in the first 75 ms: it may be a slip
    expression.press("Enter")
    expression.press_sequentially(" * 3")
    page.get_by_text("= 60").wait_for()
    status(logged_in, "Saved")
    assert owner.node(flow_id, "twice")["config"] == {"fields": {"y": "input.x * 3"}}
