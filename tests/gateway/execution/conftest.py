"""A store of runs."""

from __future__ import annotations

import pytest

from gateway.runs.store import RunStore
from gateway.storage.database import Database


@pytest.fixture
def store(database: Database) -> RunStore:
    """The runs of an empty database."""
    return RunStore(database)
