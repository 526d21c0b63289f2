"""Looks up and claims idempotency keys, within a transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.errors import GatewayError
from gateway.runs import rows
from gateway.runs import statements as sql
from gateway.runs.idempotency import KEPT_SECONDS, ended_by_infrastructure, key_reused_error
from gateway.runs.queries import read_run
from gateway.runs.run import FinishedRun, Idempotency, NewRun, Run
from gateway.storage.sql import advisory_lock


async def find_replayed(session: AsyncSession, new: NewRun) -> Run | None:
    """Return the run that `new` repeats, with its output; None: it is to be executed.

    Raises:
        GatewayError: IDEMPOTENCY_KEY_REUSED.
    """
    holder = await _holder(session, new)
    return None if holder is None else await _replayed(session, new, holder)


async def claim_key(session: AsyncSession, new: NewRun) -> Run | None:
    """Return what `find_replayed` does, or make the key free for `new`, in a write transaction.

    Other transactions that claim the key wait until this one has ended. Raises as `find_replayed`.
    """
    await advisory_lock(session, _lock_name(new))
    holder = await _holder(session, new)
    if holder is None:
        return None
    replayed = await _replayed(session, new, holder)
    if replayed is None:
        await session.execute(sql.RELEASE_KEY, {"run_id": holder.id})
    return replayed


async def claim_keys(
    session: AsyncSession, batch: Sequence[FinishedRun]
) -> Mapping[str, Run | GatewayError]:
    """Claim the keys of a batch; return what those runs repeat that are not to be inserted.

    The result has them by the id of the new run: an existing run, one of the same batch, or
    IDEMPOTENCY_KEY_REUSED.
    """
    keyed = [finished for finished in batch if finished.new.idempotency is not None]
    keyed.sort(key=lambda finished: _lock_name(finished.new))  # two batches must not deadlock
    repeated: dict[str, Run | GatewayError] = {}
    claimed: dict[tuple[str, str | None], Run] = {}
    prints: dict[str, str] = {}
    for finished in keyed:
        new = finished.new
        scope = _lock_name(new), new.key_id
        idempotency = _idempotency(new)
        try:
            found = claimed.get(scope)
            if found is None:
                found = await claim_key(session, new)
            elif prints[found.id] != idempotency.fingerprint:
                raise key_reused_error(idempotency.key, found)
        except GatewayError as error:
            repeated[new.id] = error
            continue
        if found is None:
            claimed[scope] = rows.finished_run(finished)
            prints[new.id] = idempotency.fingerprint
        else:
            repeated[new.id] = found
    return repeated


def _idempotency(new: NewRun) -> Idempotency:
    assert new.idempotency is not None
    return new.idempotency


def _lock_name(new: NewRun) -> str:
    return f"run {new.profile_id} {new.deployment_id} {_idempotency(new).key}"


# Any, here and below: the columns of FIND_BY_KEY
async def _holder(session: AsyncSession, new: NewRun) -> Row[Any] | None:
    idempotency, api_key = _idempotency(new), new.key_id or ""
    values = {
        "profile_id": new.profile_id,
        "deployment_id": new.deployment_id,
        "idempotency_key": idempotency.key,
        "api_key": api_key,
        "api_keys": [api_key, *idempotency.replaced_keys],
        "kept_seconds": -KEPT_SECONDS,
    }
    return (await session.execute(sql.FIND_BY_KEY, values)).one_or_none()


async def _replayed(session: AsyncSession, new: NewRun, holder: Row[Any]) -> Run | None:
    run, idempotency = rows.run_from_row(holder), _idempotency(new)
    if run.ended and holder.old:
        return None
    if holder.fingerprint != idempotency.fingerprint:
        raise key_reused_error(idempotency.key, run)
    if ended_by_infrastructure(run):
        return None
    return await read_run(session, run.id) or run
