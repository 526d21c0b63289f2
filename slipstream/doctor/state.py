"""Checks of what is remembered: state folder, database, model store, inference servers."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from gateway.errors import StorageError
from gateway.fleet.states import State
from gateway.fleet.store import FleetStore
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.storage.migrate import migrate
from gateway.storage.tables import InferenceServer
from model_store.errors import StoreError
from model_store.store import ModelStore
from slipstream.doctor.finding import Finding, good, wrong
from telemetry.logs import reason_of

_ELSEWHERE = "free it, or choose another state folder with --state"


def check_state(settings: Settings) -> Iterator[Finding]:
    """Look at everything that outlives a process."""
    if not settings.state.exists():
        yield good("state folder", f"{settings.state} is not there yet: the first start makes it")
        return
    yield _writable("state folder", settings.state)
    yield from _database(settings)
    if settings.models.exists():
        yield _writable("model store", settings.models)
        yield from _models(ModelStore(settings.models))


def _writable(subject: str, folder: Path) -> Finding:
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return wrong(subject, f"{folder} cannot be written: {error.strerror}", _ELSEWHERE)
    return good(subject, f"{folder} can be written")


def _database(settings: Settings) -> Iterator[Finding]:
    try:
        servers = asyncio.run(_servers(settings))
    except StorageError as error:
        yield wrong("database", str(error), "restore a backup, or mend SLIPSTREAM_DATABASE_URL")
        return
    except (SQLAlchemyError, OSError) as error:
        yield wrong("database", reason_of(error), "see that it runs and can be reached")
        return
    yield good("database", "can be reached, is intact, and has the tables of this version")
    for server in servers:
        if server.state == State.FAILED:
            yield wrong(
                "inference server",
                f"{server.model} {server.version} has failed: {server.reason}",
                f"mend that, then: slipstream models serve {server.model} "
                f"--version {server.version}",
            )


async def _servers(settings: Settings) -> list[InferenceServer]:
    await migrate(settings.database)
    db = Database(settings.database)
    try:
        return await FleetStore(db).desired_running()
    finally:
        await db.close()


def _models(store: ModelStore) -> Iterator[Finding]:
    intact = 0
    for name in store.names():
        for version in store.versions(name):
            problems = _problems(store, name, version)
            if problems:
                yield wrong(
                    "model store",
                    f"{name} {version} is damaged: {'; '.join(problems)}",
                    f"restore its files, or publish the model again as another version of {name}",
                )
            intact += not problems
    yield good("model store", f"intact versions: {intact}")


def _problems(store: ModelStore, name: str, version: int) -> list[str]:
    try:
        return store.find_changes(name, version)
    except StoreError as error:
        return [error.message]
    except OSError as error:
        return [str(error)]
