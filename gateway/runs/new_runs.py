"""Runs that are written down for the first time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.errors import GatewayError
from gateway.runs import rows
from gateway.runs import statements as sql
from gateway.runs.outbox import Outbox
from gateway.runs.run import MAX_INPUT_BYTES, NewRun, RunStatus
from gateway.storage.clock import now
from protos.errors import ErrorCode

_HAND_OVER_SECONDS = 5.0
"""That whoever creates a run has to hand it over, before the sweep does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInsert:
    """A run to write: queued, or begun and claimed by who writes it."""

    new: NewRun
    begun: bool
    row: rows.RowValues
    payload: rows.RowValues


def build_insert(new: NewRun, owner: str | None, lease_seconds: float) -> RunInsert:
    """Return what to write for a run; without `owner` it is queued.

    Raises:
        GatewayError: PAYLOAD_TOO_LARGE.
    """
    _check_size(new)
    queued = owner is None
    values = {
        **rows.new_values(new),
        "status": RunStatus.QUEUED if queued else RunStatus.RUNNING,
        "attempt": 0 if queued else 1,
        "lease_owner": owner,
        "due_seconds": _HAND_OVER_SECONDS if queued else None,
        "queue_seconds": new.queue_timeout_seconds,
        "lease_seconds": None if queued else lease_seconds,
        "start_seconds": None if queued else 0.0,
    }
    return RunInsert(new=new, begun=not queued, row=values, payload=rows.payload_values(new))


async def insert_runs(session: AsyncSession, births: Sequence[RunInsert], outbox: Outbox) -> None:
    """Write runs, and tell of those that have begun."""
    await session.execute(sql.INSERT, [birth.row for birth in births])
    await session.execute(sql.INSERT_PAYLOAD, [birth.payload for birth in births])
    begun = [rows.new_run(birth.new, now=now(), started=True) for birth in births if birth.begun]
    if begun:
        await outbox.started(session, begun)


def _check_size(new: NewRun) -> None:
    size = len(new.input_data or b"")
    if size > MAX_INPUT_BYTES:
        message = (
            f"input_data: expected at most {MAX_INPUT_BYTES} bytes for a run that is kept, "
            f"got {size}"
        )
        raise GatewayError(ErrorCode.PAYLOAD_TOO_LARGE, message)
