"""`slipstream status`: the running installation on one screen."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Self

import typer
from pydantic import BaseModel
from rich.console import RenderableType
from rich.text import Text

from gateway.fleet.processes import GONE
from gateway.fleet.states import Desired
from gateway.fleet.store import FleetStore
from gateway.storage.tables import InferenceServer
from gateway.system.activity import ActivityStore, DeploymentActivity, WebhookProblem
from gateway.system.schemas import SystemOut
from slipstream import options
from slipstream.commands.system import system_service
from slipstream.commands.tables import elapsed
from slipstream.failures import ExitStatus
from slipstream.list_table import ListTable
from slipstream.session import CommandSession, open_session
from slipstream.supervisor.running_supervisor import lock_file, running_supervisor
from slipstream.terminal import facts

_MAX_ROWS = 8
"""Of a list: all lists together are to fit on a screen."""
_MEBIBYTE, _GIBIBYTE = 1 << 20, 1 << 30
_MORE = """

Calls and errors are those of the last 5 minutes; gateways write their counts every 5 seconds. The
exit status is 0 where the installation runs and nothing is wrong, 1 where something is wrong or
it does not run. `slipstream system` says what to do about problems, and `slipstream doctor` looks
at this machine, too.

$ slipstream status
$ slipstream status --json | jq -r '.problems[]'
"""


class ServerLine(BaseModel):
    """An inference server that is to run, or sleeps."""

    model: str
    version: int
    state: str
    ready_replicas: int
    replicas: int
    memory_bytes: int | None

    @classmethod
    def of(cls, row: InferenceServer) -> Self:
        """Return the line of a server."""
        return cls(
            model=row.model,
            version=row.version,
            state=Desired.ASLEEP if row.desired == Desired.ASLEEP else row.state,
            ready_replicas=row.ready_replicas,
            replicas=len(row.replicas),
            memory_bytes=row.memory_bytes,
        )


class StatusOut(BaseModel):
    """The JSON document."""

    healthy: bool
    version: str
    """Of this command; each process has its own."""
    url: str
    pid: int | None
    """Of `slipstream up` on the state folder; null: it does not run there."""
    problems: list[str]
    system: SystemOut
    servers: list[ServerLine]
    deployments: list[DeploymentActivity]
    webhooks: list[WebhookProblem]
    disk_free_bytes: int
    """On the disk of the state folder."""
    at: datetime


def register(application: typer.Typer, noun: str, text: str) -> None:
    """Add the command."""
    application.command(noun, help=text + _MORE)(status)


def status(*, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False) -> None:
    """Show the running installation on one screen."""
    with open_session(state, as_json=as_json) as session:
        found = _read(session)
        session.terminal.show(found, *_views(found))
        if not found.healthy:
            raise typer.Exit(ExitStatus.REFUSED)


def _read(session: CommandSession) -> StatusOut:
    workspace = session.workspace
    folder = workspace.settings.state
    running = running_supervisor(folder)
    activity = ActivityStore(workspace.db)
    system = SystemOut.of(session.run(system_service(session).state()))
    webhooks = session.run(activity.webhook_problems())
    problems = [f"{it.subject}: {it.text}" for it in system.problems]
    if running is None and lock_file(folder).exists():
        problems.insert(0, f"nothing runs on {folder}, where `slipstream up` has run before")
    problems += [f"webhook of {it.deployment}: {it.trouble}" for it in webhooks]
    return StatusOut(
        healthy=not problems,
        version=version("slipstream"),
        url=session.public_url,
        pid=running.pid if running else None,
        problems=problems,
        system=system,
        servers=[
            ServerLine.of(row) for row in session.run(FleetStore(workspace.db).running_or_asleep())
        ],
        deployments=list(session.run(activity.deployments())),
        webhooks=list(webhooks),
        disk_free_bytes=shutil.disk_usage(folder).free,
        at=datetime.now(UTC),
    )


def _views(found: StatusOut) -> Iterator[RenderableType]:
    system = found.system
    process = f"process {found.pid}" if found.pid else "no `slipstream up` here"
    yield Text(f"slipstream {found.version}, {process}, {found.at.astimezone():%H:%M:%S %Z}")
    yield Text(found.url)
    if found.problems:
        yield from _list(["what is wrong"], [[f"✕ {it}"] for it in found.problems])
    else:
        yield Text("✓ it runs, and nothing is wrong", "green")
    yield from _list(
        ["host", "state", "replicas", "memory"],
        [[it.name, it.state, it.replicas, _size(it.used_memory_bytes)] for it in system.hosts],
    )
    yield from _list(
        ["process", "name", "state", "version", "host"],
        [
            [it.kind, it.name, it.state, it.version, it.host]
            for it in sorted((*system.gateways, *system.workers), key=lambda it: it.state != GONE)
        ],
    )
    yield from _list(
        ["model", "state", "version", "ready", "memory"],
        [
            [
                it.model,
                it.state,
                it.version,
                f"{it.ready_replicas}/{it.replicas}",
                _size(it.memory_bytes),
            ]
            for it in found.servers
        ],
    )
    yield from _list(
        ["deployment", "calls/min", "errors", "queued", "oldest"],
        [
            [
                it.name,
                f"{it.calls_per_minute:,.1f}",
                it.errors,
                it.queued,
                elapsed(it.oldest_seconds),
            ]
            for it in found.deployments
        ],
    )
    yield ""
    waiting = sum(it.depth for it in system.queues)
    oldest = max((it.oldest_seconds or 0.0 for it in system.queues), default=0.0)
    yield facts(
        backlog=f"{waiting} runs, the oldest for {elapsed(oldest)}" if waiting else "no run waits",
        webhooks=f"{len(found.webhooks)} do not deliver" if found.webhooks else "none fails",
        database=f"{system.database.kind}, answers in {elapsed(system.database.answer_seconds)}",
        disk=f"{_size(found.disk_free_bytes)} free, models take {_size(system.store.bytes)}",
    )


def _list(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[RenderableType]:
    """Yield an empty line and a list, as far as it fits on a screen; nothing without rows."""
    if rows:
        yield ""
        yield ListTable(headings, rows[:_MAX_ROWS])
    if len(rows) > _MAX_ROWS:
        yield Text(f"and {len(rows) - _MAX_ROWS} others", "dim")


def _size(size: int | None) -> str:
    if size is None:
        return "unknown"
    return f"{size / _MEBIBYTE:,.1f} MiB" if size < _GIBIBYTE else f"{size / _GIBIBYTE:,.1f} GiB"
