"""A second `slipstream up` on the same database."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from gateway.fleet.hosts import HostStore
from gateway.storage.database import Database
from tests.gateway.databases import PostgresDatabase
from tests.slipstream.running import NO_WORKER, Up
from tests.timing import eventually

pytestmark = pytest.mark.processes


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database that is new."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'shared.db'}"
        return
    database = PostgresDatabase()
    database.create()
    try:
        yield database.url
    finally:
        database.drop()


def start(state: Path, database_url: str) -> Up:
    """Start one with a state folder of its own, and models that all share."""
    models = state.parent / "models"
    models.mkdir(exist_ok=True)
    if not state.exists():
        state.mkdir(mode=0o700)
        (state / "models").symlink_to(models)
    return Up(
        state,
        *NO_WORKER,
        SLIPSTREAM_DATABASE_URL=database_url,
        SLIPSTREAM_KEY_PEPPER="the same everywhere",
    )


def models_are_ready(up: Up) -> bool:
    """Whether it answers calls of the demo's model."""
    return httpx.get(f"{up.url}/v2/health/ready").status_code == 200


def stop_between_transactions(up: Up, database_url: str) -> None:
    """Send SIGSTOP when it does not write: SQLite's lock would stay with it until it goes on."""
    file = database_url.partition("sqlite:///")[2]
    while True:
        up.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, up.process.pid, os.WSTOPPED)
        if not file or is_unlocked(Path(file)):
            return
        up.process.send_signal(signal.SIGCONT)
        # If it were stopped at once, it would get no further.
        eventually(lambda: is_unlocked(Path(file)), bool)


def is_unlocked(file: Path) -> bool:
    """Whether nothing holds the write lock of the SQLite file for a second."""
    with closing(sqlite3.connect(file, timeout=1, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
    return True


def lease_end(database_url: str) -> datetime:
    """Return when the lease of the only host ends."""

    async def read() -> datetime:
        db = Database(database_url)
        try:
            (host,) = await HostStore(db).all()
        finally:
            await db.close()
        return host.row.lease_until

    return asyncio.run(read())


@pytest.mark.long
def test_it_is_refused_and_the_first_goes_on(tmp_path: Path, database_url: str) -> None:
    first = start(tmp_path / "first", database_url)
    first.until("documentation")
    servers = {process.pid for process in first.servers()}
    second = start(tmp_path / "second", database_url)
    assert second.ended() == 3
    errors = second.errors
    assert "another `slipstream up`, on host " in errors
    assert "slipstream gateway" in errors
    assert "Traceback" not in errors
    assert models_are_ready(first)
    assert {process.pid for process in first.servers()} == servers
    assert first.stop() == 0
    third = start(tmp_path / "second", database_url)
    third.until("documentation")
    assert "waiting for its lease" not in "".join(third.output)
    assert third.stop() == 0


@pytest.mark.long
def test_it_begins_when_the_first_was_killed_or_has_stopped_for_longer_than_its_lease(
    tmp_path: Path, database_url: str
) -> None:
    first = start(tmp_path / "first", database_url)
    first.until("documentation")
    assert first.stop(signal.SIGKILL) == -signal.SIGKILL
    second = start(tmp_path / "second", database_url)
    second.until("documentation")
    assert "waiting for its lease" not in "".join(second.output)
    stop_between_transactions(second, database_url)
    end = lease_end(database_url)
    third = start(tmp_path / "third", database_url)
    third.until("documentation")
    assert datetime.now(UTC) > end
    assert second.stop(signal.SIGCONT) == 3
    assert "runs the inference servers of this database now" in second.errors
    assert "Traceback" not in second.errors
    eventually(lambda: models_are_ready(third), bool)
    assert third.stop() == 0


@pytest.mark.long
def test_of_two_that_start_at_once_one_goes_on(tmp_path: Path, database_url: str) -> None:
    both = [start(tmp_path / name, database_url) for name in ("first", "second")]
    eventually(lambda: [up.process.poll() for up in both], lambda found: 3 in found)
    (refused,) = (up for up in both if up.process.poll() is not None)
    (other,) = (up for up in both if up is not refused)
    assert refused.ended() == 3
    assert "another `slipstream up`, on host " in refused.errors
    other.until("documentation")
    assert other.stop() == 0
