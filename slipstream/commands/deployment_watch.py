"""`slipstream deployments watch`: the next calls of a deployment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated

import typer

from gateway.call_watches.schemas import MAX_SECONDS
from gateway.call_watches.service import WatchService
from gateway.call_watches.store import MAX_CALLS
from gateway.storage.watch_tables import WatchedCall
from slipstream import options
from slipstream.commands.deployment_versions import DeploymentId
from slipstream.session import CommandSession, open_session

_POLL_SECONDS = 0.25


def add_to(commands: typer.Typer) -> None:
    """Add the command."""
    commands.command("watch")(watch)


def watch(
    deployment_id: DeploymentId,
    *,
    seconds: Annotated[
        int, typer.Option(min=1, max=MAX_SECONDS, help="End after so long.")
    ] = MAX_SECONDS,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Print the next calls of a deployment as they come, at most 20: also those that are refused.

    Ctrl-C stops. With --json each line is a document.

    $ slipstream deployments watch 0b9c…
    """
    with open_session(state, as_json=as_json) as session:
        session.terminal.note("Waiting for calls; Ctrl-C stops.")
        with suppress(KeyboardInterrupt, BrokenPipeError):
            for call in _follow(session, deployment_id, seconds):
                session.terminal.show(call.report, _line(call))


def _follow(session: CommandSession, deployment_id: str, seconds: int) -> Iterator[WatchedCall]:
    watches = WatchService(session.workspace.db, session.services.hasher)
    end = time.monotonic() + seconds
    first = last = session.run(watches.begin(session.profile_id, deployment_id, seconds))
    while last < first + MAX_CALLS and time.monotonic() < end:
        for call in session.run(watches.calls(session.profile_id, deployment_id, last)):
            yield call
            last = call.number
        session.run(asyncio.sleep(_POLL_SECONDS))


def _line(call: WatchedCall) -> str:
    report = call.report
    who = f"{report['client']} from {report['address']}"
    shown = (
        report["at"],
        report["status"],
        report["code"],
        who,
        report["key_mask"],
        report["hint"],
    )
    return "  ".join(str(part) for part in shown if part)
