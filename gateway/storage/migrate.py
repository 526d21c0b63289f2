"""Upgrades the database schema; safe when several processes start at once."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

from filelock import FileLock, Timeout
from sqlalchemy import URL, Connection, inspect, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.errors import StorageError
from gateway.storage.database import (
    create_engine,
    parse_url,
    sqlite_file,
    with_immediate_transactions,
)
from gateway.storage.schema_version import MIGRATIONS, newest_revision
from telemetry.logs import reason_of

_ADVISORY_LOCK = 0x736C6970  # "slip"
_LOCK_SECONDS = 60


async def migrate(url: str) -> None:
    """Create or upgrade the tables of the database at `url`, and create SQLite's folder.

    Raises:
        StorageError: the database cannot be reached or read, is damaged, or has a newer schema.
    """
    async with (
        _engine(url) as (engine, parsed, shown),
        _exclusive(sqlite_file(parsed)),
        with_immediate_transactions(engine).connect() as connection,
    ):
        if parsed.get_backend_name() == "postgresql":
            lock = text("SELECT pg_advisory_xact_lock(:key)")
            await connection.execute(lock, {"key": _ADVISORY_LOCK})
        found = await connection.run_sync(_revision)
        check_revision(found, shown)
        if found != newest_revision():
            await connection.run_sync(_upgrade, shown)
            await connection.commit()


async def read_revision(url: str) -> str | None:
    """Return the schema's revision; None where there are no tables. Changes nothing.

    Raises:
        StorageError: the database cannot be reached or read, or is damaged.
    """
    async with _engine(url) as (engine, parsed, _):
        file = sqlite_file(parsed)
        if file is not None:
            if not file.exists():
                return None
            await asyncio.to_thread(_check_pages, file)
        async with engine.connect() as connection:
            return await connection.run_sync(_revision)


def check_revision(found: str | None, shown: str) -> None:
    """Raise StorageError if the schema of the database `shown` is newer than this code."""
    newest = newest_revision()
    if found is not None and found > newest:
        message = (
            f"the database {shown} was written by another version of Slipstream: expected schema "
            f"{newest} or older, got {found}: run that version, or restore the backup that was "
            "made before the upgrade"
        )
        raise StorageError(message)


@asynccontextmanager
async def _engine(url: str) -> AsyncIterator[tuple[AsyncEngine, URL, str]]:
    """Open the engine of a URL, with the URL parsed and as messages show it; errors name it."""
    parsed = parse_url(url)
    shown = parsed.render_as_string(hide_password=True)
    engine = create_engine(parsed)
    try:
        yield engine, parsed, shown
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        cause = getattr(error, "orig", None) or error
        reason = reason_of(cause)
        if getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
            reason += ": another process has not ended its transaction: end it if it is stopped"
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
    _check_pages(file)


def _check_pages(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        (result,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if result != "ok":
        first = str(result).strip().replace("\n", " ")
        raise StorageError(f"the database {file} is damaged ({first}): restore a backup of it")


def _revision(connection: Connection) -> str | None:
    """Return the revision of the schema, as Alembic stores it; None in an empty database."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _upgrade(connection: Connection, shown: str) -> None:
    # 0.1 s, and most processes find the newest schema
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        message = f"the database {shown} was written by another version of Slipstream"
        raise StorageError(f"{message} ({error}): run that version, or restore a backup") from error
