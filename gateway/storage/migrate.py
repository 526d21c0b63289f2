"""Upgrades the database schema; safe when several processes start at once."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

from filelock import FileLock, Timeout
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from gateway.errors import StorageError
from gateway.storage.database import (
    create_engine,
    parse_url,
    sqlite_file,
    with_immediate_transactions,
)
from telemetry.logs import reason_of

_SCRIPTS = Path(__file__).parent / "migrations"
_ADVISORY_LOCK = 0x736C6970  # "slip"
_LOCK_SECONDS = 60


async def migrate(url: str) -> None:
    """Create or upgrade the tables of the database at `url`, and create SQLite's folder.

    Raises:
        StorageError: the database cannot be reached or read, is damaged, or has a newer schema.
    """
    parsed = parse_url(url)
    shown = parsed.render_as_string(hide_password=True)
    engine = create_engine(parsed)
    try:
        async with (
            _exclusive(sqlite_file(parsed)),
            with_immediate_transactions(engine).connect() as connection,
        ):
            if parsed.get_backend_name() == "postgresql":
                lock = text("SELECT pg_advisory_xact_lock(:key)")
                await connection.execute(lock, {"key": _ADVISORY_LOCK})
            if await connection.run_sync(_revision) != _newest_revision():
                await connection.run_sync(_upgrade, shown)
                await connection.commit()
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        reason = reason_of(getattr(error, "orig", None) or error)
        raise StorageError(f"the database {shown} cannot be used: {reason}") from error
    finally:
        await engine.dispose()


@asynccontextmanager
async def _exclusive(file: Path | None) -> AsyncIterator[None]:
    """Hold a lock file: a switch to WAL fails at once if another process uses the database."""
    if file is None:
        yield
        return
    await asyncio.to_thread(file.parent.mkdir, parents=True, exist_ok=True)
    lock = FileLock(f"{file}.lock", thread_local=False)
    try:
        await asyncio.to_thread(lock.acquire, timeout=_LOCK_SECONDS)
    except Timeout:
        raise StorageError(f"another process has been migrating {file} for a minute") from None
    try:
        await asyncio.to_thread(_check_sqlite, file)
        yield
    finally:
        lock.release()


def _check_sqlite(file: Path) -> None:
    """Switch the file to WAL permanently; raise StorageError if its pages are damaged."""
    with closing(sqlite3.connect(file)) as connection:
        # Takes effect only in a new file. It lets pages of pruned runs be returned to the disk.
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        connection.execute("PRAGMA journal_mode=WAL")
        (result,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if result != "ok":
        first = str(result).strip().replace("\n", " ")
        raise StorageError(f"the database {file} is damaged ({first}): restore a backup of it")


def _revision(connection: Connection) -> str | None:
    """Return the revision of the schema, as Alembic stores it; None in an empty database."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _newest_revision() -> str:
    """Return the revision of the last migration: the number in its file name, `v0001_….py`."""
    return max(file.name for file in _SCRIPTS.glob("versions/v*_*.py"))[1:5]


def _upgrade(connection: Connection, shown: str) -> None:
    # 0.1 s, and most processes find the newest schema
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        message = f"the database {shown} was written by another version of Slipstream"
        raise StorageError(f"{message} ({error}): run that version, or restore a backup") from error
