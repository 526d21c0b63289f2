"""Charts of usage, read by keyboard: the heat map, and the runs of which a span is chosen."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.console.conftest import owner_of
from tests.console.editing import EMAIL, PASSWORD
from tests.console.watched_page import WatchedPage
from tests.slipstream.running import Up
from tests.system.flow_documents import division_flow

pytestmark = pytest.mark.services

HEAT_MAP = "How long calls took, over time"
_TIMEOUT_SECONDS = 45


# Any, here and below: JSON
Json = dict[str, Any]


@pytest.fixture(scope="module")
def http(running: Up) -> Iterator[httpx.Client]:
    """A session of the user."""
    with owner_of(running) as client:
        yield client


@pytest.fixture(scope="module")
def divided(http: httpx.Client) -> Json:
    """A deployment that has been called five times, twice without success; all is counted."""
    flow = http.post("/node/flows/", json=division_flow()).raise_for_status().json()
    body = {"flow_id": flow["id"], "execution_mode": "sync", "deployment_type": "server"}
    made: Json = http.post("/node/deployments/", json=body).raise_for_status().json()
    for x in (1, 2, 4, 0, 0):
        http.post(made["trigger_path"], json={"input_data": {"x": x}})
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    while True:
        answer = http.get("/node/usage/", params={"deployment": made["id"]})
        items = answer.raise_for_status().json()["items"]
        if [(item["calls"], item["runs"], item["run_errors"]) for item in items] == [(5, 5, 2)]:
            return made
        assert time.monotonic() < deadline, items
        time.sleep(0.3)


def cell_at(grid: Locator) -> str:
    """Return the words of the cell that the keyboard is at."""
    active = grid.locator("[data-active]")
    expect(active).to_have_count(1)
    assert grid.get_attribute("aria-activedescendant") == active.get_attribute("id")
    return active.get_attribute("aria-label") or ""


@pytest.mark.long
def test_a_heat_map_is_read_by_keyboard(
    logged_in: WatchedPage, http: httpx.Client, divided: Json
) -> None:
    page = logged_in.page
    logged_in.open(f"/deployments/{divided['id']}/usage?range=1h")
    grid = page.get_by_role("grid", name=HEAT_MAP)
    page.get_by_text(re.compile(r"^Most calls, \d of 5, took .* The slowest, \d, took")).wait_for()
    query = {"deployment": divided["id"], "step": "minute"}
    hour = (page.get_by_role("grid").get_attribute("aria-colcount") or "").strip()
    assert hour == "60"
    counts = _recent_counts(http, query)
    most = max(map(max, counts))
    grid.focus()
    calls = "1 call" if most == 1 else f"{most} calls"
    assert f": {calls} took " in cell_at(grid)
    expect(page.get_by_text(cell_at(grid), exact=True)).to_be_visible()

    page.keyboard.press("Control+Home")
    first = cell_at(grid)
    assert ": 0 calls took " in first
    page.keyboard.press("ArrowRight")
    second = cell_at(grid)
    assert first.split(" took ")[1] == second.split(" took ")[1], "the same row"
    assert first.split(": ")[0] != second.split(": ")[0], "another column"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("PageDown")
    page.keyboard.press("PageDown")
    page.keyboard.press("PageDown")
    fastest = cell_at(grid)
    page.keyboard.press("ArrowDown")
    assert cell_at(grid) == fastest, "it ends there"

    cell = grid.locator("[role=gridcell]:not([aria-label*=': 0 calls'])").first
    cell.hover()
    expect(page.get_by_text(cell.get_attribute("aria-label") or "", exact=True)).to_be_visible()

    section = page.get_by_role("region", name=HEAT_MAP).or_(page.locator("section", has=grid))
    section.get_by_text("Show as a table").click()
    table = page.get_by_role("table", name=HEAT_MAP)
    table.wait_for()
    rows = table.locator("tbody tr")
    shown = [int(rows.nth(at).locator("td").last.inner_text()) for at in range(rows.count())]
    assert sorted(shown) == sorted(calls for column in counts for calls in column if calls)

    stages = "Where the time went: the median of each stage"
    section = page.locator("section", has=page.get_by_role("heading", name=stages))
    section.get_by_text("took longest in").wait_for()
    section.get_by_text("Show as a table").click()
    heads = page.get_by_role("table", name=stages).locator("th").all_inner_texts()
    assert heads[:2] == ["From", "auth"]
    assert "run" in heads
    logged_in.check_accessibility()

    page.emulate_media(forced_colors="active")
    assert background(cell) != background(grid), "its shade is left"


def _recent_counts(http: httpx.Client, query: dict[str, str]) -> list[list[int]]:
    hours = http.get("/node/usage/", params={**query, "by": "all"}).json()["items"]
    asked = {**query, "from": hours[0]["from"]}
    counts: list[list[int]] = http.get("/node/usage/heatmap/", params=asked).json()["counts"]
    return counts


def background(element: Locator) -> str:
    """Return the colour of an element's background."""
    color: str = element.evaluate("(element) => getComputedStyle(element).backgroundColor")
    return color


