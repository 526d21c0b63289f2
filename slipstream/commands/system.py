"""`slipstream system`: the parts of an installation, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator

import typer
from rich.console import RenderableType
from rich.text import Text

from gateway.broker.celery_app import connection_error
from gateway.fleet.hosts import HostStore
from gateway.system.schemas import SystemOut
from gateway.system.service import SystemService
from gateway.system.state import ProcessState, QueueState
from slipstream import options
from slipstream.commands.tables import elapsed
from slipstream.failures import ExitStatus
from slipstream.session import CommandSession, open_session
from slipstream.terminal import facts, table
from slipstream.workspace import broker_of

_MEBIBYTE = 1 << 20
_MORE = """

It exits with 1 if something is wrong. `slipstream doctor` looks at this machine, too.

$ slipstream system --json | jq -r '.problems[] | .text'
"""


def register(application: typer.Typer, noun: str, text: str) -> None:
    """Add the command."""
    application.command(noun, help=text + _MORE)(system)


def system(*, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False) -> None:
    """Show the state of the installation."""
    with open_session(state, as_json=as_json) as session:
        found = SystemOut.of(session.run(system_service(session).state()))
        session.terminal.show(found, *_views(found))
        if found.problems:
            raise typer.Exit(ExitStatus.REFUSED)


def system_service(session: CommandSession) -> SystemService:
    """Return the service, as a command uses it."""
    workspace = session.workspace
    broker = broker_of(workspace.settings)
    return SystemService(
        workspace.db,
        HostStore(workspace.db),
        workspace.services.models,
        broker,
        store_limit_bytes=workspace.settings.model_store_bytes,
        broker_connected=lambda: connection_error(broker) is None,
    )


def _views(found: SystemOut) -> Iterator[RenderableType]:
    for problem in found.problems:
        yield Text(f"✕ {problem.subject}: {problem.text}. {problem.advice}", "red")
    if not found.problems:
        yield Text("✓ nothing is wrong", "green")
    yield ""
    yield table(
        ["host", "state", "replicas", "memory"],
        [[it.name, it.state, it.replicas, _mebibytes(it.used_memory_bytes)] for it in found.hosts],
        empty="No `slipstream up` has run on this database.",
    )
    yield ""
    yield table(
        ["process", "name", "host", "state", "heartbeat", "runs at a time"],
        [_process(it) for it in (*found.gateways, *found.workers)],
        empty="No gateway and no worker of this database has announced itself.",
    )
    yield ""
    yield table(["queue", "waiting", "oldest"], [_queue(it) for it in found.queues], empty="")
    yield ""
    database, broker, store = found.database, found.broker, found.store
    used = "unknown" if store.bytes is None else _mebibytes(store.bytes)
    servers = ", ".join(f"{number} {name}" for name, number in found.servers.by_state.items())
    yield facts(
        database=f"{database.kind}, answers in {elapsed(database.answer_seconds)}",
        broker=f"{broker.address}, {'connected' if broker.connected else 'not connected'}",
        store=f"{used}, {_mebibytes(store.room_bytes)} left",
        servers=servers or "none",
    )


def _process(process: ProcessState) -> list[object]:
    age = process.heartbeat_age_seconds
    state = f"{process.state}: {process.reason}" if process.reason else process.state
    heartbeat = "" if age is None else f"{elapsed(age)} ago"
    return [process.kind, process.name, process.host, state, heartbeat, process.slots or ""]


def _queue(queue: QueueState) -> list[object]:
    return [queue.name, queue.depth, elapsed(queue.oldest_seconds)]


def _mebibytes(size: int) -> str:
    return f"{size / _MEBIBYTE:,.1f} MiB"
