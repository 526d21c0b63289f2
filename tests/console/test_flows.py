"""The list of flows: what can be done with one, files that are imported, and what flows were."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.console.conftest import owner_of
from tests.console.editing import CHAIN, Owner, node_on_canvas, open_editor
from tests.console.watched_page import KEY, WatchedPage
from tests.slipstream.running import Up

pytestmark = pytest.mark.services

# Any, throughout: JSON
_EXACT: Sequence[Mapping[str, Any]] = (
    {"id": "input", "type": "api_input", "config": {"test_data": {"x": 2**53 + 1}}, "note": "kept"},
    {**CHAIN[1], "position": {"x": 280, "y": 20}},
    CHAIN[2],
)
"""Nodes with a number that browsers round, and a member that only an editor reads."""
_LONGER = (
    CHAIN[0],
    {"id": "half", "type": "transform", "config": {"fields": {"x": "input.x / 2"}}},
    {**CHAIN[1], "config": {"fields": {"y": "half.x * 4"}}},
    CHAIN[2],
)
_DROP = """([name, text]) => {
  const data = new DataTransfer();
  data.items.add(new File([text], name));
  const list = document.querySelector("main h1");
  for (const kind of ["dragover", "drop"])
    list.dispatchEvent(new DragEvent(kind, {bubbles: true, cancelable: true, dataTransfer: data}));
}"""


def choose(watched: WatchedPage, flow: str, action: str) -> None:
    """Choose an action in the menu of a flow."""
    watched.page.get_by_role("button", name=f"Actions for {flow}", exact=True).click()
    watched.page.get_by_role("menuitem", name=action, exact=True).click()


def graph(flow: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return what a flow does."""
    return flow["nodes"], flow["edges"]


def import_file(watched: WatchedPage, path: Path) -> None:
    """Choose a file in the dialog for a new flow."""
    watched.page.get_by_role("radio", name="A JSON file").click()
    watched.page.get_by_label("File", exact=True).set_input_files(path)


@pytest.mark.usefixtures("at_flows")
def test_a_copy_and_an_exported_file_have_the_same_graph(
    logged_in: WatchedPage, owner: Owner, tmp_path: Path
) -> None:
    page = logged_in.page
    original = owner.flow(owner.make_flow("Exact 1/2", _EXACT))
    page.get_by_role("link", name="Exact 1/2").wait_for()
    choose(logged_in, "Exact 1/2", "Duplicate")
    page.get_by_role("row").filter(has_text="Copy of Exact 1/2").wait_for()
    assert graph(owner.flow_named("Copy of Exact 1/2")) == graph(original)
    logged_in.press("Open")
    logged_in.heading("Copy of Exact 1/2").wait_for()

    with page.expect_download() as download:
        choose(logged_in, "Copy of Exact 1/2", "Export JSON")
    assert download.value.suggested_filename == "copy-of-exact-1-2.json"
    file = tmp_path / "exported.json"
    download.value.save_as(file)
    assert graph(json.loads(file.read_text())) == graph(original)

    logged_in.open("/flows/new")
    import_file(logged_in, file)
    page.get_by_text("No problems. It has 3 nodes.").wait_for()
    logged_in.check_accessibility()
    page.get_by_label("Name of the flow").fill("Imported")
    logged_in.press("Import flow")
    logged_in.heading("Imported").wait_for()
    assert graph(owner.flow_named("Imported")) == graph(original)


def test_a_file_is_not_imported_that_is_no_flow_and_each_problem_is_named(
    logged_in: WatchedPage, owner: Owner, tmp_path: Path
) -> None:
    page = logged_in.page
    file = tmp_path / "flow.json"
    logged_in.open("/flows/new")
    dialog = logged_in.dialog("New flow")
    submit = dialog.get_by_role("button", name="Import flow")
    for status_code in (400, 422):
        logged_in.announce("/node/flows/check/", status_code)
    wrong = {"nodes": [{"id": "a", "type": "spell"}], "edges": [{"source": "b", "target": "a"}]}
    for text, said in (
        ('{"nodes": [\n  oops]}', "line 2 column 3"),
        ('{"edges": []}', "#/nodes"),
        (json.dumps(wrong), "#/nodes/0/type"),
        (json.dumps(wrong), "#/edges/0/source"),
        (" " * (4 * 2**20 + 1), "Expected a file of at most 4.00 MiB"),
    ):
        file.write_text(text)
        import_file(logged_in, file)
        dialog.get_by_role("alert").get_by_text(said).first.wait_for()
        assert submit.is_disabled()
    import_file(logged_in, file)
    logged_in.check_accessibility()

    logged_in.open("/flows")
    page.get_by_role("link", name="Iris classifier").wait_for()
    page.evaluate(_DROP, ["notes.txt", "{}"])
    page.get_by_text("Expected a file that ends in .json or .onnx, got notes.txt.").first.wait_for()
    unreachable = [*CHAIN, {"id": "alone", "type": "transform", "config": {"expression": "1"}}]
    edges = [{"source": "input", "target": "twice"}, {"source": "twice", "target": "output"}]
    dropped = {"name": "Dropped", "nodes": unreachable, "edges": edges}
    page.evaluate(_DROP, ["flow.json", json.dumps(dropped)])
    dialog.get_by_text("It can be imported, and cannot be deployed as it is").wait_for()
    assert page.get_by_label("Name of the flow").input_value() == "Dropped"
    submit.click()
    logged_in.heading("Dropped").wait_for()
    assert graph(owner.flow_named("Dropped")) == (unreachable, edges)


