"""Watching runs from the command line: one until it has ended, or all as they come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext, suppress

from rich.status import Status

from gateway.runs.listing import RunFilter
from gateway.runs.run import Run
from gateway.storage.paging import PageRequest
from slipstream.commands.run_views import progress
from slipstream.failures import RefusedError
from slipstream.run_desk import RunDesk
from slipstream.session import Session

_LOOK_SECONDS = 0.25
_AT_ONCE = 200
_REMEMBERED = 5_000


def wait_for(session: Session, run_id: str, timeout: float | None) -> Run:
    """Return a run when it has ended; meanwhile say what goes on, where there is a terminal.

    Raises:
        GatewayError: there is no such run.
        RefusedError: it has not ended in time.
    """
    end = None if timeout is None else time.monotonic() + timeout
    console = session.terminal.aside
    desk = RunDesk(session.workspace)
    run = session.run(desk.find(run_id))
    if run.ended:
        return run
    if not console.is_terminal:
        console.print(f"Waiting for run {run_id}")
    shown = console.status(progress(run)) if console.is_terminal else nullcontext()
    with shown as status:
        while not run.ended:
            if end is not None and time.monotonic() >= end:
                message = f"run {run_id} is {run.shown_status} after {timeout:g} s: it goes on"
                raise RefusedError("not_ended", message)
            session.run(asyncio.sleep(_LOOK_SECONDS))
            run = session.run(desk.find(run_id))
            if isinstance(status, Status):
                status.update(progress(run))
    return run


def follow(session: Session, wanted: RunFilter, tell: Callable[[Run], None]) -> None:
    """Tell of each run that is wanted, and again when its state has changed; until Ctrl-C."""
    desk = RunDesk(session.workspace)
    known: dict[str, str] = {}
    with suppress(KeyboardInterrupt, BrokenPipeError):
        while True:
            page = session.run(desk.page(wanted, PageRequest(limit=_AT_ONCE)))
            for run in _new(page.items[::-1], known):
                tell(run)
            session.run(asyncio.sleep(_LOOK_SECONDS))


def _new(runs: Sequence[Run], known: dict[str, str]) -> Iterator[Run]:
    """Yield what is new or has changed since it was known, and remember it."""
    for run in runs:
        if known.get(run.id) != run.shown_status:
            known.pop(run.id, None)  # what was told last is remembered longest
            known[run.id] = run.shown_status
            yield run
    while len(known) > _REMEMBERED:
        known.pop(next(iter(known)))
