"""Bringing databases up to date."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from gateway.errors import StorageError
from gateway.storage.database import create_engine, parse_url
from gateway.storage.migrate import migrate
from gateway.storage.tables import Table
from tests.gateway.databases import SERVER, PostgresDatabase

pytestmark = pytest.mark.databases("sqlite", "postgresql")

RETIRED = {
    *("inference_servers." + name for name in ("state", "phase", "pid", "address", "tcp_address")),
    *("inference_servers." + name for name in ("metrics_address", "restarts", "memory_bytes")),
    *("inference_servers." + name for name in ("reason", "started_at", "ready_at", "boot_seconds")),
    "hosts.pepper_digest",
}
"""Columns that only processes of a release before migration 0022, or 0039, read."""


def _differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return [
        difference
        for difference in compare_metadata(context, Table.metadata)
        if not _is_retired(difference)
    ]


def _is_retired(difference: Any) -> bool:  # Any: one of Alembic's tuples
    kind, *_, column = difference if isinstance(difference, tuple) else (None, None)
    return kind == "remove_column" and f"{column.table.name}.{column.name}" in RETIRED


async def test_the_migrated_database_has_exactly_the_tables_of_the_code(url: str) -> None:
    engine = create_engine(parse_url(url))
    async with engine.connect() as connection:
        assert await connection.run_sync(_differences) == []
    await engine.dispose()


async def test_migrating_again_changes_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alembic.command.upgrade", lambda *_: pytest.fail("it is up to date"))
    await migrate(url)
    engine = create_engine(parse_url(url))
    async with engine.connect() as connection:
        revision = await connection.execute(text("SELECT revision FROM change_counter"))
        assert len(revision.all()) == 1
    await engine.dispose()


async def _migrate_in_a_process(url: str) -> bytes:
    program = "import asyncio, sys; from gateway.storage.migrate import migrate; "
    program += "asyncio.run(migrate(sys.argv[1]))"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, url, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    return errors


@pytest.mark.processes
async def test_processes_that_migrate_a_new_sqlite_file_at_once_all_succeed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/new/slipstream.db"
    assert set(await asyncio.gather(*(_migrate_in_a_process(url) for _ in range(3)))) == {b""}


@pytest.mark.services
async def test_processes_that_migrate_a_new_postgresql_database_at_once_all_succeed() -> None:
    database = PostgresDatabase()
    await asyncio.to_thread(database.create)
    try:
        runs = (_migrate_in_a_process(database.url) for _ in range(2))
        assert set(await asyncio.gather(*runs)) == {b""}
    finally:
        await asyncio.to_thread(database.drop)


async def test_a_file_that_is_not_a_database_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "slipstream.db"
    path.write_bytes(b"this was never a database" * 500)
    with pytest.raises(StorageError, match="file is not a database") as caught:
        await migrate(f"sqlite:///{path}")
    assert "\n" not in str(caught.value)
    assert path.read_bytes().startswith(b"this was never")


async def test_a_damaged_page_is_noticed_before_it_is_used(tmp_path: Path) -> None:
    path = tmp_path / "slipstream.db"
    await migrate(f"sqlite:///{path}")
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    content = bytearray(path.read_bytes())
    content[4096 * 3 : 4096 * 9] = b"\xa5" * (4096 * 6)
    path.write_bytes(content)
    with pytest.raises(StorageError, match=r"damaged|malformed") as caught:
        await migrate(f"sqlite:///{path}")
    assert "\n" not in str(caught.value)


@pytest.mark.long
async def test_a_transaction_that_does_not_end_is_said_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "slipstream.db"
    await migrate(f"sqlite:///{path}")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match=r"locked: another process .* end it if it is"):
            await migrate(f"sqlite:///{path}")


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="cannot be used"):
        await migrate(f"sqlite:///{tmp_path}/file/slipstream.db")


async def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "slipstream.db"
    await migrate(f"sqlite:///{path}")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(StorageError, match="another version of Slipstream"):
        await migrate(f"sqlite:///{path}")


async def test_a_server_that_does_not_answer_is_said_without_the_password() -> None:
    with pytest.raises(StorageError, match="cannot be used") as caught:
        await migrate("postgresql://user:secret@127.0.0.1:1/nothing")
    assert "secret" not in str(caught.value)


@pytest.mark.services
async def test_a_database_that_does_not_exist_is_named() -> None:
    with pytest.raises(StorageError, match='"not_there" does not exist'):
        await migrate(f"{SERVER}/not_there")


@pytest.mark.parametrize(
    "url", ["nonsense", "mysql://host/name", "sqlite://", "sqlite:///:memory:"]
)
async def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(StorageError, match=r"expected|needs"):
        await migrate(url)
