"""Backs up what an installation keeps on this machine: the backup is a state folder itself."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from gateway.models.opening import open_model_store
from gateway.settings import Settings
from gateway.storage.database import parse_url, sqlite_file
from model_store.backup import copy_store
from model_store.folder_store import FolderStore
from slipstream.failures import RefusedError, UnusableError
from slipstream.supervisor.running_supervisor import copy_last_database

_DATABASE = "slipstream.db"
_PEPPER = "pepper"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A backup that was made."""

    folder: str
    database: bool
    """Whether it contains the database: SQLite's."""
    models: int
    """Versions of models."""
    pepper: bool
    size_bytes: int
    missing: tuple[str, ...]
    """What belongs to the installation and is not in the folder, and where it is."""


def back_up(settings: Settings, target: Path, *, with_pepper: bool) -> Backup:
    """Copy database, models and pepper into the new folder `target`; blocks.

    The database is copied first: every model that it names was there then. The folder has its name
    only when everything is in it and on the disk.

    Raises:
        RefusedError: `target` exists already.
        UnusableError: there is nothing to back up, or something cannot be read or written.
    """
    if not settings.state.is_dir():
        raise UnusableError(f"there is no state folder {settings.state}: name it with --state")
    if target.exists():
        message = f"{target} exists: expected the name of a new folder"
        raise RefusedError("conflict", message)
    part = target.with_name(f".{target.name}.unfinished")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(mode=0o700, parents=True)
        backup = _copy(settings, part, target, with_pepper=with_pepper)
        os.sync()
        part.rename(target)
    except (OSError, sqlite3.Error) as error:
        raise UnusableError(f"the backup {target} was not made: {error}") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return backup


def _copy(settings: Settings, part: Path, target: Path, *, with_pepper: bool) -> Backup:
    missing: list[str] = []
    url = parse_url(settings.database)
    file = sqlite_file(url)
    if file is None:
        shown = url.render_as_string(hide_password=True)
        missing.append(f"the database {shown}: copy it with pg_dump")
        copy_last_database(settings.state, part)
    else:
        _copy_sqlite(file, part / _DATABASE)
    store, models = open_model_store(settings), 0
    if not isinstance(store, FolderStore):
        missing.append(f"the models in {settings.model_store}: copy the bucket with its own tools")
    elif store.root.is_dir():
        models = copy_store(store, part / "models")
    pepper = settings.state / _PEPPER
    copies_pepper = with_pepper and not settings.key_pepper and pepper.exists()
    if copies_pepper:
        shutil.copy2(pepper, part)
    elif settings.key_pepper:
        source = settings.key_pepper_file or "set by SLIPSTREAM_KEY_PEPPER"
        missing.append(f"the pepper: it is {source}")
    elif pepper.exists():
        missing.append(f"the pepper: it is in {pepper}")
    if settings.tls_certificate is not None:
        missing.append(f"certificate and key: {settings.tls_certificate}, {settings.tls_key}")
    return Backup(
        folder=str(target),
        database=file is not None,
        models=models,
        pepper=copies_pepper,
        size_bytes=sum(each.stat().st_size for each in part.rglob("*") if each.is_file()),
        missing=tuple(missing),
    )


def _copy_sqlite(file: Path, copy: Path) -> None:
    """Copy a database that is in use: as it is at one moment, and without waiting writers."""
    with (
        closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)
        (result,) = target.execute("PRAGMA integrity_check(1)").fetchone()
        # One file: what WAL keeps beside it does not belong to a backup.
        target.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    if result != "ok":
        raise sqlite3.DatabaseError(f"{file} is damaged: {result}")
