"""A page that stays open while a deployment is called all the time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import pytest
from playwright.sync_api import Browser, Page

from tests.child_processes import children
from tests.console.made_runs import Json, Runs, rows_of
from tests.console.session import context_of
from tests.slipstream.running import Up
from tests.system.flow_documents import transform_flow

pytestmark = pytest.mark.services

OLD_RUNS = 500
CALLERS = 4
MAX_GROWTH = 4 * 2**20
"""Bytes of JavaScript objects that may be left of what a page was told in that time."""
MAX_TAB = 150 * 2**20
"""Bytes of a tab that no other process shares."""

Record = Callable[[str, object], None]


@pytest.mark.parametrize("seconds", [1, pytest.param(15, marks=pytest.mark.long)])
def test_focus_scroll_and_memory_stay_while_runs_are_made(
    browser: Browser, running: Up, record_property: Record, seconds: int
) -> None:
    runs = Runs(running)
    deployment = runs.deploy(transform_flow())
    runs.insert(runs.call(deployment, x=1), OLD_RUNS)
    others = renderers()
    context = context_of(browser, running)
    page = context.new_page()
    page.goto(f"{running.url}/console/deployments/{deployment['id']}/runs")
    page.get_by_text("Live", exact=True).wait_for()
    grid = page.get_by_role("grid", name="Runs")
    grid.focus()
    for _ in range(3):
        page.keyboard.press("PageDown")
    rows_of(grid).first.wait_for()
    with called(runs, deployment) as answered:
        page.get_by_role("button", name="new runs").wait_for(timeout=90_000)
        page.wait_for_timeout(seconds * 1_000)
        before, place = objects(page), grid.evaluate("(grid) => grid.scrollTop")
        at = grid.get_attribute("aria-activedescendant")
        first = len(answered)
        page.wait_for_timeout(seconds * 1_000)
        after, rate = objects(page), (len(answered) - first) / seconds
        assert grid.evaluate("(grid) => grid === document.activeElement")
        assert grid.evaluate("(grid) => grid.scrollTop") == place > 0
        assert grid.get_attribute("aria-activedescendant") == at
    tab = max(memory(process) for process in renderers() - others)
    context.close()
    runs.http.close()
    line = (
        f"{rate:.0f} runs a second: {(after - before) / 2**10:.0f} KiB more objects after "
        f"{seconds} s, {tab / 2**20:.0f} MiB of memory"
    )
    record_property("figure", line)
    assert after - before <= MAX_GROWTH, line
    assert tab <= MAX_TAB, line


@contextmanager
def called(runs: Runs, deployment: Json) -> Iterator[list[str]]:
    """Call a deployment all the time; give the ids of the runs that have been answered."""
    answered: list[str] = []
    ended = threading.Event()

    def call() -> None:
        while not ended.is_set():
            answered.append(runs.call(deployment, x=1))

    callers = [threading.Thread(target=call) for _ in range(CALLERS)]
    for caller in callers:
        caller.start()
    try:
        yield answered
    finally:
        ended.set()
        for caller in callers:
            caller.join()


def objects(page: Page) -> int:
    """Return the bytes of JavaScript objects of a page that are in use."""
    cdp = page.context.new_cdp_session(page)
    cdp.send("HeapProfiler.collectGarbage")
    used = int(cdp.send("Runtime.getHeapUsage")["usedSize"])
    cdp.detach()
    return used


def renderers() -> set[psutil.Process]:
    """Return the processes of all pages of the browsers that this process has started."""
    return set(children("--type=renderer", recursive=True))


def memory(process: psutil.Process) -> int:
    """Return the bytes of a process that it shares with no other."""
    return int(process.memory_full_info().uss)
