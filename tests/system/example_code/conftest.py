"""One gateway with a worker for all examples."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services import npm
from tests.slipstream.running import LOOPBACK, Up
from tests.system.example_code.examples import Examples
from tests.system.installation import Installation
from tests.timing import eventually


@pytest.fixture(scope="package")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The demo, whose webhooks may call receivers on this machine."""
    up = Up(
        tmp_path_factory.mktemp("example_code") / "state",
        **LOOPBACK,
    )
    up.until("documentation")
    # The samples do not try again, and a run waits only so long for a worker.
    eventually(lambda: "".join(up.output), lambda text: "ready for" in text)
    running = Installation(up)
    yield running
    running.stop()


@pytest.fixture
def examples(installation: Installation, tmp_path: Path) -> Examples:
    """Fetches and executes the examples of its deployments."""
    return Examples(installation, tmp_path)


@pytest.fixture(scope="package")
def node_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the npm packages of the examples, installed from their lock file."""
    folder = tmp_path_factory.mktemp("node") / "examples"
    npm.install(Path(__file__).parent / "node", folder)
    return folder
