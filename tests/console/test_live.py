"""What changes elsewhere appears by itself, by one stream a browser."""

from __future__ import annotations

import re
import signal
import subprocess
from collections import Counter
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, Request

from tests.console.watched_page import KEY, WatchedPage
from tests.slipstream.running import Up, environment

pytestmark = pytest.mark.services

EVENTS = "/node/events/"
STARS = "Replace the stars with your key."


@pytest.mark.usefixtures("at_flows")
def test_a_change_made_elsewhere_appears_without_moving_the_focus(logged_in: WatchedPage) -> None:
    page = logged_in.page
    page.get_by_text("Live", exact=True).wait_for()
    page.get_by_label("Filter flows").focus()
    name = rename_first_flow(page, "Renamed elsewhere")
    page.get_by_role("link", name="Renamed elsewhere").wait_for()
    assert page.evaluate("document.activeElement.type") == "search"

    logged_in.press("Pause live updates")
    page.get_by_text("Paused", exact=True).wait_for()
    logged_in.check_accessibility()
    other = WatchedPage(page.context.new_page())
    other.page.goto(page.url)
    other.page.get_by_role("link", name="Renamed elsewhere").wait_for()
    rename_first_flow(page, name)
    other.page.get_by_role("link", name=name).wait_for()
    assert page.get_by_role("link", name="Renamed elsewhere").is_visible()
    assert not other.faults
    other.page.close()
    logged_in.press("Resume live updates")
    page.get_by_role("link", name=name).wait_for()


@pytest.mark.usefixtures("at_flows")
def test_a_refused_call_is_explained_and_the_first_success_is_marked(
    logged_in: WatchedPage, running: Up
) -> None:
    page = logged_in.page
    logged_in.follow("Deployments")
    logged_in.heading("Deployments").wait_for()
    logged_in.follow("Iris classifier")
    page.get_by_text("Copy the call, and this page shows when it arrives.").wait_for()
    with page.expect_response(lambda response: response.url.endswith("/watch/")):
        page.get_by_role("figure").first.get_by_role("button", name="Copy", exact=True).click()
    page.get_by_text("Waiting for your first call").wait_for()
    logged_in.check_accessibility()
    command = logged_in.clipboard()
    run_in_shell(command)
    page.get_by_text(STARS).wait_for()
    page.get_by_text("401 api_key_invalid").wait_for()
    page.get_by_text("curl from 127.0.0.1").first.wait_for()
    assert page.get_by_text("Your first call was answered.").count() == 0

    key = KEY.search("".join(running.output))
    assert key is not None
    run_in_shell(re.sub(r"sk-\w+\*+\w+", key[0], command))
    page.get_by_text("Your first call was answered.").wait_for()
    page.get_by_text("infer", exact=True).wait_for()
    logged_in.check_accessibility()


@pytest.mark.long
@pytest.mark.usefixtures("at_flows")
def test_seven_tabs_have_one_stream_and_another_tab_takes_it_over(logged_in: WatchedPage) -> None:
    first = logged_in.page
    streams: Counter[Page] = Counter()

    def count(request: Request) -> None:
        if urlsplit(request.url).path == EVENTS:
            streams[request.frame.page] += 1

    first.context.on("request", count)
    first.reload()  # so that its stream is counted, too
    first.get_by_text("Live", exact=True).wait_for()
    others = []
    for _ in range(6):
        other = WatchedPage(first.context.new_page())
        other.page.goto(first.url)
        other.page.get_by_text("Live", exact=True).wait_for()
        others.append(other)
    assert streams == {first: 1}
    name = rename_first_flow(first, "For all tabs")
    for other in others:
        other.page.get_by_role("link", name="For all tabs").wait_for()
    assert streams == {first: 1}

    first.close()
    last = others[-1].page
    while len(streams) == 1:
        last.wait_for_timeout(50)
    last.get_by_text("Live", exact=True).wait_for()
    rename_first_flow(last, name)
    for other in others:
        other.page.get_by_role("link", name=name).wait_for()
    assert sum(streams.values()) == 2
    assert not [fault for other in others for fault in other.faults]
    logged_in.page = last


@pytest.mark.usefixtures("at_flows")
def test_the_stream_goes_on_after_a_restart_of_the_gateway(
    logged_in: WatchedPage, running: Up
) -> None:
    page = logged_in.page
    page.get_by_text("Live", exact=True).wait_for()
    logged_in.until_all_loaded()
    for path in (EVENTS, "/node/session/", "/node/flows/", "/livez"):
        logged_in.announce(path, None)
        logged_in.announce(path, 503)  # while it starts
    for gateway in running.gateways():
        gateway.send_signal(signal.SIGKILL)
    page.get_by_text("Reconnecting in").wait_for()
    page.get_by_text("Live", exact=True).wait_for(timeout=90_000)
    name = rename_first_flow(page, "After the restart")
    page.get_by_role("link", name="After the restart").wait_for()
    rename_first_flow(page, name)
    page.get_by_role("link", name=name).wait_for()


def rename_first_flow(page: Page, name: str) -> str:
    """Rename the first flow in the list, as another program does; return its name until now."""
    script = """async (name) => {
      const session = await (await fetch("/node/session/")).json();
      const [flow] = (await (await fetch("/node/flows/?limit=1")).json()).items;
      const headers = {"Content-Type": "application/json", "X-CSRF-Token": session.csrf_token};
      const body = JSON.stringify({ name });
      await fetch(`/node/flows/${flow.id}/`, { method: "PATCH", headers, body });
      return flow.name;
    }"""
    before: str = page.evaluate(script, name)
    return before


def run_in_shell(command: str) -> None:
    """Run a command as a terminal does into which it is pasted."""
    subprocess.run(("/bin/sh", "-c", command), capture_output=True, check=True, env=environment())
