"""The watch over pages: each thing that a page must not do fails its test."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.console.watched_page import WatchedPage

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
def test_a_fault_is_found(opened: WatchedPage, name: str) -> None:
    script, expected = FAULTS[name]
    assert not opened.faults, "the page itself has none"
    opened.page.evaluate(f"() => {{ {script} }}")
    until_found(opened, lambda fault: expected in fault)
    opened.page.context.close()  # nothing is found there
    opened.faults.clear()


def test_what_axe_and_a_narrow_window_show_is_found(opened: WatchedPage) -> None:
    opened.page.evaluate("""() => {
      const wide = document.createElement("p");
      wide.textContent = "w".repeat(200);
      wide.style.color = "#bbb";
      document.querySelector("main").append(wide, document.createElement("button"));
    }""")
    opened.check_accessibility()
    found = "\n".join(opened.faults)
    assert "light, 320 px: color-contrast" in found
    assert "px stand out of the window" in found
    assert "button-name" in found
    opened.page.context.close()
    opened.faults.clear()


def test_small_targets_and_a_second_heading_are_found_on_a_screen(opened: WatchedPage) -> None:
    opened.page.evaluate("""() => {
      for (const name of ["one", "other"]) {
        const small = document.createElement("button");
        small.ariaLabel = name;
        Object.assign(small.style, { width: "9px", height: "9px", padding: "0", border: "0" });
        document.querySelector("main").append(small);
      }
      document.querySelector("main").append(document.createElement("h1"));
    }""")
    opened.check_screen(everywhere=False)
    found = "\n".join(opened.faults)
    assert "dark, 1280 px: target-size" in found
    assert "expected one h1, got 2" in found
    opened.page.context.close()
    opened.faults.clear()


@pytest.fixture
def opened(logged_in: WatchedPage) -> WatchedPage:
    """A page that shows the list of deployments."""
    logged_in.open("/deployments")
    logged_in.page.get_by_role("link", name="Iris classifier").wait_for()
    return logged_in


def until_found(watched: WatchedPage, is_meant: Callable[[str], bool]) -> None:
    """Wait until a fault has been noticed."""
    for _ in range(100):
        if any(is_meant(fault) for fault in watched.faults):
            return
        watched.page.wait_for_timeout(50)
    pytest.fail(f"found only {watched.faults}")
