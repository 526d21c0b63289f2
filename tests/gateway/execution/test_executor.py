"""Claims of runs while the database is away for a moment."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.container import Container
from gateway.execution import executor as module
from gateway.execution.executor import RunExecutor
from gateway.ids import own_request_id
from gateway.runs.run import Claim, RunStatus
from gateway.runs.store import RunStore
from gateway.storage.database import Database
from telemetry.logs import logger
from tests.gateway.runs.builders import new_run
from tests.timing import TIMEOUT_SECONDS

pytestmark = pytest.mark.databases("sqlite", "postgresql")

ENDED = {"status": RunStatus.FAILED, "attempt": 1}
"""The deployment of these runs does not exist, which is found when they are executed."""


class UnreliableStore(RunStore):
    """Loses the connection at some claims: before they reach the database, or after."""

    def __init__(self, db: Database, *, failures: int, committed: bool) -> None:
        super().__init__(db)
        self._committed = committed
        self.failures = failures

    # Any: the arguments of the method that it replaces
    async def claim(self, *args: Any, **options: Any) -> Claim | None:
        """Claim, or fail."""
        claim = None
        if not self.failures or self._committed:
            claim = await super().claim(*args, **options)
        if self.failures:
            self.failures -= 1
            raise ConnectionResetError("the database has gone")
        return claim


def executor_of(container: Container, store: RunStore) -> RunExecutor:
    """Return the gateway's executor, with another store."""
    executor = container.execution.executor
    executor._store = store
    return executor


async def ended(store: RunStore, run_id: str) -> dict[str, object]:
    """Return what became of a run."""
    run = await store.get(run_id)
    assert run is not None
    return {"status": run.status, "attempt": run.attempt}


async def test_a_run_that_fails_is_logged_without_its_message_and_input(
    store: RunStore, container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "log", logger("gateway.execution"))
    new = new_run()
    await store.create(new)
    with capture_logs() as logs:
        await container.execution.executor.run(new.id)
    (line,) = [line for line in logs if line["event"] == "run_failed"]
    assert line == {
        "event": "run_failed",
        "log_level": "warning",
        "request_id": own_request_id(new.id),
        "run_id": new.id,
        "deployment": new.deployment_id,
        "code": "flow_failed",
        "node": None,
        "attempt": 1,
    }


@pytest.mark.parametrize("committed", [False, True], ids=["before", "after the commit"])
async def test_a_run_is_executed_once_when_the_database_is_back(
    store: RunStore, database: Database, container: Container, *, committed: bool
) -> None:
    new = new_run()
    await store.create(new)
    unreliable = UnreliableStore(database, failures=2, committed=committed)
    executor = executor_of(container, unreliable)
    await asyncio.gather(*(executor.run(new.id) for _ in range(3)))
    assert unreliable.failures == 0
    assert await ended(store, new.id) == ENDED


async def test_a_run_that_cannot_be_claimed_for_long_is_left_to_the_sweep(
    store: RunStore, database: Database, container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CLAIM_SECONDS", 0.2)
    new = new_run()
    await store.create(new)
    executor = executor_of(container, UnreliableStore(database, failures=99, committed=False))
    await executor.run(new.id)
    assert await ended(store, new.id) == {"status": RunStatus.QUEUED, "attempt": 0}
    await executor_of(container, store).run(new.id)
    assert await ended(store, new.id) == ENDED


async def test_a_process_that_shuts_down_claims_nothing_more(
    store: RunStore, database: Database, container: Container
) -> None:
    new = new_run()
    await store.create(new)
    executor = executor_of(container, UnreliableStore(database, failures=99, committed=False))
    running = asyncio.create_task(executor.run(new.id))
    await asyncio.sleep(0.05)
    await executor.hand_back()
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await running
    assert await ended(store, new.id) == {"status": RunStatus.QUEUED, "attempt": 0}


class SlowStore(RunStore):
    """Has the row of a claim written, and answers when it is told to."""

    def __init__(self, db: Database) -> None:
        super().__init__(db)
        self.claimed, self.answer = asyncio.Event(), asyncio.Event()

    # Any: as for UnreliableStore
    async def claim(self, *args: Any, **options: Any) -> Claim | None:
        """Claim, and wait."""
        claim = await super().claim(*args, **options)
        self.claimed.set()
        await self.answer.wait()
        return claim


async def test_a_process_that_shuts_down_waits_for_a_claim_and_releases_the_run(
    store: RunStore, database: Database, container: Container
) -> None:
    new = new_run()
    await store.create(new)
    slow = SlowStore(database)
    executor = executor_of(container, slow)
    running = asyncio.create_task(executor.run(new.id))
    await slow.claimed.wait()
    handing_back = asyncio.create_task(executor.hand_back())
    for _ in range(10):
        await asyncio.sleep(0)
    assert not handing_back.done()
    slow.answer.set()
    await handing_back
    assert (await ended(store, new.id))["status"] is not RunStatus.RUNNING
    await running
