"""A browser's page whose test fails for whatever goes wrong in it, seen or not."""

from __future__ import annotations

import functools
import itertools
import re
import time
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urljoin, urlsplit

from playwright.sync_api import ConsoleMessage, Error, Locator, Page, Request, Response

from tests.architecture.repository import ROOT

KEY = re.compile(r"sk-[0-9A-Za-z]{46}")
WEBHOOK_SECRET = re.compile(r"whsec_[0-9A-Za-z+/]{24,}={0,2}")
Theme = Literal["light", "dark"]
_THEMES: tuple[Theme, Theme] = ("light", "dark")
_WIDTHS = (320, 1280)
"""320 px: what WCAG 1.4.10 asks a page to fit in."""
_HEIGHT = 800
TIMEOUT_MILLISECONDS = 45_000
"""Of each wait: a page refreshes after 30 s at the latest, and polls after 60 s."""
_QUIET_LOOKS = 5
"""Looks, a tenth of a second apart, at which no script is being loaded."""
_AXE = ROOT / "console" / "node_modules" / "axe-core" / "axe.min.js"
_COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}
_ALL = {"rules": {"target-size": {"enabled": True}}}
"""What axe checks by default, and that targets have 24 px (WCAG 2.2, 2.5.8)."""
# What is wrong is said by the page itself: all that axe finds is a megabyte.
_CHECK = """async (options) => {
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  const beyond = document.documentElement.scrollWidth - window.innerWidth;
  const found = await axe.run(document, { resultTypes: ["violations"], ...options });
  return found.violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, help, nodes: [{ html, failureSummary }] }) =>
      `${id}: ${help}: ${html.slice(0, 200)} ${failureSummary}`)
    .concat(beyond > 0 ? [`${beyond} px stand out of the window`] : []);
}"""
_WATCH = Path(__file__).with_name("watch.js").read_text()


@functools.cache
def _axe() -> str:
    return _AXE.read_text()


