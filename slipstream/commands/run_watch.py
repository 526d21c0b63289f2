"""Follows runs from the command line: one until it has finished, or all as they change."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass

import typer
from rich.status import Status

from gateway.runs.queries import RunFilter
from gateway.runs.run import NodeEvent, Run, RunStatus
from gateway.storage.paging import PageRequest
from slipstream.administration import RunAdmin
from slipstream.commands.run_views import progress_text, result_line, run_document, run_views
from slipstream.failures import ExitStatus, RefusedError
from slipstream.session import CommandSession

_POLL_SECONDS = 0.25
_PAGE_SIZE = 200
_MAX_REMEMBERED = 5_000


def wait_for(session: CommandSession, run_id: str, timeout: float | None) -> Run:
    """Return a run when it has finished; show its progress on a terminal meanwhile.

    Raises:
        GatewayError: there is no such run.
        RefusedError: it has not finished within `timeout` seconds.
    """
    end = None if timeout is None else time.monotonic() + timeout
    console = session.terminal.stderr
    runs = RunAdmin(session.workspace)
    run = session.run(runs.find(run_id))
    if run.ended:
        return run
    if not console.is_terminal:
        console.print(f"Waiting for run {run_id}")
    shown = console.status(progress_text(run)) if console.is_terminal else nullcontext()
    with shown as status:
        while not run.ended:
            if end is not None and time.monotonic() >= end:
                message = f"run {run_id} is still {run.shown_status} after {timeout:g} s"
                raise RefusedError("not_ended", message)
            session.run(asyncio.sleep(_POLL_SECONDS))
            run = session.run(runs.find(run_id))
            if isinstance(status, Status):
                status.update(progress_text(run))
    return run


def wait_and_show(session: CommandSession, run_id: str, timeout: float | None) -> None:
    """Wait for a run and show it; exit with 1 unless it completes. Raises as `wait_for`."""
    run = wait_for(session, run_id, timeout)
    session.terminal.show(run_document(run), result_line(run), "", *run_views(run))
    if run.status is not RunStatus.COMPLETED:
        raise typer.Exit(ExitStatus.REFUSED)


@dataclass(frozen=True, slots=True)
class RunChange:
    """A run that is new or has another status, or whose node has finished."""

    run: Run
    node: NodeEvent | None = None
    """The node; None for the run itself."""


def follow(session: CommandSession, wanted: RunFilter) -> Iterator[RunChange]:
    """Yield the changes of matching runs, indefinitely.

    The nodes of a run come after its start and before its end.
    """
    runs = RunAdmin(session.workspace)
    seen: dict[str, tuple[str, int]] = {}  # run id → status, number of nodes yielded
    while True:
        page = session.run(runs.page(wanted, PageRequest(limit=_PAGE_SIZE)))
        for run in page.items[::-1]:
            before, now = seen.get(run.id), (run.shown_status, run.event_count)
            if before == now:
                continue
            status, nodes = before or ("", 0)
            changed = status != run.shown_status
            if changed and not run.ended:
                yield RunChange(run)
            if run.event_count > nodes and (before or not run.ended):
                for event in session.run(runs.events(run, nodes)):
                    yield RunChange(run, event)
            if changed and run.ended:
                yield RunChange(run)
            seen.pop(run.id, None)  # so that the latest changes are remembered longest
            seen[run.id] = now
        while len(seen) > _MAX_REMEMBERED:
            seen.pop(next(iter(seen)))
        session.run(asyncio.sleep(_POLL_SECONDS))
