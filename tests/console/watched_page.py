"""A browser's page whose test fails for whatever goes wrong in it, seen or not."""

from __future__ import annotations

import itertools
import re
import time
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from playwright.sync_api import ConsoleMessage, Locator, Page, Request, Response

from tests.architecture.repository import ROOT

KEY = re.compile(r"sk-[0-9A-Za-z]{46}")
WEBHOOK_SECRET = re.compile(r"whsec_[0-9A-Za-z+/]{24,}={0,2}")
_THEMES, _WIDTHS = ("light", "dark"), (360, 1280)
_HEIGHT = 800
TIMEOUT_MILLISECONDS = 45_000
"""Of each wait: a page refreshes after 30 s at the latest, and polls after 60 s."""
_QUIET_LOOKS = 20
"""Looks, a tenth of a second apart, at which no other script has been loaded."""
_AXE = ROOT / "console" / "node_modules" / "axe-core" / "axe.min.js"
_BEYOND = "document.documentElement.scrollWidth - window.innerWidth"
_TARGETS = "{runOnly: {type: 'rule', values: ['target-size']}}"
_PAINTED = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
_WATCH = Path(__file__).with_name("watch.js").read_text()


class WatchedPage:
    """A page, with what it must not do collected in `faults`."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.faults: list[str] = []
        self._loaded: list[str] = []
        self._announced: list[tuple[str, int | None]] = []
        page.set_default_timeout(TIMEOUT_MILLISECONDS)
        page.add_init_script(_WATCH)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.faults.append(f"page error: {error}"))
        page.on("request", self._request)
        page.on("requestfailed", self._failed)
        page.on("response", self._response)
        page.on("requestfinished", lambda request: self._loaded.append(request.url))

    def announce(self, path: str, status: int | None) -> None:
        """Expect answers with an error status from `path`; None: requests without an answer."""
        self._announced.append((path, status))

    def open(self, path: str) -> None:
        """Open another page of the console, as if its address was typed."""
        self._loaded.clear()
        self.page.goto(urljoin(self.page.url, f"/console{path}"))

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
        seen = quiet = 0
        while quiet < _QUIET_LOOKS:
            scripts = sum(url.endswith(".js") for url in self._loaded)
            quiet = quiet + 1 if scripts == seen else 0
            seen = scripts
            self.page.wait_for_timeout(100)

    def copied_by(self, button: Locator) -> str:
        """Press a button that copies a text; return it."""
        self.page.evaluate("navigator.clipboard.writeText('')")
        button.click()
        while not (text := self.clipboard()):
            self.page.wait_for_timeout(20)
        return text

    def clipboard(self) -> str:
        """Return the text on the clipboard."""
        text: str = self.page.evaluate("navigator.clipboard.readText()")
        return text

    def check_accessibility(self, *, everywhere: bool = False) -> None:
        """Check with axe, light and narrow, and dark and wide, that nothing serious is wrong.

        Neither may anything stand out of the window. `everywhere`: each theme with each width.
        """
        self.page.evaluate(_AXE.read_text())
        pairs = zip(_THEMES, _WIDTHS, strict=True)
        for theme, width in itertools.product(_THEMES, _WIDTHS) if everywhere else pairs:
            self.page.emulate_media(color_scheme=theme, reduced_motion="reduce")
            self.page.set_viewport_size({"width": width, "height": _HEIGHT})
            self.page.evaluate(_PAINTED)
            where = f"{urlsplit(self.page.url).path}, {theme}, {width} px"
            self.faults += [f"{where}: {found}" for found in self._violations()]
            if (beyond := self.page.evaluate(_BEYOND)) > 0:
                self.faults.append(f"{where}: {beyond} px stand out of the window")

    def check_reflow(self) -> None:
        """Check what axe leaves out by default: targets of 24 px, one heading, and 320 px wide.

        WCAG 2.2, 2.5.8 and 1.4.10. axe has to have been loaded by `check_accessibility`.
        """
        where = urlsplit(self.page.url).path
        self.page.set_viewport_size({"width": 320, "height": _HEIGHT})
        self.page.evaluate(_PAINTED)
        if (beyond := self.page.evaluate(_BEYOND)) > 0:
            self.faults.append(f"{where}, 320 px: {beyond} px stand out of the window")
        self.page.set_viewport_size({"width": 1280, "height": _HEIGHT})
        self.page.evaluate(f"window.scrollTo(0, 0) || {_PAINTED}")
        self.faults += [f"{where}: {found}" for found in self._violations(_TARGETS)]
        if (headings := self.page.locator("h1").count()) != 1:
            self.faults.append(f"{where}: expected one h1, got {headings}")

    # Any: axe's own form
    def _violations(self, options: str = "{}") -> list[str]:
        result: dict[str, Any] = self.page.evaluate(
            f"axe.run(document, {{resultTypes: ['violations'], ...{options}}})"
        )
        return [
            f"{violation['id']}: {violation['help']}: {violation['nodes'][0]['html'][:200]} "
            f"{violation['nodes'][0]['failureSummary']}"
            for violation in result["violations"]
            if violation["impact"] in ("serious", "critical")
        ]

    def _console(self, message: ConsoleMessage) -> None:
        # What an answer's status says of it is judged in _response.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.faults.append(f"console {message.type}: {message.text}")

    def _request(self, request: Request) -> None:
        if KEY.search(request.url) or WEBHOOK_SECRET.search(request.url):
            self.faults.append("a key or a secret in the URL of a request")

    def _failed(self, request: Request) -> None:
        path = urlsplit(request.url).path
        is_aborted = request.failure == "net::ERR_ABORTED"  # the page was left meanwhile
        if not is_aborted and (path, None) not in self._announced:
            self.faults.append(f"{request.method} {path}: {request.failure}")

    def _response(self, response: Response) -> None:
        path = urlsplit(response.url).path
        if response.status >= 400 and (path, response.status) not in self._announced:
            self.faults.append(f"{response.request.method} {path}: {response.status}")
