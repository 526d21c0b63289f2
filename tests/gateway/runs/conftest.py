"""A store of runs, and who waits for them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gateway.runs.store import RunStore
from gateway.runs.waiter import RunWaiter
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.storage.pg_notify import PgNotifier
from tests.gateway.runs.runs_api import RunsApi


@pytest.fixture
def store(database: Database) -> RunStore:
    """The runs of an empty database."""
    return RunStore(database)


@pytest.fixture
async def notices(database: Database) -> AsyncIterator[PgNotifier]:
    """Notices, to be started by whoever has subscribed to them."""
    made = PgNotifier(database)
    yield made
    await made.stop()


@pytest.fixture
async def waiter(database: Database, notices: PgNotifier) -> AsyncIterator[RunWaiter]:
    """Who waits for the runs of a process of its own: its store is not `store`."""
    made = RunWaiter(database, RunStore(database, notices))
    made.start()
    notices.start()
    yield made
    await made.stop()


@pytest.fixture
async def api(database: Database, settings: Settings) -> AsyncIterator[RunsApi]:
    """The routes of runs behind HTTP."""
    opened = RunsApi(settings)
    await opened.open()
    yield opened
    await opened.close()
