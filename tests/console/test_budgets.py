"""What pages may ask for and hold: the bytes and numbers among the budgets of docs/console.md.

`console/vite.config.ts` has those of the scripts, which the build checks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Request, expect

from tests.console.editing import Owner, node_on_canvas
from tests.console.made_runs import MAX_ROWS
from tests.console.session import context_of, flow_of
from tests.console.stopwatch import Stopwatch
from tests.slipstream.running import Up

pytestmark = pytest.mark.services

MAX_REQUESTS = 12
MAX_STYLES = 25_000
MAX_FONTS = 48_500
"""Bytes of the fonts that a page waits for: what is called 48 kB."""
STREAM = "/node/events/"
SESSION = "/node/session/"
# What the browser has asked for before the list was painted, the page itself included. Scripts of
# other screens are loaded half a second after the frame is there, before the list if that is slow.
_REQUESTS = """() => performance.getEntriesByType("navigation")
  .concat(performance.getEntriesByType("resource"))
  .filter(({ startTime }) => startTime <
    Math.min(stopwatch.painted.list, stopwatch.painted.shell + 300))
  .map(({ name, initiatorType, encodedBodySize, startTime, responseEnd }) =>
    ({ path: new URL(name).pathname, initiatorType, encodedBodySize, startTime, responseEnd }))"""


@pytest.fixture
def context(browser: Browser, running: Up) -> Iterator[BrowserContext]:
    """A browser with a session, and nothing in its cache."""
    made = context_of(browser, running)
    yield made
    made.close()


def test_a_first_load_asks_for_few_and_small_files_and_for_all_data_at_once(
    context: BrowserContext, running: Up
) -> None:
    page = context.new_page()
    streams: list[Request] = []
    page.on("request", lambda request: streams.append(request) if _is_stream(request) else None)
    stopwatch = Stopwatch(page)
    page.goto(f"{running.url}/console/flows")
    stopwatch.until("painted.list ?? null")
    page.get_by_text("Live", exact=True).wait_for()
    found = [one for one in page.evaluate(_REQUESTS) if one["path"] != STREAM]
    said = "\n".join(f"{one['encodedBodySize']:>8} {one['path']}" for one in found)
    # A file that is used twice is asked for once.
    assert len({one["path"] for one in found}) + len(streams) <= MAX_REQUESTS, said
    assert len(streams) == 1

    assert 0 < _bytes(found, ".css") <= MAX_STYLES, said
    fonts = [one for one in found if one["path"].endswith(".woff2")]
    assert {one["initiatorType"] for one in fonts} == {"link"}, "fonts that are not preloaded"
    assert 0 < _bytes(found, ".woff2") <= MAX_FONTS, said

    data = [one for one in found if one["path"].startswith("/node/") and one["path"] != SESSION]
    assert data, said
    first_answer = min(one["responseEnd"] for one in data)
    assert all(one["startTime"] < first_answer for one in data), f"one after another:\n{said}"


def test_a_long_list_of_flows_begins_with_its_first_page(
    context: BrowserContext, running: Up, owner: Owner
) -> None:
    for number in range(MAX_ROWS + 1):
        owner.make_flow(f"Flow {number}")
    page = context.new_page()
    page.goto(f"{running.url}/console/flows")
    page.get_by_role("link", name=f"Flow {MAX_ROWS}").wait_for()
    assert page.locator("main tbody tr").count() <= MAX_ROWS


def test_all_nodes_of_a_large_flow_are_on_the_canvas(
    context: BrowserContext, running: Up, owner: Owner
) -> None:
    nodes, edges = flow_of(200)
    flow_id = owner.make_graph("Two hundred", nodes, edges)
    page = context.new_page()
    page.goto(f"{running.url}/console/flows/{flow_id}/edit")
    node_on_canvas(page, "output").wait_for()
    expect(page.locator(".react-flow__node")).to_have_count(200)
    expect(page.locator(".react-flow__edge")).to_have_count(len(edges))


def _is_stream(request: Request) -> bool:
    return urlsplit(request.url).path == STREAM


# Any: entries of the Performance API
def _bytes(entries: list[dict[str, Any]], suffix: str) -> int:
    return sum(one["encodedBodySize"] for one in entries if one["path"].endswith(suffix))
