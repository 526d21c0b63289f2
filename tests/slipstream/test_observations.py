"""Observations of inference servers are written together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine

from gateway.fleet.states import Phase, State
from gateway.fleet.store import FleetStore
from gateway.storage.database import Database
from gateway.storage.migrate import migrate
from slipstream.supervisor.observations import ObservationQueue

SERVERS = 20


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[FleetStore]:
    url = f"sqlite:///{tmp_path / 'slipstream.db'}"
    await migrate(url)
    db = Database(url)
    yield FleetStore(db)
    await db.close()


async def written(queue: ObservationQueue) -> int:
    """Write what is queued; return the number of transactions."""
    commits: list[Connection] = []

    def committed(connection: Connection) -> None:
        commits.append(connection)

    event.listen(Engine, "commit", committed)
    writer = asyncio.create_task(queue.run())
    try:
        await queue.flush(10)
    finally:
        event.remove(Engine, "commit", committed)
        writer.cancel()
        await asyncio.gather(writer, return_exceptions=True)
    return len(commits)


async def test_servers_that_become_ready_together_cost_few_transactions(
    store: FleetStore,
) -> None:
    queue = ObservationQueue(store)
    for number in range(SERVERS):
        replica = (await store.ensure_running("mlp", number + 1)).lead.id
        queue.add(replica, state=State.BOOTING, phase=Phase.SPAWNING, pid=number + 1)
        queue.add(replica, phase=Phase.LOADING)
        queue.add(replica, state=State.READY, boot_seconds=0.5)
    assert await written(queue) <= 2
    rows = await store.all()
    assert {(row.state, row.boot_seconds, row.lead.pid == row.version) for row in rows} == {
        ("ready", 0.5, True)
    }


async def test_an_illegal_observation_does_not_affect_the_others(store: FleetStore) -> None:
    queue = ObservationQueue(store)
    one, two = [await store.ensure_running("mlp", version) for version in (1, 2)]
    queue.add(one.lead.id, state=State.BOOTING)
    queue.add(two.lead.id, state=State.READY)  # from stopped: illegal
    queue.add(one.lead.id, state=State.READY)
    queue.add_asleep(one.lead.id, one.generation)
    await written(queue)
    first, second = await store.all()
    assert (first.state, first.desired, second.state) == ("stopped", "asleep", "stopped")
