from __future__ import annotations

from pathlib import Path

import pytest

from tests.slipstream.cli import Cli
from tests.slipstream.server_group import publish


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one model, `mlp`."""
    return publish(tmp_path_factory.mktemp("models"))


@pytest.fixture
def new_cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Commands on a state folder that is to be made, with no settings from outside."""
    for name in ("SLIPSTREAM_STATE", "SLIPSTREAM_DATABASE_URL", "SLIPSTREAM_PORT"):
        monkeypatch.delenv(name, raising=False)
    return Cli(tmp_path / "state")


@pytest.fixture
def cli(new_cli: Cli, sqlite_template: Path) -> Cli:
    """Commands on a state folder of the test's own. Its tables are there: they take a second."""
    return Cli.of_template(new_cli.state, sqlite_template)
