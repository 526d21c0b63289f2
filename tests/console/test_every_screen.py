"""Every screen: accessible, under its policy, and deaf to what is injected into it.

Dialogs and menus give the focus back to what has opened them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.console.conftest import start
from tests.console.watched_page import WatchedPage
from tests.screenshots.content import Content, fill
from tests.screenshots.screens import SCREENS, Click, Screen
from tests.slipstream.running import LOOPBACK, Up

pytestmark = pytest.mark.services

_INJECTED = """<body>
  <script>window.injected = "script"</script>
  <img src="data:," onerror="window.injected = 'attribute'">
  <style>h1 { color: rgb(1, 2, 3) !important }</style>
  <p style="color: rgb(1, 2, 3)" id="injected-style">"""
_INJECT_LATER = """() => {
  const script = document.createElement("script");
  const style = document.createElement("style");
  const refused = [];
  const attempts = [
    () => { script.textContent = "window.injected = 'later'"; document.body.append(script); },
    () => { document.body.innerHTML += "<img src='data:,' onerror='injected = 1'>"; },
  ];
  for (const attempt of attempts)
    try { attempt(); } catch (error) { refused.push(error.name); }
  style.textContent = "h1 { color: rgb(1, 2, 3) !important }";
  document.head.append(style);
  return refused;
}"""
_KEPT_OPEN = ("save-key", "invitation-link")
"""Screens whose dialog first asks whether it may close: what it shows is not shown again."""
_COLOURS = """() => [...document.querySelectorAll("h1, #injected-style")]
  .map((element) => getComputedStyle(element).color)"""


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Up, Content]]:
    """An installation with something on every screen."""
    up, link = start(tmp_path_factory.mktemp("screens") / "state", **LOOPBACK)
    yield up, fill(up.url, link)
    assert up.stop() == 0


@pytest.fixture(scope="module")
def pages(browser: Browser, filled: tuple[Up, Content]) -> Iterator[dict[bool, WatchedPage]]:
    """A page without a session (True), and one with: what has been loaded opens faster again."""
    size: Any = {"viewport": {"width": 1280, "height": 800}}  # Playwright's
    contexts = {
        True: browser.new_context(**size),
        False: browser.new_context(**size, **filled[1].logged_in()),
    }
    made = {anonymous: WatchedPage(each.new_page()) for anonymous, each in contexts.items()}
    for watched in made.values():
        watched.announce("/node/session/", 401)
    yield made
    for context in contexts.values():
        context.close()


@pytest.fixture
def open_screen(
    pages: dict[bool, WatchedPage], filled: tuple[Up, Content]
) -> Callable[[Screen], WatchedPage]:
    """Opens a screen, with a session if it needs one."""
    up, content = filled

    def open_one(screen: Screen) -> WatchedPage:
        watched = pages[screen.anonymous]
        watched.faults.clear()
        watched.page.set_viewport_size({"width": 1280, "height": 800})
        answer = watched.page.goto(f"{up.url}/console{screen.path.format(**content.ids)}")
        assert answer is not None
        policy = answer.header_value("content-security-policy") or ""
        assert "script-src 'self';" in policy, policy
        assert "require-trusted-types-for 'script'" in policy, policy
        screen.open_over(watched.page)
        watched.page.get_by_text(screen.shows).filter(visible=True).first.wait_for()
        busy = watched.page.locator("[aria-busy=true]").filter(visible=True)
        busy.first.wait_for(state="hidden")
        return watched

    return open_one


@pytest.mark.parametrize("everywhere", [False, pytest.param(True, marks=pytest.mark.long)])
@pytest.mark.parametrize("screen", SCREENS, ids=lambda screen: screen.name)
def test_a_screen_is_accessible_and_has_its_policy(
    open_screen: Callable[[Screen], WatchedPage], screen: Screen, everywhere: bool
) -> None:
    watched = open_screen(screen)
    watched.check_screen(everywhere=everywhere)
    assert not watched.faults, "\n".join(watched.faults)
    if screen.name not in _KEPT_OPEN and (opener := opener_of(screen)):
        assert_focus_returns(watched.page, opener)


def opener_of(screen: Screen) -> Click | None:
    """Return what of the page opens the dialog or menu of a screen, if something is clicked."""
    clicks = [step for step in screen.steps if isinstance(step, Click) and step.role != "menuitem"]
    return clicks[-1] if clicks else None


def assert_focus_returns(page: Page, opener: Click) -> None:
    """Close what lies over the page by keyboard: the focus is where it was before."""
    over = page.get_by_role("dialog").or_(page.get_by_role("menu")).filter(visible=True)
    if not over.count():
        return
    page.set_viewport_size({"width": 1280, "height": 800})
    page.keyboard.press("Escape")
    over.first.wait_for(state="hidden")
    button = page.get_by_role(opener.role, name=opener.name).filter(visible=True).first
    expect(button).to_be_focused()


def test_an_injected_script_or_style_does_nothing(
    browser: Browser, filled: tuple[Up, Content]
) -> None:
    up, content = filled
    context = browser.new_context(**content.logged_in())
    page = context.new_page()
    page.route("**/console/flows", inject)
    page.goto(f"{up.url}/console/flows")
    page.get_by_role("heading", name="Flows", level=1).wait_for()
    assert page.locator("#injected-style").count() == 1, "nothing was injected"
    refused = page.evaluate(_INJECT_LATER)
    assert refused == ["TypeError", "TypeError"]
    page.wait_for_timeout(200)
    assert page.evaluate("window.injected ?? null") is None
    colours = page.evaluate(_COLOURS)
    assert len(colours) == 2
    assert "rgb(1, 2, 3)" not in colours
    context.close()


def inject(route: Route) -> None:
    """Answer with the page as an attacker would have changed it, and its own headers."""
    answer = route.fetch()
    route.fulfill(response=answer, body=answer.text().replace("<body>", _INJECTED, 1))
