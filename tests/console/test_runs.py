"""Runs in the console: found, opened where they failed, read, cancelled and retried."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.console.made_runs import MAX_ROWS, Runs, go_down, rows_of
from tests.console.watched_page import WatchedPage
from tests.slipstream.running import Up
from tests.system.flow_documents import division_flow, failing_flow, transform_flow, waiting_flow

pytestmark = pytest.mark.services

MANY = 10_000
BIG = 9007199254740993


@pytest.fixture(scope="module")
def runs(running: Up) -> Iterator[Runs]:
    """The runs of the installation, by a session of its user."""
    made = Runs(running)
    yield made
    made.http.close()


@pytest.mark.usefixtures("at_flows")
def test_a_failed_run_is_found_read_and_retried_with_the_corrected_flow(
    logged_in: WatchedPage, runs: Runs
) -> None:
    page = logged_in.page
    deployment = runs.deploy(failing_flow())
    failed = runs.call(deployment, x=BIG)
    logged_in.follow("Runs")
    logged_in.heading("Runs").wait_for()
    page.get_by_label("State").select_option("failed")
    page.get_by_label("Error code").fill("flow_failed")
    page.wait_for_url("**code=flow_failed**")

    page.get_by_role("link", name=f"{failed[:4]}…{failed[-4:]}").first.click()
    logged_in.heading(f"Run {failed[:4]}…{failed[-4:]}").wait_for()
    details = page.get_by_role("region", name="Details of the span")
    details.get_by_role("heading", name="compute").wait_for()
    assert "span=" not in page.url, "a navigation would call back who has just followed a link"
    details.get_by_text("division by zero").wait_for()
    details.get_by_text('"y": "1 / 0"').wait_for()
    details.get_by_text(str(BIG)).wait_for()

    runs.change_flow(deployment, transform_flow())
    page.get_by_label("Version to retry with").select_option("latest")
    logged_in.press("Retry")
    page.get_by_text("Retry of").wait_for()
    page.get_by_text("✓Completed").wait_for()
    page.get_by_role("tab", name="Input").click()
    page.get_by_text(f'"x": {BIG}').first.wait_for()
    page.get_by_role("tab", name="cURL").click()
    page.get_by_text(f'"x":{BIG}').first.wait_for()
    page.get_by_role("tab", name="JSON").click()
    page.get_by_text("flow_run_id").wait_for()
    logged_in.check_accessibility()


def test_a_run_is_followed_until_it_is_cancelled(logged_in: WatchedPage, runs: Runs) -> None:
    page = logged_in.page
    run = runs.call(runs.deploy(waiting_flow(600), "async"), x=1)
    logged_in.open(f"/runs/{run}")
    page.get_by_text("Running").wait_for()
    logged_in.press("Cancel run")
    page.get_by_text("Cancelled at pause").wait_for()
    grid = page.get_by_role("grid", name="Spans of the run")
    grid.get_by_text("cancel · cancelled").wait_for()
    page.get_by_role("button", name="Cancel run").wait_for(state="hidden")


def test_ten_thousand_runs_keep_few_rows_and_are_filtered(
    logged_in: WatchedPage, runs: Runs
) -> None:
    page = logged_in.page
    deployment = runs.deploy(division_flow())
    runs.insert(runs.call(deployment, x=2), MANY)
    failed = runs.call(deployment, x=0)
    logged_in.open(f"/deployments/{deployment['id']}/runs")
    grid = page.get_by_role("grid", name="Runs")
    rows_of(grid).first.wait_for()
    assert rows_of(grid).count() <= MAX_ROWS
    assert grid.get_attribute("aria-rowcount") == "-1", "they are not counted"
    grid.focus()
    go_down(page, grid, 200)
    assert rows_of(grid).count() <= MAX_ROWS

    page.get_by_label("State").select_option("failed")
    expect(rows_of(grid)).to_have_count(1)
    assert grid.get_attribute("aria-rowcount") == "2"
    page.set_viewport_size({"width": 1280, "height": 800})
    grid.focus()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/runs/{failed}**")
    page.go_back()

    page.get_by_label("State").select_option("")
    expect(rows_of(grid)).not_to_have_count(1)
    page.get_by_label("Took at least, seconds").fill("9.999")
    page.get_by_text("None of the newest 10,000 runs").wait_for()
    logged_in.press("Look further back")
    expect(rows_of(grid)).to_have_count(2)
    assert "min_seconds=9.999" in page.url


def test_new_runs_are_announced_and_do_not_move_the_rows(
    logged_in: WatchedPage, runs: Runs
) -> None:
    page = logged_in.page
    deployment = runs.deploy(transform_flow())
    logged_in.open(f"/deployments/{deployment['id']}/runs")
    page.get_by_text("No runs yet").wait_for()
    page.get_by_text("Live", exact=True).first.wait_for()
    runs.call(deployment, x=1)
    logged_in.press("1 new run")
    grid = page.get_by_role("grid", name="Runs")
    expect(rows_of(grid)).to_have_count(1)
    for _ in range(2):
        runs.call(deployment, x=1)
    logged_in.press("2 new runs")
    expect(rows_of(grid)).to_have_count(3)


def test_a_list_follows_a_run_that_ends_without_polling(logged_in: WatchedPage, runs: Runs) -> None:
    page = logged_in.page
    deployment = runs.deploy(waiting_flow(600), "async")
    run = runs.call(deployment, x=1)
    logged_in.open(f"/deployments/{deployment['id']}/runs")
    grid = page.get_by_role("grid", name="Runs")
    grid.get_by_text("Running").wait_for()
    page.get_by_text("Live", exact=True).wait_for()
    runs.http.post(f"/node/flow-runs/{run}/cancel/").raise_for_status()
    # The list is polled once a minute, which is later than this waits.
    expect(grid.get_by_text("cancelled · pause")).to_have_count(1)


def test_several_runs_are_cancelled_and_retried_at_once(logged_in: WatchedPage, runs: Runs) -> None:
    page = logged_in.page
    deployment = runs.deploy(waiting_flow(600), "async")
    for _ in range(6):
        runs.call(deployment, x=1)
    logged_in.open(f"/deployments/{deployment['id']}/runs")
    page.get_by_label("Select all that are loaded").check()
    bar = page.get_by_role("region", name="Selected runs")
    bar.get_by_text("6 runs selected").wait_for()
    page.set_viewport_size({"width": 1280, "height": 800})
    logged_in.press("Cancel runs")
    dialog = logged_in.dialog("Cancel 6 runs?")
    dialog.wait_for()
    logged_in.check_accessibility()
    dialog.get_by_role("button", name="Cancel runs").click()
    bar.get_by_text(re.compile("^6 done$")).wait_for()
    bar.get_by_role("button", name="Close").click()
    grid = page.get_by_role("grid", name="Runs")
    expect(grid.get_by_text("cancelled · pause")).to_have_count(6)
    grid.focus()
    page.keyboard.press("Space")
    logged_in.press("Retry runs")
    bar.get_by_text(re.compile("^1 done$")).wait_for()
    found = runs.http.get(f"/node/flow-runs/?deployment={deployment['id']}").json()["items"]
    (again,) = (run for run in found if run["retry_of"])
    runs.http.post(f"/node/flow-runs/{again['flow_run_id']}/cancel/").raise_for_status()


def test_five_thousand_spans_open_and_failures_are_jumped_to(
    logged_in: WatchedPage, runs: Runs
) -> None:
    page = logged_in.page
    run = runs.call(runs.deploy(transform_flow()), x=1)
    entry = {"name": "N", "type": "transform", "status": "completed", "duration_seconds": 1e-5}
    nodes = {f"n{at}": {**entry, "started_seconds": at / 1e5} for at in range(5_000)}
    for bad in (4_000, 4_500):
        nodes[f"n{bad}"]["status"] = "failed"
    runs.set_nodes(run, nodes)
    logged_in.open(f"/runs/{run}?span=queue")
    grid = page.get_by_role("grid", name="Spans of the run")
    page.get_by_text("5,003 spans").wait_for()
    assert rows_of(grid).count() <= MAX_ROWS
    grid.focus()
    page.keyboard.press("]")
    page.wait_for_url("**span=node%3An4000")
    page.keyboard.press("]")
    page.wait_for_url("**span=node%3An4500")
    page.keyboard.press("[")
    page.wait_for_url("**span=node%3An4000")
    assert rows_of(grid).count() <= MAX_ROWS
    logged_in.press("Show more")
    expect(grid).to_have_attribute("aria-rowcount", "5004")


def test_large_values_are_a_tree_and_arrays_of_numbers_a_summary(
    logged_in: WatchedPage, runs: Runs
) -> None:
    page = logged_in.page
    numbers = [[at, at + 0.5] for at in range(500)]
    run = runs.call(runs.deploy(transform_flow("input.x")), x=numbers)
    logged_in.open(f"/runs/{run}")
    page.get_by_role("tab", name="Input").click()
    summary = page.get_by_text(re.compile(r"500 . 2 numbers · min 0 · mean 249.75 · max 499.5"))
    summary.click()
    page.get_by_role("button", name="Show 200 more of 300").click()
    page.get_by_role("button", name="Show 100 more of 100").wait_for()
    logged_in.check_accessibility()
    page.set_viewport_size({"width": 1280, "height": 800})
    with page.expect_download() as download:
        logged_in.press("Download")
    saved = json.loads(Path(download.value.path()).read_text())
    assert saved == {"x": numbers}


def test_a_run_of_an_older_version_says_what_it_does_not_know(
    logged_in: WatchedPage, runs: Runs
) -> None:
    run = runs.call(runs.deploy(transform_flow()), x=1)
    old = {"name": "N", "type": "transform", "status": "completed", "duration_seconds": 0.5}
    runs.set_nodes(run, {"compute": old})
    logged_in.open(f"/runs/{run}")
    logged_in.page.get_by_text("An older version recorded no start times").wait_for()
    logged_in.page.get_by_text("not recorded").wait_for()


def test_try_it_does_not_round_what_a_deployment_answers(
    logged_in: WatchedPage, runs: Runs
) -> None:
    deployment = runs.deploy(transform_flow("input.x"))
    logged_in.open(f"/deployments/{deployment['id']}/try")
    logged_in.page.get_by_label("input_data, as JSON").fill(f'{{"x": {BIG}}}')
    logged_in.press("Send")
    answer = logged_in.page.get_by_role("region", name="Answer")
    answer.get_by_text(str(BIG)).first.wait_for()
