"""Each mode and type on real workers and inference servers: its code, its answer, and a change."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.console.caller import Caller
from tests.console.conftest import set_password, start
from tests.console.watched_page import WatchedPage
from tests.slipstream.running import Up
from tests.timing import eventually

pytestmark = pytest.mark.services

SAYS = {
    "sync": "waits for completion and returns results",
    "async": "starts a run and polls for its result",
    "fast": "waits for completion and returns results",
}
ROW = {"x": [[5.1, 3.5, 1.4, 0.2]]}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """An installation with workers, whose owner has a password."""
    up, link = start(tmp_path_factory.mktemp("modes") / "state")
    set_password(up, link)
    eventually(lambda: "".join(up.output), lambda text: "ready for" in text)
    yield up
    assert up.stop() == 0


def iris(caller: Caller) -> str:
    """Return the id of the demo's flow."""
    return str(caller.flow_named("Iris classifier")["id"])


def made(caller: Caller, mode: str, kind: str) -> Any:
    """Deploy the demo's flow. Any: JSON."""
    settings = {"execution_mode": mode, "deployment_type": kind, "name": f"{mode} {kind}"}
    return caller.deploy_with_key(iris(caller), **settings)


def try_it(watched: WatchedPage, deployment: str) -> None:
    """Send the test data; the answer is that of the model."""
    watched.open(f"/deployments/{deployment}/try")
    watched.press("Send")
    answer = watched.page.get_by_role("region", name="Answer", exact=True)
    answer.get_by_text("200 completed").wait_for()
    answer.get_by_text("probabilities", exact=True).wait_for()


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("sync", "server"),
        ("async", "api"),
        ("fast", "api"),
        # Each mode and each type is there; `sync` and `api` are in the test below.
        pytest.param("sync", "api", marks=pytest.mark.long),
        pytest.param("async", "server", marks=pytest.mark.long),
        pytest.param("fast", "server", marks=pytest.mark.long),
    ],
)
def test_a_mode_has_its_code_and_its_answer(
    logged_in: WatchedPage, caller: Caller, mode: str, kind: str
) -> None:
    deployment = made(caller, mode, kind)["id"]
    logged_in.open(f"/deployments/{deployment}/code?language=python")
    logged_in.page.locator("figure").first.get_by_text(SAYS[mode]).first.wait_for()
    try_it(logged_in, deployment)


@pytest.mark.long
def test_code_and_answers_follow_a_change_of_the_mode(
    logged_in: WatchedPage, caller: Caller
) -> None:
    page = logged_in.page
    deployment = made(caller, "sync", "api")["id"]
    for mode in ("async", "fast", "sync"):
        logged_in.open(f"/deployments/{deployment}/settings")
        page.get_by_role("radio", name=re.compile(f"^{mode.capitalize()}")).click()
        logged_in.press("Save")
        page.get_by_text("Saved. It acts on the next call.").first.wait_for()
        page.get_by_text(f"Standard · {mode} · API").wait_for()
        logged_in.follow("Code")
        logged_in.follow("Python")
        page.locator("figure").first.get_by_text(SAYS[mode]).first.wait_for()
        try_it(logged_in, deployment)
