"""Take a picture of every screen of the console, light and dark, at three widths.

make screenshots
make screenshots ARGS="--only flow --widths 1280 --themes dark"
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any

from playwright.sync_api import Error, Page, sync_playwright
from rich.console import Console

from tests.architecture.repository import ROOT
from tests.console.conftest import start, started_browser
from tests.screenshots.content import Content, fill
from tests.screenshots.screens import SCREENS, Screen
from tests.slipstream.running import LOOPBACK

_TIMEOUT_MILLISECONDS = 15_000
_THEMES = ("light", "dark")
_WIDTHS = (360, 1280, 1920)
_WIDE = 768
_HEIGHTS = {360: 740, 1280: 800, 1920: 1080}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pictures; return 0, or 1 if a page did not show what it should."""
    options = _options(arguments)
    console = Console(highlight=False)
    options.into.mkdir(parents=True, exist_ok=True)
    screens = [screen for screen in SCREENS if re.search(options.only, screen.name)]
    incomplete: list[str] = []
    with tempfile.TemporaryDirectory(prefix="slipstream-screenshots-") as folder:
        console.print("starting an installation")
        up, link = start(Path(folder) / "state", **LOOPBACK)
        try:
            content = fill(up.url, link)
            with sync_playwright() as playwright, started_browser(playwright) as browser:
                for theme, width in product(options.themes, options.widths):
                    shown = [one for one in screens if width >= _WIDE or not one.needs_width]
                    console.print(f"{theme}, {width} px: {len(shown)} screens")
                    view = _view(theme, width)
                    for screen in shown:
                        session = {} if screen.anonymous else content.logged_in()
                        context = browser.new_context(**view, **session)
                        into = options.into / f"{screen.name}-{theme}-{width}.png"
                        page = context.new_page()
                        if not _take(page, _address(up.url, screen, content), screen, into):
                            incomplete.append(into.name)
                        context.close()
        finally:
            up.stop()
    console.print(f"pictures: {options.into}")
    for name in incomplete:
        console.print(f"incomplete: {name}", style="red")
    return 1 if incomplete else 0


# Any: what Playwright takes
def _view(theme: str, width: int) -> dict[str, Any]:
    return {
        "viewport": {"width": width, "height": _HEIGHTS.get(width, 800)},
        "color_scheme": theme,
        "reduced_motion": "reduce",
        "locale": "en-GB",
        "timezone_id": "UTC",
    }


def _take(page: Page, address: str, screen: Screen, into: Path) -> bool:
    """Take a picture; return whether the page showed its text before, and waited for nothing."""
    page.set_default_timeout(_TIMEOUT_MILLISECONDS)
    page.goto(address)
    shown = page.get_by_text(screen.shows).filter(visible=True).first
    busy = page.locator("[aria-busy=true]").filter(visible=True).first
    with suppress(Error):
        screen.open_over(page)
        shown.wait_for()
        busy.wait_for(state="hidden")
    # As high as the page, so that what stands beside it ends where it ends.
    width = page.evaluate("window.innerWidth")
    height = page.evaluate("Math.max(window.innerHeight, document.documentElement.scrollHeight)")
    page.set_viewport_size({"width": width, "height": height})
    page.screenshot(path=into, animations="disabled")
    return shown.is_visible() and not busy.is_visible()


def _address(url: str, screen: Screen, content: Content) -> str:
    return f"{url}/console{screen.path.format(**content.ids)}"


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make screenshots",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", default="", help="a regular expression of names of screens")
    parser.add_argument("--widths", type=int, nargs="+", default=_WIDTHS, help="in px")
    parser.add_argument("--themes", nargs="+", choices=_THEMES, default=_THEMES)
    parser.add_argument("--into", type=Path, default=ROOT / "docs" / "screenshots")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