class WatchedPage:
    """A page, with what it must not do collected in `faults`."""

    def __init__(self, page: Page, url: str = "") -> None:
        """`url`: where the console is that `open` goes to while the page shows nothing."""
        self.page = page
        self._url = url
        self.faults: list[str] = []
        self._loaded: list[str] = []
        self._loading: set[str] = set()
        self._announced: list[tuple[str, int | None]] = []
        page.set_default_timeout(TIMEOUT_MILLISECONDS)
        page.add_init_script(_WATCH)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.faults.append(f"page error: {error}"))
        page.on("request", self._request)
        page.on("requestfailed", self._failed)
        page.on("response", self._response)
        page.on("requestfinished", self._finished)

    def announce(self, path: str, status: int | None) -> None:
        """Expect answers with an error status from `path`; None: requests without an answer."""
        self._announced.append((path, status))

    def open(self, path: str) -> None:
        """Open another page of the console, as if its address was typed."""
        self._loaded.clear()
        self._loading.clear()
        self.page.goto(urljoin(self._url or self.page.url, f"/console{path}"))

    def shown(self) -> str:
        """Return the page's address and what is on it, as a screen reader has it."""
        try:
            return f"{self.page.url}\n{self.page.locator('body').aria_snapshot()}"
        except Error as error:  # it is closed, or hangs
            return str(error)

    def log_in(self, email: str, password: str) -> None:
        """Fill in the form of the log-in and send it."""
        self.page.get_by_label("E-mail").fill(email)
        self.page.get_by_label("Password", exact=True).fill(password)
        self.press("Log in")

    def heading(self, name: str) -> Locator:
        """Return the page's heading."""
        return self.page.get_by_role("heading", name=name, exact=True, level=1)

    def dialog(self, name: str) -> Locator:
        """Return an open dialog."""
        return self.page.get_by_role("dialog", name=name)

    def button(self, name: str) -> Locator:
        """Return a button."""
        return self.page.get_by_role("button", name=name, exact=True)

    def press(self, name: str) -> None:
        """Press a button."""
        self.button(name).click()

    def follow(self, name: str) -> None:
        """Follow a link."""
        self.page.get_by_role("link", name=name, exact=True).click()

    def until_loaded(self, name: str) -> None:
        """Wait until the page has loaded a script with `name`, as it does while nothing happens.

        Not `wait_for_function`, which evaluates strings in the page: its policy forbids that.
        """
        script = re.compile(rf"/{name}-[\w-]+\.js$")
        deadline = time.monotonic() + TIMEOUT_MILLISECONDS / 1000
        while not any(script.search(url) for url in self._loaded):
            assert time.monotonic() < deadline, f"{name} was not loaded"
            self.page.wait_for_timeout(50)

    def until_all_loaded(self) -> None:
        """Wait until the page has loaded all its screens, as it does while nothing happens."""
        self.until_loaded("new-flow")
        quiet = 0
        while quiet < _QUIET_LOOKS:  # a script may ask for others once it is there
            quiet = 0 if any(url.endswith(".js") for url in self._loading) else quiet + 1
            self.page.wait_for_timeout(100)

    def copied_by(self, button: Locator) -> str:
        """Press a button that copies a text; return it."""
        self.page.evaluate("navigator.clipboard.writeText('')")
        button.click()
        while not (text := self.clipboard()):
            self.page.wait_for_timeout(20)
        return text

    def take_key(self) -> str:
        """Copy the key that a dialog shows, and close it."""
        dialog = self.dialog("Save your API key")
        key = self.copied_by(self.button("Copy key"))
        assert KEY.fullmatch(key)
        dialog.get_by_role("checkbox", name="I saved it").click()
        dialog.get_by_role("button", name="Close").last.click()
        dialog.wait_for(state="hidden")
        return key

    def clipboard(self) -> str:
        """Return the text on the clipboard."""
        text: str = self.page.evaluate("navigator.clipboard.readText()")
        return text

    def check_accessibility(self) -> None:
        """Check with axe that nothing serious is wrong; nothing may stand out of the window.

        Dark and wide, all that it checks; light and narrow, the colours: the rest of what is
        narrow is checked of each screen (`check_screen`).
        """
        self._check(_THEMES[0], _WIDTHS[0], _COLOURS)
        self._check(_THEMES[1], _WIDTHS[1], {})

    def check_screen(self, *, everywhere: bool) -> None:
        """Check all that axe can in two themes and widths, the size of targets, and the headings.

        `everywhere`: each theme with each width.
        """
        pairs = zip(_THEMES, _WIDTHS, strict=True)
        for theme, width in itertools.product(_THEMES, _WIDTHS) if everywhere else pairs:
            self._check(theme, width, {} if width < _WIDTHS[-1] else _ALL)
        if (headings := self.page.locator("h1").count()) != 1:
            self.faults.append(f"{self.page.url}: expected one h1, got {headings}")

    # Any: axe's own form
    def _check(self, theme: Theme, width: int, options: dict[str, Any]) -> None:
        if self.page.evaluate("typeof axe") == "undefined":  # once per document: it takes 0.2 s
            self.page.evaluate(_axe())
        self.page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        self.page.set_viewport_size({"width": width, "height": _HEIGHT})
        where = f"{urlsplit(self.page.url).path}, {theme}, {width} px"
        self.faults += [f"{where}: {found}" for found in self.page.evaluate(_CHECK, options)]

    def _console(self, message: ConsoleMessage) -> None:
        # What an answer's status says of it is judged in _response.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.faults.append(f"console {message.type}: {message.text}")

    def _request(self, request: Request) -> None:
        self._loading.add(request.url)
        if KEY.search(request.url) or WEBHOOK_SECRET.search(request.url):
            self.faults.append("a key or a secret in the URL of a request")

    def _finished(self, request: Request) -> None:
        self._loading.discard(request.url)
        self._loaded.append(request.url)

    def _failed(self, request: Request) -> None:
        self._loading.discard(request.url)
        path = urlsplit(request.url).path
        is_aborted = request.failure == "net::ERR_ABORTED"  # the page was left meanwhile
        if not is_aborted and (path, None) not in self._announced:
            self.faults.append(f"{request.method} {path}: {request.failure}")

    def _response(self, response: Response) -> None:
        path = urlsplit(response.url).path
        if response.status >= 400 and (path, response.status) not in self._announced:
            self.faults.append(f"{response.request.method} {path}: {response.status}")
