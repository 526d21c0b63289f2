"""Watching runs from the command line: one until it has ended, or all as they come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress

from rich.status import Status

from gateway.runs.filters import RunFilter
from gateway.runs.run import Run
from gateway.storage.paging import PageRequest
from slipstream.commands.run_views import progress
from slipstream.failures import RefusedError
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
    run = _look(session, run_id)
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
            run = _look(session, run_id)
            if isinstance(status, Status):
                status.update(progress(run))
    return run


def follow(session: Session, wanted: RunFilter, tell: Callable[[Run], None]) -> None:
    """Tell of each run that is wanted, and again when its state has changed; until Ctrl-C."""
    known: dict[str, str] = {}
    with suppress(KeyboardInterrupt, BrokenPipeError):
        while True:
            for run in reversed(_changed(session, wanted, known)):
                tell(run)
            session.run(asyncio.sleep(_LOOK_SECONDS))


def _look(session: Session, run_id: str) -> Run:
    return session.run(session.services.runs.get(session.profile_id, run_id))


def _changed(session: Session, wanted: RunFilter, known: dict[str, str]) -> list[Run]:
    """Return what is new or has changed, newest first, and remember it."""
    request = PageRequest(limit=_AT_ONCE)
    page = session.run(session.services.runs.page(session.profile_id, request, wanted))
    found = [run for run in page.items if known.get(run.id) != run.shown_status]
    for run in reversed(found):
        known.pop(run.id, None)  # what was told last stays longest
        known[run.id] = run.shown_status
    while len(known) > _REMEMBERED:
        known.pop(next(iter(known)))
    return found