@pytest.mark.usefixtures("at_flows")
def test_an_example_is_made(logged_in: WatchedPage, owner: Owner) -> None:
    page = logged_in.page
    logged_in.follow("New flow")
    dialog = logged_in.dialog("New flow")
    dialog.get_by_role("radio", name="An example").click()
    dialog.get_by_role("radio", name="Prices with tax").click()
    expect(dialog.get_by_label("Name of the flow")).to_have_value("Prices with tax")
    dialog.get_by_label("Name of the flow").fill("Prices of the shop")
    dialog.get_by_role("button", name="Make flow").click()
    node_on_canvas(page, "prices").wait_for()
    assert owner.flow_named("Prices of the shop")["nodes"][1]["id"] == "prices"


@pytest.mark.usefixtures("at_flows")
def test_a_flow_is_deleted_once_no_deployment_uses_it(logged_in: WatchedPage, owner: Owner) -> None:
    page = logged_in.page
    flow_id = owner.make_flow("Doomed")
    deployment_id = owner.deploy(flow_id, "Still answering")
    choose(logged_in, "Doomed", "Delete")
    dialog = logged_in.dialog("Delete Doomed?")
    dialog.get_by_role("link", name="Still answering").wait_for()
    submit = dialog.get_by_role("button", name="Delete flow")
    assert submit.is_disabled()

    owner.delete_deployment(deployment_id)
    dialog.get_by_text("This cannot be undone").wait_for()
    submit.click()
    page.get_by_text("The flow Doomed is deleted.").first.wait_for()
    page.get_by_role("link", name="Doomed").wait_for(state="detached")


def test_a_flow_is_deleted_in_its_editor_with_what_is_not_saved(
    logged_in: WatchedPage, owner: Owner
) -> None:
    page = logged_in.page
    flow_id = owner.make_flow("Edited and doomed")
    for path in (f"/node/flows/{flow_id}/", f"/node/flows/{flow_id}/revisions/"):
        logged_in.announce(path, 404)  # the stream tells the page before its own answer does
    open_editor(logged_in, flow_id)
    node_on_canvas(page, "twice").press("ArrowRight")
    choose(logged_in, "Edited and doomed", "Delete")
    logged_in.dialog("Delete Edited and doomed?").get_by_role("button", name="Delete flow").click()
    logged_in.heading("Flows").wait_for()
    page.get_by_text("The flow Edited and doomed is deleted.").first.wait_for()
    assert not page.get_by_role("link", name="Edited and doomed").count()


def test_history_says_what_changed_and_a_restore_is_undone(
    logged_in: WatchedPage, owner: Owner
) -> None:
    page = logged_in.page
    flow_id = owner.make_flow("Remembered", _EXACT)
    before = owner.flow(flow_id)
    open_editor(logged_in, flow_id)
    logged_in.follow("History")
    logged_in.heading("History of Remembered").wait_for()
    logged_in.press("Name this state")
    dialog = logged_in.dialog("Name the present draft")
    dialog.get_by_label("Name").fill("Before the half")
    dialog.get_by_role("button", name="Keep it").click()
    page.get_by_role("row").filter(has_text="Before the half").wait_for()

    owner.redraft(flow_id, _LONGER)
    after = owner.flow(flow_id)
    row = page.get_by_role("row").filter(has_text="Revision 2")
    row.get_by_text("Added half (transform) · Changed input: config.test_data, note").wait_for()
    row.get_by_text("Present draft").wait_for()
    logged_in.follow("Revision 1")
    page.get_by_text("Removed half (transform)").wait_for()
    page.locator(".react-flow__node").nth(2).wait_for()
    logged_in.press("Restore")
    page.get_by_text("Revision 1 is the draft now.").first.wait_for()
    assert graph(owner.flow(flow_id)) == graph(before)
    page.get_by_text("It is the same as the present draft.").first.wait_for(state="attached")
    logged_in.press("Undo")
    page.get_by_text("The draft is as it was before.").first.wait_for()
    assert graph(owner.flow(flow_id)) == graph(after)


