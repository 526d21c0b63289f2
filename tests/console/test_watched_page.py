"""The watch over pages: each thing that a page must not do fails its test."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser

from tests.console.conftest import owner_of
from tests.console.session import context_of
from tests.console.watched_page import WatchedPage
from tests.slipstream.running import Up

pytestmark = pytest.mark.services

KEY = "sk-" + "k" * 46
FAULTS: dict[str, tuple[str, str]] = {
    "a key in the page": (f"document.body.append('{KEY}')", "a key outside its dialog"),
    "a key in an attribute": (
        f"document.querySelector('h1').setAttribute('data-key', '{KEY}')",
        "a key in an attribute",
    ),
    "a key in the storage": (
        f"localStorage.setItem('kept', '{KEY}'); document.body.append('.')",
        "a key in storage",
    ),
    "a key in the history": (
        f"history.replaceState({{kept: '{KEY}'}}, ''); document.body.append('.')",
        "a key in storage",
    ),
    "an error in the console": ("console.error('broken')", "console error: broken"),
    "a warning in the console": ("console.warn('doubtful')", "console warning: doubtful"),
    "an exception": ("setTimeout(() => { throw new Error('thrown') })", "page error: thrown"),
    "a style that the policy forbids": (
        "document.body.append(Object.assign(document.createElement('style'), "
        "{textContent: 'p { color: red }'}))",
        "refused by the policy: style-src",
    ),
    "an error of the gateway": ("void fetch('/node/nowhere/')", "GET /node/nowhere/: 404"),
    "a key in a URL": (f"void fetch('/livez?key={KEY}')", "in the URL of a request"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found(browser: Browser, running: Up, name: str) -> None:
    script, expected = FAULTS[name]
    watched = opened(browser, running)
    assert not watched.faults, "the page itself has none"
    watched.page.evaluate(f"() => {{ {script} }}")
    until_found(watched, lambda fault: expected in fault)
    watched.page.context.close()


def test_a_narrow_window_and_an_unnamed_button_are_found(browser: Browser, running: Up) -> None:
    watched = opened(browser, running)
    watched.page.evaluate("""() => {
      const wide = document.createElement("p");
      wide.textContent = "w".repeat(200);
      document.querySelector("main").append(wide, document.createElement("button"));
    }""")
    watched.check_accessibility()
    found = "\n".join(watched.faults)
    assert "stand out of the window" in found
    assert "button-name" in found
    watched.page.context.close()


def opened(browser: Browser, up: Up) -> WatchedPage:
    """Open the list of deployments, with a session."""
    with owner_of(up):
        watched = WatchedPage(context_of(browser, up).new_page())
    watched.page.goto(f"{up.url}/console/deployments")
    watched.page.get_by_role("link", name="Iris classifier").wait_for()
    return watched


def until_found(watched: WatchedPage, is_meant: Callable[[str], bool]) -> None:
    """Wait until a fault has been noticed."""
    for _ in range(100):
        if any(is_meant(fault) for fault in watched.faults):
            return
        watched.page.wait_for_timeout(50)
    pytest.fail(f"found only {watched.faults}")
