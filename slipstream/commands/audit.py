"""`slipstream audit`: list, export and prune audit events."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from gateway.audit.export import ExportFormat
from gateway.audit.export import export as exported
from gateway.audit.schemas import AuditEventOut, AuditEventPage
from gateway.audit.store import AuditFilter
from gateway.storage.audit_events import AuditTarget
from gateway.storage.audit_tables import MIN_RETENTION_DAYS
from gateway.storage.paging import PageRequest
from slipstream import options
from slipstream.commands.tables import Columns, model_list
from slipstream.session import open_session

commands = typer.Typer(no_args_is_help=True)

Action = Annotated[
    str | None, typer.Option(help="Only events with this action, e.g. `api_key.delete`.")
]
Kind = Annotated[
    AuditTarget | None, typer.Option("--kind", help="Only events about this kind of resource.")
]
Of = Annotated[
    str | None, typer.Option("--id", help="Only events about this resource.", metavar="ID")
]
By = Annotated[str | None, typer.Option("--actor", help="Only events by this user.", metavar="ID")]


def register(application: typer.Typer, noun: str, text: str) -> None:
    """Add the commands."""
    application.add_typer(commands, name=noun, help=text)


@commands.command("list")
def list_events(
    *,
    action: Action = None,
    kind: Kind = None,
    subject_id: Of = None,
    actor: By = None,
    since: options.Since = None,
    before: options.Before = None,
    limit: options.Limit = options.DEFAULT_LIMIT,
    cursor: options.Cursor = None,
    wide: options.Wide = False,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """List audit events of all users, newest first, a page at a time.

    $ slipstream audit list --action api_key.delete --from 2026-01-31
    $ slipstream audit list --id 0b9c… --json | jq .items[].after
    """
    which = _filter(action, kind, subject_id, actor, since, before)
    with open_session(state, as_json=as_json, wide=wide) as session:
        request = PageRequest(limit=limit, cursor=cursor)
        page = AuditEventPage.of(session.run(session.services.audit.page(which, request)))
        none = "No audit events match."
        session.terminal.show(page, model_list(page.items, COLUMNS, empty=none))
        session.terminal.note_next_page(page.next_cursor)


@commands.command("export")
def export(
    *,
    form: Annotated[ExportFormat, typer.Option("--format", help="Output format.")] = (
        ExportFormat.JSONL
    ),
    output: Annotated[
        Path | None, typer.Option(help="File to write. Default: stdout.", metavar="FILE")
    ] = None,
    action: Action = None,
    kind: Kind = None,
    subject_id: Of = None,
    actor: By = None,
    since: options.Since = None,
    before: options.Before = None,
    state: options.State = options.DEFAULT_STATE,
) -> None:
    """Export all matching audit events, newest first, as CSV or JSON lines.

    $ slipstream audit export --format csv --output audit.csv
    $ slipstream audit export --from 2026-01-01 | gzip > audit.jsonl.gz
    """
    which = _filter(action, kind, subject_id, actor, since, before)
    with open_session(state, as_json=False) as session, _opened(output) as file:
        session.run(_write(exported(session.services.audit.batches(which), form), file))


@commands.command("prune")
def prune(
    *,
    before: Annotated[
        datetime,
        typer.Option(
            "--before",
            help=f"At least {MIN_RETENTION_DAYS} days ago. Export those events first.",
            callback=options.local_time,
        ),
    ],
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Delete old audit events permanently; the deletion is itself recorded as an event.

    $ slipstream audit prune --before 2025-01-01
    """
    with open_session(state, as_json=as_json) as session:
        deleted = session.run(session.services.audit.prune(before))
        session.terminal.show({"deleted": deleted}, f"{deleted} events deleted.")


def _filter(  # noqa: PLR0917 - in the order of the options
    action: str | None,
    kind: AuditTarget | None,
    subject_id: str | None,
    actor: str | None,
    since: datetime | None,
    before: datetime | None,
) -> AuditFilter:
    return AuditFilter(
        action=action,
        subject_kind=kind,
        subject_id=subject_id,
        actor_id=actor,
        since=since,
        before=before,
    )


def _actor(event: AuditEventOut) -> str:
    return event.actor_name or event.actor_id or "unknown"


def _origin(event: AuditEventOut) -> str | None:
    return event.address or (f"command line, {event.system_user}" if event.system_user else None)


def _changed(event: AuditEventOut) -> list[str]:
    return sorted({**(event.before or {}), **(event.after or {})})


COLUMNS: Columns[AuditEventOut] = {
    "at": "at",
    "action": "action",
    "what": lambda event: event.subject_name or event.subject_id,
    "who": _actor,
    "from": _origin,
    "changed": _changed,
}


def _opened(output: Path | None) -> contextlib.AbstractContextManager[BinaryIO]:
    return contextlib.nullcontext(sys.stdout.buffer) if output is None else output.open("wb")


async def _write(parts: AsyncIterator[bytes], file: BinaryIO) -> None:
    async for part in parts:
        file.write(part)
    file.flush()
