from __future__ import annotations

from pathlib import Path

import pytest

from tests.slipstream.family import publish


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one model, `mlp`."""
    return publish(tmp_path_factory.mktemp("models"))
