"""The addresses that `slipstream open` prints lead to pages of the console."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.console.watched_page import WatchedPage
from tests.slipstream.running import Up, environment

pytestmark = pytest.mark.services


def test_the_printed_addresses_show_what_was_named(logged_in: WatchedPage, running: Up) -> None:
    for name, heading in (("Iris classifier", "Iris classifier"), ("iris", "iris v1")):
        words = ["open", name, "--print", "--state", str(running.state)]
        printed = subprocess.run(
            [sys.executable, "-m", "slipstream", *words],
            capture_output=True,
            check=True,
            env=environment(),
            text=True,
        )
        logged_in.page.goto(printed.stdout.strip())
        logged_in.heading(heading).wait_for()
