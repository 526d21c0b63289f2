"""An installation on PostgreSQL stores nothing in SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.databases import PostgresDatabase
from tests.slipstream.running import NO_WORKER, Up
from tests.system.installation import Installation, chain

pytestmark = pytest.mark.services


@pytest.fixture
def postgresql() -> Iterator[PostgresDatabase]:
    database = PostgresDatabase()
    database.create()
    yield database
    database.drop()


def test_postgresql_needs_no_sqlite_file(tmp_path: Path, postgresql: PostgresDatabase) -> None:
    up = Up(tmp_path / "state", *NO_WORKER, SLIPSTREAM_DATABASE_URL=postgresql.url)
    up.until("documentation")
    installation = Installation(up)
    deployment = installation.deploy(chain("iris"))
    answer = installation.trigger(deployment, json={"input_data": {"x": [[1, 2, 3, 4]]}})
    assert answer.is_success, answer.text
    assert not list(up.state.glob("*.db"))
    installation.stop()
