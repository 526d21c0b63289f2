"""Watching runs from the command line: one until it has ended, or all as they come."""

from __future__ import annotations

import asyncio
import time
from contextlib import nullcontext, suppress
from typing import Protocol

from rich.status import Status

from gateway.runs.queries import RunFilter
from gateway.runs.run import NodeEvent, Run
from gateway.storage.paging import PageRequest
from slipstream.administration import RunAdmin
from slipstream.commands.run_views import progress
from slipstream.failures import RefusedError
from slipstream.session import CommandSession

_LOOK_SECONDS = 0.25
_AT_ONCE = 200
_REMEMBERED = 5_000


def wait_for(session: CommandSession, run_id: str, timeout: float | None) -> Run:
    """Return a run when it has ended; meanwhile say what goes on, where there is a terminal.

    Raises:
        GatewayError: there is no such run.
        RefusedError: it has not ended in time.
    """
    end = None if timeout is None else time.monotonic() + timeout
    console = session.terminal.stderr
    desk = RunAdmin(session.workspace)
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


class Teller(Protocol):
    """Says what is new."""

    def state(self, run: Run) -> None:
        """A run is new, or its state has changed."""

    def node(self, run: Run, event: NodeEvent) -> None:
        """A node of a run has ended, and the run goes on."""


def follow(session: CommandSession, wanted: RunFilter, teller: Teller) -> None:
    """Tell of each run that is wanted, of its nodes, and of what becomes of it; until Ctrl-C."""
    watch = _Watch(session, teller)
    with suppress(KeyboardInterrupt, BrokenPipeError):
        while True:
            watch.look(wanted)
            session.run(asyncio.sleep(_LOOK_SECONDS))


class _Watch:
    """What was told already."""

    def __init__(self, session: CommandSession, teller: Teller) -> None:
        self._session = session
        self._desk = RunAdmin(session.workspace)
        self._teller = teller
        self._known: dict[str, tuple[str, int]] = {}
        """Run → its state, and how many of its nodes were told of."""

    def look(self, wanted: RunFilter) -> None:
        """Tell what is new since the last look."""
        page = self._session.run(self._desk.page(wanted, PageRequest(limit=_AT_ONCE)))
        for run in page.items[::-1]:
            state = (run.shown_status, run.event_count)
            known = self._known.get(run.id)
            if known != state:
                self._tell(run, known)
                self._known.pop(run.id, None)  # what was told last is remembered longest
                self._known[run.id] = state
        while len(self._known) > _REMEMBERED:
            self._known.pop(next(iter(self._known)))

    def _tell(self, run: Run, known: tuple[str, int] | None) -> None:
        """Tell of nodes before the run's end and after its beginning."""
        status, told = known or ("", 0)
        begins = status != run.shown_status and not run.ended
        if begins:
            self._teller.state(run)
        if run.event_count > told and (known or not run.ended):
            for event in self._session.run(self._desk.events(run, told)):
                self._teller.node(run, event)
        if status != run.shown_status and not begins:
            self._teller.state(run)
