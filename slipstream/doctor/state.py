"""Checks of what is persistent: state folder, database, model store, inference servers."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from gateway.auth.pepper import PepperProblem, has_pepper, pepper_problem
from gateway.errors import StorageError
from gateway.fleet.hosts import HostStore, SeenHost
from gateway.fleet.states import Desired, State
from gateway.fleet.store import FleetStore
from gateway.models.opening import open_model_store
from gateway.settings import Settings
from gateway.storage.clock import now
from gateway.storage.database import Database, parse_url
from gateway.storage.migrate import check_revision, read_revision
from gateway.storage.schema_version import newest_revision
from gateway.storage.tables import InferenceServer
from gateway.system.activity import ActivityStore, WebhookProblem
from gateway.system.state import QueueState
from gateway.system.store import SystemStore
from model_store.errors import StoreError
from model_store.store import ModelStore
from protos.errors import ErrorCode
from slipstream.doctor.activity import check_backlog, check_webhooks
from slipstream.doctor.finding import Finding, good, warning, wrong
from slipstream.doctor.hosts import check_hosts
from telemetry.logs import reason_of
from telemetry.options import TcpAddress

_OTHER_FOLDER = "free it, or choose another state folder with --state"


def check_state(settings: Settings) -> Iterator[Finding]:
    """Check what is persistent."""
    if settings.state.exists():
        yield _check_writable("state folder", settings.state)
    else:
        yield good("state folder", f"{settings.state} does not exist yet; the first start makes it")
    yield from _check_database(settings)
    yield from _check_store(settings)


def read_servers(settings: Settings) -> list[InferenceServer]:
    """Return the rows of all inference servers; the database must have this version's tables.

    Raises:
        SQLAlchemyError, OSError: the database cannot be used.
    """
    return asyncio.run(_servers(settings))


async def _servers(settings: Settings) -> list[InferenceServer]:
    return (await _rows(settings)).servers


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """What the checks need of the database."""

    servers: list[InferenceServer]
    hosts: Sequence[SeenHost]
    queues: Sequence[QueueState]
    webhooks: Sequence[WebhookProblem]


async def _rows(settings: Settings) -> _Rows:
    db = Database(settings.database)
    try:
        return _Rows(
            servers=await FleetStore(db).all(),
            hosts=await HostStore(db).all(),
            queues=await SystemStore(db).queues(),
            webhooks=await ActivityStore(db).webhook_problems(),
        )
    finally:
        await db.close()


def _check_writable(subject: str, folder: Path) -> Finding:
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return wrong(subject, f"{folder} cannot be written: {error.strerror}", _OTHER_FOLDER)
    return good(subject, f"{folder} can be written")


def _check_database(settings: Settings) -> Iterator[Finding]:
    try:
        shown = parse_url(settings.database).render_as_string(hide_password=True)
        found = asyncio.run(read_revision(settings.database))
        check_revision(found, shown)
        rows = asyncio.run(_rows(settings)) if found == newest_revision() else None
    except StorageError as error:
        yield wrong("database", str(error), "restore a backup, or correct SLIPSTREAM_DATABASE_URL")
        return
    except (SQLAlchemyError, OSError) as error:
        yield wrong("database", reason_of(error), "check that it runs and can be reached")
        return
    if found is None:
        yield good("database", f"{shown} has no tables yet; the first start makes them")
    elif found != newest_revision():
        yield warning(
            "database",
            f"{shown} has schema {found}; the next start upgrades it to {newest_revision()}",
            "make a backup first: docs/operations.md",
        )
    else:
        yield good("database", f"{shown} is intact, and has the tables of this version")
        yield from _check_pepper(settings)
    if rows is not None:
        yield from _check_servers(rows.servers)
        yield from check_hosts(rows.servers, rows.hosts, now())
        yield from _check_metrics(rows.servers)
        yield from check_backlog(rows.queues)
        yield from check_webhooks(rows.webhooks)


def _check_servers(servers: Sequence[InferenceServer]) -> Iterator[Finding]:
    for server in servers:
        if server.desired == Desired.RUNNING and server.state == State.FAILED:
            yield wrong(
                "inference server",
                f"{server.model} {server.version} has failed: {server.reason}",
                f"fix the cause, then run: slipstream models serve {server.model} "
                f"--version {server.version}",
            )


def _check_metrics(servers: Sequence[InferenceServer]) -> Iterator[Finding]:
    """Look for servers that other machines may call, and whose metrics they do not reach."""
    found = [
        f"{server.model} {server.version}"
        for server in servers
        for replica in server.replicas
        if replica.tcp_address
        and replica.metrics_address
        and not _address(replica.tcp_address).is_loopback
        and _address(replica.metrics_address).is_loopback
    ]
    if found:
        yield warning(
            "metrics",
            "/metrics/targets leaves out inference servers whose metrics only their own machine "
            f"reaches: {', '.join(sorted({*found}))}",
            "set SLIPSTREAM_INFERENCE_METRICS on each host to its address, such as 10.0.0.5:0, and "
            "reload",
        )


def _address(text: str) -> TcpAddress:
    return TcpAddress.parse(text.rpartition("://")[2])


def _check_pepper(settings: Settings) -> Iterator[Finding]:
    try:
        problem = asyncio.run(_pepper_problem(settings))
    except StorageError as error:
        yield wrong("key pepper", str(error), "set another one, or make the file readable")
        return
    except (SQLAlchemyError, OSError) as error:
        yield wrong("key pepper", reason_of(error), "check that the database can be reached")
        return
    if problem is not None:
        yield wrong("key pepper", problem.message, problem.fix)
    elif has_pepper(settings.key_pepper, settings.state):
        yield good("key pepper", "it is that of the database")


async def _pepper_problem(settings: Settings) -> PepperProblem | None:
    db = Database(settings.database)
    try:
        return await pepper_problem(db, settings.key_pepper, settings.state)
    finally:
        await db.close()


def _check_store(settings: Settings) -> Iterator[Finding]:
    try:
        store = open_model_store(settings)
        if store.root.exists():
            subject = "cache of models" if store.is_remote else "model store"
            yield _check_writable(subject, store.root)
        if store.is_remote or store.root.exists():
            yield from _check_models(store)
    except StoreError as error:  # it cannot be reached, or not be opened
        advice = "check SLIPSTREAM_MODEL_STORE, and the bucket's credentials"
        yield wrong("model store", error.message, advice)


def _check_models(store: ModelStore) -> Iterator[Finding]:
    """Check every version; raise StoreError where the store cannot be reached."""
    intact = 0
    for name in store.names():
        for number in store.versions(name):
            problems = _model_problems(store, name, number)
            if problems:
                yield wrong(
                    "model store",
                    f"{name} {number} is damaged: {'; '.join(problems)}",
                    f"restore its files, or publish the model again as another version of {name}",
                )
            intact += not problems
    how = ", by their sizes; `slipstream models verify` reads one" if store.is_remote else ""
    yield good("model store", f"intact versions: {intact}{how}")


def _model_problems(store: ModelStore, name: str, number: int) -> list[str]:
    try:
        return store.find_changes(name, number, read=not store.is_remote)
    except StoreError as error:
        if error.code is ErrorCode.MODEL_STORE_UNAVAILABLE:
            raise
        return [error.message]
    except OSError as error:
        return [str(error)]
