"""Installations, and a browser that looks at their console."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Playwright, expect, sync_playwright

from tests.console.caller import Caller
from tests.console.editing import EMAIL, PASSWORD, Owner
from tests.console.watched_page import TIMEOUT_MILLISECONDS, WatchedPage
from tests.services.steady_network import steady_network
from tests.slipstream.running import NO_WORKER, Up

expect.set_options(timeout=TIMEOUT_MILLISECONDS)

# The shell is the same engine without the windows of a browser, which cost a test half of its time.
_CHROMIUM = shutil.which("chromium-headless-shell") or "/usr/bin/chromium"
_LINK = "/console/setup#token="
_HERE = Path(__file__).parent
_TEST_SECONDS = 300
_MADE = ("/node/deployments/", "/node/flows/", "/node/api-keys/")
"""What tests make, in the order in which it can be deleted."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests here more time than others: most look at whole journeys, and check each page."""
    for item in items:
        if item.path.is_relative_to(_HERE) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(_TEST_SECONDS))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Have a failed test say what its page shows."""
    report = yield
    arguments = getattr(item, "funcargs", {})
    watched = arguments.get("logged_in") or arguments.get("watched")
    if call.when == "call" and report.failed and isinstance(watched, WatchedPage):
        report.sections.append(("the page", watched.shown()))
    return report


# Any: mypy takes each of `extra` for one of Up's own arguments
def start(state: Path, *options: str, **extra: Any) -> tuple[Up, str]:
    """Start an installation; return it with the link that makes its first account.

    `extra` goes into its environment.
    """
    up = Up(state, *options, **extra)
    line = up.until(_LINK)
    return up, next(word for word in line.split() if _LINK in word)


@contextmanager
def started_browser(playwright: Playwright) -> Iterator[Browser]:
    """Start Debian's Chromium, and close it."""
    # Tests run as root in containers, where Chromium's own sandbox cannot start.
    started = playwright.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox"])
    yield started
    started.close()


def set_password(up: Up, link: str) -> None:
    """Make the first account of an installation."""
    body = {"token": link.partition(_LINK)[2], "email": EMAIL, "password": PASSWORD}
    httpx.post(f"{up.url}/node/setup/", json=body).raise_for_status()


@pytest.fixture(scope="package")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """Run an installation with the demo, and a user with a password.

    Not `Installation`, whose commands run in this process: Playwright's event loop does already.
    """
    yield from installation(tmp_path_factory.mktemp("console") / "state")


@pytest.fixture(scope="module")
def running(installed: Up) -> Iterator[Up]:
    """The installation that files share, with nothing but the demo, as each finds it.

    What a file's tests have made is deleted after them, other than runs, and models: files that
    make those run their own, to start which takes seven seconds of processor time.
    """
    with owner_of(installed) as owner:
        demo = {path: _ids(owner, path) for path in _MADE}
        yield installed
        for path, kept in demo.items():
            while made := _ids(owner, path) - kept:
                for one in made:
                    owner.delete(f"{path}{one}/").raise_for_status()


def _ids(client: httpx.Client, path: str) -> set[str]:
    return {one["id"] for one in client.get(path).raise_for_status().json()["items"]}


def installation(state: Path, **extra: str) -> Iterator[Up]:
    """Run an installation whose owner has a password; `extra` goes into its environment."""
    up, link = start(state, *NO_WORKER, **extra)
    set_password(up, link)
    yield up
    errors = up.errors
    assert up.stop() == 0
    assert "Traceback" not in errors, errors


@contextmanager
def owner_of(up: Up) -> Iterator[httpx.Client]:
    """Open a client with a session of the installation's owner."""
    with session_of(up, EMAIL) as client:
        yield client


@contextmanager
def session_of(up: Up, email: str) -> Iterator[httpx.Client]:
    """Open a client with a session of a user whose password is PASSWORD."""
    with httpx.Client(base_url=up.url) as client:
        login = client.post("/node/session/", json={"email": email, "password": PASSWORD})
        client.headers["x-csrf-token"] = login.raise_for_status().json()["csrf_token"]
        yield client


# Any: Playwright's own form
def stored_session(up: Up) -> Any:
    """Log the installation's owner in; return what a browser keeps of that."""
    with owner_of(up) as client:
        cookies = dict(client.cookies)
    where = {"domain": "127.0.0.1", "path": "/", "expires": -1}
    kind = {"httpOnly": True, "secure": False, "sameSite": "Strict"}
    kept = [{"name": name, "value": value, **where, **kind} for name, value in cookies.items()]
    return {"cookies": kept, "origins": []}


@pytest.fixture(scope="module")
def caller(running: Up) -> Iterator[Caller]:
    """The user of the page by REST, and a client that calls deployments."""
    caller = Caller(running.url)
    yield caller
    caller.close()


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Run Debian's Chromium, as .ci/services installs it."""
    with sync_playwright() as playwright, started_browser(playwright) as started:
        yield started


@pytest.fixture(autouse=True)
def steady() -> Iterator[None]:
    """Pages load while no other test changes the network."""
    with steady_network():
        yield


@pytest.fixture
def new_browser(browser: Browser) -> Iterator[Callable[..., WatchedPage]]:
    """Opens pages in new contexts; what they must not do fails the test."""
    opened: list[WatchedPage] = []

    # Any: options of a context
    def open_page(url: str = "", **options: Any) -> WatchedPage:
        size: Any = {"width": 1280, "height": 800}
        context = browser.new_context(viewport=size, locale="en-GB", **options)
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        watched = WatchedPage(context.new_page(), url)
        watched.announce("/node/session/", 401)  # a browser asks whether it has a session
        opened.append(watched)
        return watched

    yield open_page
    for each in opened:
        each.page.context.close()
    faults = [fault for each in opened for fault in each.faults]
    assert not faults, "\n".join(faults)


@pytest.fixture
def watched(new_browser: Callable[[], WatchedPage]) -> WatchedPage:
    """A page in a new context."""
    return new_browser()


# Any: Playwright's own form
@pytest.fixture(scope="module")
def session(running: Up) -> Any:
    """One session for the pages of all tests: to log in takes 0.4 s of processor time."""
    return stored_session(running)


@pytest.fixture
def logged_in(new_browser: Callable[..., WatchedPage], running: Up, session: Any) -> WatchedPage:
    """A page of a user who has a session: it shows nothing until the test opens something."""
    return new_browser(running.url, storage_state=session, reduced_motion="reduce")


@pytest.fixture
def at_flows(logged_in: WatchedPage) -> None:
    """Open the list of flows."""
    logged_in.open("/")
    logged_in.heading("Flows").wait_for()
    logged_in.page.get_by_text("Live", exact=True).first.wait_for()  # its stream tells of changes


@pytest.fixture(scope="module")
def owner(running: Up) -> Iterator[Owner]:
    """The user of the page, by REST."""
    owner = Owner(running.url)
    yield owner
    owner.close()
