"""The checks of `slipstream doctor`. Each yields findings; none raises."""

from __future__ import annotations

import asyncio
import platform
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from gateway.broker.broker import Broker, BrokerKind
from gateway.broker.celery_app import connection_error
from gateway.broker.worker_files import read_heartbeats
from gateway.errors import StorageError
from gateway.fleet.states import State
from gateway.fleet.store import FleetStore
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.storage.migrate import migrate
from gateway.storage.tables import InferenceServer
from inference_server.runtime.host import STRING_NORMALIZER_LOCALE, has_locale, plan_threads
from model_store.errors import StoreError
from model_store.store import ModelStore
from slipstream.readiness import fetch_readiness
from slipstream.settings import reachable
from slipstream.supervisor import ports
from slipstream.supervisor.state_folder import RunningSupervisor, running_supervisor
from slipstream.workspace import broker_of
from telemetry.logs import reason_of

_LIBRARIES = (
    "onnxruntime",
    "onnx",
    "numpy",
    "grpcio",
    "protobuf",
    "fastapi",
    "uvicorn",
    "sqlalchemy",
    "celery",
    "pydantic",
)
_STALE_SECONDS = 30.0
_OTHER_FOLDER = "free it, or choose another state folder with --state"


class Level(StrEnum):
    """How serious a finding is."""

    GOOD = "good"
    WARNING = "warning"
    """It works, but needs attention."""
    WRONG = "wrong"
    """It does not work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of one check."""

    subject: str
    level: Level
    message: str
    fix: str = ""
    """How to fix it; empty if there is nothing to fix."""


def check_machine(settings: Settings) -> Iterator[Finding]:
    """Check what the machine and the installation offer."""
    yield _check_versions()
    yield _good("threads", f"{plan_threads()}; inference servers share them")
    yield _check_locale()
    yield from _check_broker(settings)
    yield from _check_ports(settings)
    if settings.anonymous_v2:
        yield _warning(
            "anonymous access",
            "SLIPSTREAM_ANONYMOUS_V2 opens /v2 and gRPC to every process on this machine",
            "unset it unless clients cannot send a key",
        )


def check_state(settings: Settings) -> Iterator[Finding]:
    """Check what is persistent: state folder, database, model store, inference servers."""
    if not settings.state.exists():
        yield _good(
            "state folder", f"{settings.state} does not exist yet; the first start makes it"
        )
        return
    yield _check_writable("state folder", settings.state)
    yield from _check_database(settings)
    if settings.models.exists():
        yield _check_writable("model store", settings.models)
        yield from _check_models(ModelStore(settings.models))


def _good(subject: str, message: str) -> Finding:
    return Finding(subject=subject, level=Level.GOOD, message=message)


def _warning(subject: str, message: str, fix: str) -> Finding:
    return Finding(subject=subject, level=Level.WARNING, message=message, fix=fix)


def _wrong(subject: str, message: str, fix: str) -> Finding:
    return Finding(subject=subject, level=Level.WRONG, message=message, fix=fix)


def _check_versions() -> Finding:
    found, missing = [f"python {platform.python_version()}"], []
    for library in _LIBRARIES:
        try:
            found.append(f"{library} {version(library)}")
        except PackageNotFoundError:
            missing.append(library)
    if missing:
        return _wrong("versions", f"not installed: {', '.join(missing)}", "run `make setup` again")
    return _good("versions", ", ".join(found))


def _check_locale() -> Finding:
    if has_locale():
        return _good("locale", f"{STRING_NORMALIZER_LOCALE} is installed")
    return _warning(
        "locale",
        f"{STRING_NORMALIZER_LOCALE} is missing: models that normalise strings do not load",
        f"apt-get install locales && localedef -i en_US -f UTF-8 {STRING_NORMALIZER_LOCALE}",
    )


def _check_broker(settings: Settings) -> Iterator[Finding]:
    broker = broker_of(settings)
    if broker.kind is not BrokerKind.FOLDER or settings.state.exists():
        yield _check_connection(broker)
    else:
        yield _good("broker", f"{broker.display_url}; the first start makes it")
    yield from _check_workers(settings)


