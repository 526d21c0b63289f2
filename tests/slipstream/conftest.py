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
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Commands on a state folder of the test's own, with no settings from outside."""
    for name in ("SLIPSTREAM_STATE", "SLIPSTREAM_DATABASE_URL", "SLIPSTREAM_PORT"):
        monkeypatch.delenv(name, raising=False)
    return Cli(tmp_path / "state")