@pytest.mark.usefixtures("at_flows")
def test_a_restore_never_overwrites_what_the_page_has_not_shown(
    logged_in: WatchedPage, owner: Owner
) -> None:
    page = logged_in.page
    flow_id = owner.make_flow("Contested")
    owner.name_revision(flow_id, "Short")
    owner.redraft(flow_id, _LONGER)
    choose(logged_in, "Contested", "History")
    logged_in.follow("Revision 1")
    page.get_by_text("Removed half (transform)").first.wait_for()
    logged_in.press("Pause live updates")
    owner.rename_node(flow_id, "half", "Meanwhile")
    logged_in.announce(f"/node/flows/{flow_id}/", 412)
    logged_in.press("Restore")
    page.get_by_text("The draft was changed meanwhile, and nothing was restored.").wait_for()
    assert owner.node(flow_id, "half")["name"] == "Meanwhile"
    page.get_by_text("Removed half (transform)").first.wait_for()
    logged_in.press("Restore")
    page.get_by_text("Revision 1 is the draft now.").first.wait_for()


def test_what_is_live_becomes_the_draft_again(logged_in: WatchedPage, owner: Owner) -> None:
    page = logged_in.page
    flow_id = owner.make_flow("Back", _EXACT)
    live = owner.flow(flow_id)
    logged_in.open(f"/flows/{flow_id}/history")
    logged_in.press("Back to what is live")
    dialog = logged_in.dialog("Back to what is live")
    dialog.get_by_text("nothing is live").wait_for()
    dialog.get_by_role("button", name="Cancel").click()

    owner.deploy(flow_id, "Older")
    owner.redraft(flow_id, _LONGER)
    owner.deploy(flow_id, "Newer")
    logged_in.press("Back to what is live")
    dialog.get_by_role("radio", name="Newer").wait_for()
    dialog.get_by_text("It is the same as the present draft.").wait_for()
    submit = dialog.get_by_role("button", name="Make it the draft")
    assert submit.is_disabled()
    dialog.get_by_role("radio", name="Older").click()
    dialog.get_by_text("Removed half (transform)").wait_for()
    logged_in.check_accessibility()
    submit.click()
    page.get_by_text("Version 1 of Older is the draft now.").first.wait_for()
    assert graph(owner.flow(flow_id)) == graph(live)
    logged_in.follow("Graph")
    node_on_canvas(page, "twice").wait_for()
    assert not node_on_canvas(page, "half").count()


def test_a_dialog_shows_its_request_as_a_command_that_does_the_same(
    logged_in: WatchedPage, running: Up, owner: Owner
) -> None:
    page = logged_in.page
    flow_id = owner.make_flow("Scripted")
    with owner_of(running) as client:
        body = {"name": "scripts", "scope": "manage"}
        key = client.post("/node/api-keys/", json=body).raise_for_status().json()["key"]
    logged_in.open("/settings/keys/new")
    page.get_by_label("Name").fill("it's scripted")
    run_shown_command(logged_in, key)
    logged_in.check_accessibility()
    logged_in.open("/settings/keys")
    page.get_by_role("row").filter(has_text="it's scripted").wait_for()

    logged_in.open(f"/flows/{flow_id}/history")
    logged_in.press("Name this state")
    logged_in.dialog("Name the present draft").get_by_label("Name").fill("By a script")
    run_shown_command(logged_in, key)
    page.locator("tr", has_text="By a script").wait_for()  # behind the dialog

    logged_in.open("/flows")
    choose(logged_in, "Scripted", "Delete")
    run_shown_command(logged_in, key)
    page.locator("tr", has_text="Scripted").wait_for(state="detached")


def run_shown_command(watched: WatchedPage, key: str) -> None:
    """Run the command that the open dialog shows; without a key, it sends nothing."""
    dialog = watched.page.get_by_role("dialog")
    dialog.get_by_text("Show as cURL").click()
    command = watched.copied_by(dialog.get_by_role("button", name="Copy"))
    assert not KEY.search(command)
    environment = {name: value for name, value in os.environ.items() if "SLIPSTREAM" not in name}
    shell = ["/bin/sh", "-c", command.replace("curl -X", "curl -sS --fail-with-body -X")]
    keyless = subprocess.run(shell, env=environment, capture_output=True, check=False)
    assert keyless.returncode
    assert b"SLIPSTREAM_API_KEY" in keyless.stderr
    environment["SLIPSTREAM_API_KEY"] = key
    subprocess.run(shell, env=environment, capture_output=True, check=True)