def _check_connection(broker: Broker) -> Finding:
    reason = connection_error(broker)
    if reason is None:
        return _good("broker", f"{broker.display_url} can be used")
    return _wrong(
        "broker",
        f"{broker.display_url} cannot be used: {reason}",
        "check that it runs and can be reached, or correct SLIPSTREAM_BROKER_URL; meanwhile flows "
        "of type server run, and runs of type api wait",
    )


def _check_workers(settings: Settings) -> Iterator[Finding]:
    found = False
    for heartbeat, age in read_heartbeats(settings.run):
        found = True
        text = f"process {heartbeat.pid} executes {heartbeat.busy} of {heartbeat.concurrency} runs"
        if age > _STALE_SECONDS:
            fix = "if it hangs, kill it: its runs are found and run again"
            yield _warning("worker", f"{text}; no heartbeat for {age:.0f} s", fix)
        elif not heartbeat.ready:
            yield _warning("worker", f"{text}; it takes no runs at the moment", "see its log")
        else:
            yield _good("worker", text)
    if not found and running_supervisor(settings.state):
        yield _good("worker", "none runs here; it may be asleep, or on another machine")


def _check_ports(settings: Settings) -> Iterator[Finding]:
    running = running_supervisor(settings.state)
    if running:
        yield _check_readiness(running)
        return
    for name, port in (("REST port", settings.port), ("gRPC port", settings.grpc_port)):
        reason = ports.why_unavailable(settings.host, port)
        if reason:
            yield _wrong(name, reason, "or set SLIPSTREAM_PORT and SLIPSTREAM_GRPC_PORT")
        else:
            text = f"{port} on {settings.host} is free; nothing runs on this state folder"
            yield _good(name, text)


def _check_readiness(running: RunningSupervisor) -> Finding:
    where = f"`slipstream up` (process {running.pid}) at {running.host}:{running.port}"
    certificate = Path(running.tls_certificate) if running.tls_certificate else None
    readiness = fetch_readiness(reachable(running.host), running.port, certificate)
    if readiness.degraded:
        where += f" (degraded: {readiness.degraded})"
    if readiness.ready:
        return _good("gateway", f"{where} is ready; gRPC is on port {running.grpc_port}")
    return _wrong("gateway", f"{where} is not ready: {readiness.reasons}", "see its log")


def _check_writable(subject: str, folder: Path) -> Finding:
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return _wrong(subject, f"{folder} cannot be written: {error.strerror}", _OTHER_FOLDER)
    return _good(subject, f"{folder} can be written")


def _check_database(settings: Settings) -> Iterator[Finding]:
    try:
        servers = asyncio.run(_wanted_servers(settings))
    except StorageError as error:
        yield _wrong("database", str(error), "restore a backup, or correct SLIPSTREAM_DATABASE_URL")
        return
    except (SQLAlchemyError, OSError) as error:
        yield _wrong("database", reason_of(error), "check that it runs and can be reached")
        return
    yield _good("database", "can be reached, is intact, and has the tables of this version")
    for server in servers:
        if server.state == State.FAILED:
            yield _wrong(
                "inference server",
                f"{server.model} {server.version} has failed: {server.reason}",
                f"fix the cause, then run: slipstream models serve {server.model} "
                f"--version {server.version}",
            )


async def _wanted_servers(settings: Settings) -> list[InferenceServer]:
    await migrate(settings.database)
    db = Database(settings.database)
    try:
        return await FleetStore(db).desired_running()
    finally:
        await db.close()


def _check_models(store: ModelStore) -> Iterator[Finding]:
    intact = 0
    for name in store.names():
        for number in store.versions(name):
            problems = _model_problems(store, name, number)
            if problems:
                yield _wrong(
                    "model store",
                    f"{name} {number} is damaged: {'; '.join(problems)}",
                    f"restore its files, or publish the model again as another version of {name}",
                )
            intact += not problems
    yield _good("model store", f"intact versions: {intact}")


def _model_problems(store: ModelStore, name: str, number: int) -> list[str]:
    try:
        return store.find_changes(name, number)
    except StoreError as error:
        return [error.message]
    except OSError as error:
        return [str(error)]
