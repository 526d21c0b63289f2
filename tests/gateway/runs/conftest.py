"""Fixtures: a run store and a waiter."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gateway.runs.store import RunStore
from gateway.runs.waiter import RunWaiter
from gateway.settings import Settings
from gateway.storage.database import Database
from tests.gateway.runs.builders import until
from tests.gateway.runs.runs_api import RunsApi


@pytest.fixture
def store(database: Database) -> RunStore:
    """The runs of an empty database."""
    return RunStore(database)


@pytest.fixture
async def waiter(database: Database, url: str) -> AsyncIterator[RunWaiter]:
    """The waiter of another process: it shares neither connections nor memory with `store`."""
    other = Database(url)
    made = RunWaiter(other, RunStore(other))
    made.start()
    for db in (database, other):
        db.commits.start()
    if not other.commits.must_poll:
        await until(lambda: database.commits.connected and other.commits.connected)
    yield made
    await made.stop()
    await other.close()


@pytest.fixture
async def api(database: Database, settings: Settings) -> AsyncIterator[RunsApi]:
    """The REST API of runs."""
    opened = RunsApi(settings)
    await opened.open()
    yield opened
    await opened.close()
