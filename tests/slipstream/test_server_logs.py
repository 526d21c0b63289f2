"""The supervisor keeps the last lines of each replica, and writes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.auth.keys import generate_key
from gateway.fleet.server_logs import MAX_LINES, ServerLogStore
from gateway.fleet.store import FleetStore
from gateway.storage.database import Database
from gateway.storage.migrate import migrate
from slipstream.supervisor.log_pace import LogPace
from slipstream.supervisor.server_logs import ServerLogs


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    url = f"sqlite:///{tmp_path / 'slipstream.db'}"
    await migrate(url)
    db = Database(url)
    yield db
    await db.close()


@asynccontextmanager
async def running(logs: ServerLogs) -> AsyncIterator[None]:
    """Have the lines written meanwhile."""
    writer = asyncio.create_task(logs.run())
    try:
        yield
    finally:
        writer.cancel()
        await asyncio.gather(writer, return_exceptions=True)


async def test_the_last_lines_are_kept_in_order_and_without_keys(database: Database) -> None:
    server = await FleetStore(database).ensure_running("mlp", 1)
    store, replica = ServerLogStore(database), server.lead.id
    logs, key = ServerLogs(store, None), generate_key()
    for number in range(MAX_LINES + 5):
        logs.add(replica, f"line {number}", at=1.0)
    logs.reported(replica, {"event": "log", "at": 2.0, "level": "warning", "text": f"key {key}"})
    logs.add("of a replica that was deleted", "line")
    async with running(logs):
        await logs.flush(30)

    ((_, lines),) = await store.read(server.id)
    assert len(lines) == MAX_LINES
    assert [line.at for line in lines] == sorted({line.at for line in lines})
    assert lines[0].text == "line 6"
    assert lines[-1].level == "warning"
    assert key not in lines[-1].text
    assert "********" in lines[-1].text


async def test_the_last_line_of_a_replica_that_ends_is_written_with_those_before(
    database: Database,
) -> None:
    server = await FleetStore(database).ensure_running("mlp", 1)
    store, replica = ServerLogStore(database), server.lead.id
    logs = ServerLogs(store, None)

    async def texts() -> list[str]:
        await logs.flush(30)
        ((_, lines),) = await store.read(server.id)
        return [line.text for line in lines]

    async with running(logs):
        logs.add(replica, "loading")
        assert await texts() == ["loading"]
        logs.add(replica, "stopped")
        logs.forget(replica)
        assert await texts() == ["loading", "stopped"]
        logs.add(replica, "spawning")
        assert await texts() == ["spawning"], "those of its earlier time here are forgotten"


def test_a_log_whose_lines_keep_coming_is_written_less_often() -> None:
    at = 100.0
    pace = LogPace(lambda: at)

    def written() -> list[float]:
        """Return when the log is written while it has new lines at any time."""
        nonlocal at
        moments: list[float] = []
        for _ in range(26):
            if pace.is_due("a"):
                pace.note_write("a")
                moments.append(at)
            at += 0.5
        return moments

    assert written() == [100.0, 101.0, 106.0, 111.0]
    assert pace.is_due("b"), "each has a pace of its own"
    at += 20.0
    began = at
    assert [moment - began for moment in written()] == [0.0, 1.0, 6.0, 11.0], "it was quiet"
