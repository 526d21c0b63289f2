"""A store of runs, what a gateway consists of, and a process that may hold runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from gateway.container import Container
from gateway.runs.store import RunStore
from gateway.settings import Settings
from gateway.storage.database import Database
from tests.gateway.execution.holder import Holder, start_holder
from tests.timing import TIMEOUT_SECONDS


@pytest.fixture
def store(database: Database) -> RunStore:
    """The runs of an empty database."""
    return RunStore(database)


@pytest.fixture
async def container(database: Database, settings: Settings) -> AsyncIterator[Container]:
    """What a gateway consists of; nothing of it runs but what a test launches."""
    built = Container(settings)
    yield built
    # A run that goes on while the database closes would leave its connection open.
    await built.execution.end_runs(TIMEOUT_SECONDS)
    await built.services.flow_processes.close()
    await built.parser.close()
    await built.db.close()


@pytest.fixture
def holder() -> Iterator[Holder]:
    """A process that prints its name and waits."""
    started = start_holder()
    with started.process:
        yield started
        started.process.kill()