def test_all_deployments_have_a_heat_map(logged_in: WatchedPage, divided: Json) -> None:
    page = logged_in.page
    assert divided["id"]
    logged_in.open("/usage?range=24h")
    grid = page.get_by_role("grid", name=HEAT_MAP)
    grid.wait_for()


def test_a_span_of_the_chart_becomes_the_times_of_the_list(
    logged_in: WatchedPage, divided: Json
) -> None:
    page = logged_in.page
    logged_in.open(f"/deployments/{divided['id']}/runs")
    page.get_by_text(re.compile(r"^5 calls from .*, 2 of them failed\. Most, ")).wait_for()
    rows = page.get_by_role("grid", name="Runs").locator("[role=row][data-index]")
    expect(rows).to_have_count(5)
    hours = page.get_by_role("listbox", name="Calls an hour")
    page.set_viewport_size({"width": 1280, "height": 800})

    choose(page, hours, "End", "ArrowLeft", "Shift+ArrowRight")
    expect(hours.locator("[aria-selected=true]")).to_have_count(2)
    page.get_by_text(re.compile(r": 5 calls, 2 failed$")).wait_for()
    page.keyboard.press("Enter")
    page.wait_for_url("**from=**to=**")
    minutes = page.get_by_role("listbox", name="Calls a minute")
    minutes.wait_for()
    expect(rows).to_have_count(5)

    choose(page, minutes, "Home")
    page.keyboard.press("Escape")
    expect(minutes.locator("[aria-selected=true]")).to_have_count(0)
    choose(page, minutes, "Home")
    page.keyboard.press("Enter")
    page.get_by_text("No run matches the filters.").wait_for()
    page.get_by_text(re.compile("^No calls from ")).wait_for()

    logged_in.press("All times")
    hours.wait_for()
    assert "from=" not in page.url
    expect(rows).to_have_count(5)
    box = hours.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 2, middle, steps=4)
    page.mouse.up()
    page.wait_for_url("**from=**to=**")
    expect(rows).to_have_count(5)
    page.get_by_text("Show as a table").click()
    page.get_by_role("table", name="Calls an hour").wait_for()
    logged_in.check_accessibility()


def test_times_are_shown_in_utc_when_that_is_chosen(
    new_browser: Callable[[], WatchedPage], running: Up, divided: Json
) -> None:
    watched = new_browser()
    page = watched.page
    zone = page.context.new_cdp_session(page)
    zone.send("Emulation.setTimezoneOverride", {"timezoneId": "Asia/Tokyo"})
    page.goto(f"{running.url}/console/deployments/{divided['id']}/runs")
    watched.log_in(EMAIL, PASSWORD)
    sentence = page.get_by_text(re.compile(r"^5 calls from "))
    local = hour_of(sentence)
    expect(sentence).not_to_contain_text("UTC")
    watched.press("Account")
    page.get_by_role("menuitemradio", name="UTC").click()
    page.keyboard.press("Escape")
    expect(sentence).to_contain_text("UTC")
    assert (local - hour_of(sentence)) % 24 == 9
    page.get_by_label("From, UTC").fill("2026-01-02T03:04")
    page.wait_for_url("**from=2026-01-02T03%3A04%3A00.000Z**")
    watched.press("Clear the filters")
    page.reload()
    expect(sentence).to_contain_text("UTC")
    watched.press("Account")
    page.get_by_role("menuitemradio", name="Local time").click()
    page.keyboard.press("Escape")
    expect(sentence).not_to_contain_text("UTC")


def hour_of(sentence: Locator) -> int:
    """Return the hour of the first time in a sentence."""
    found = re.search(r" (\d\d):\d\d:\d\d", sentence.inner_text())
    assert found is not None, sentence.inner_text()
    return int(found[1])


def choose(page: Page, chart: Locator, *keys: str) -> None:
    """Press keys in a chart; it says which bar they lead to."""
    chart.focus()
    for key in keys:
        page.keyboard.press(key)
    active = chart.locator("[data-active]")
    expect(active).to_have_count(1)
    assert chart.get_attribute("aria-activedescendant") == active.get_attribute("id")
