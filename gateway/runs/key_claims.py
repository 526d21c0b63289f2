"""Looks up and claims idempotency keys, those of many new runs at once, within a transaction."""

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
from gateway.storage.sql import advisory_locks

Repeated = Mapping[str, Run | GatewayError]
"""By the id of a new run: the run that it repeats, with its output, or IDEMPOTENCY_KEY_REUSED. The
others are to be executed."""

_Key = tuple[str, str, str]
# Any: the columns of FIND_BY_KEYS
_Holder = Row[Any]


async def find_repeated(session: AsyncSession, new: Sequence[NewRun]) -> Repeated:
    """Return which of the new runs repeat one; all have idempotency keys."""
    return await _repeated(session, new, await _holders(session, new))


async def claim_keys(session: AsyncSession, new: Sequence[NewRun]) -> Repeated:
    """Return what `find_repeated` does, and make the keys of the others free in this transaction.

    Other transactions that claim one of the keys wait until this one has ended.
    """
    if not new:
        return {}
    await advisory_locks(session, {"run " + " ".join(_key(each)) for each in new})
    holders = await _holders(session, new)
    repeated = await _repeated(session, new, holders)
    free = [holder.id for run_id, holder in holders.items() if run_id not in repeated]
    if free:
        await session.execute(sql.RELEASE_KEYS, {"run_ids": free})
    return repeated


def without_same_keys(
    batch: Sequence[FinishedRun],
) -> tuple[Sequence[FinishedRun], Sequence[FinishedRun]]:
    """Return the runs with different keys, and the others: they repeat one of the batch."""
    first: list[FinishedRun] = []
    others: list[FinishedRun] = []
    keys: set[_Key] = set()
    for finished in batch:
        if finished.new.idempotency is None:
            first.append(finished)
        elif (key := _key(finished.new)) in keys:
            others.append(finished)
        else:
            keys.add(key)
            first.append(finished)
    return first, others


def _key(new: NewRun) -> _Key:
    return new.profile_id, new.deployment_id, _idempotency(new).key


def _idempotency(new: NewRun) -> Idempotency:
    assert new.idempotency is not None
    return new.idempotency


async def _holders(session: AsyncSession, new: Sequence[NewRun]) -> dict[str, _Holder]:
    """Return the row that has the key, by the id of the new run: if possible its API key's own."""
    values = {
        "idempotency_keys": [_idempotency(each).key for each in new],
        "deployment_ids": list({each.deployment_id for each in new}),
        "kept_seconds": -KEPT_SECONDS,
    }
    by_key: dict[_Key, dict[str | None, _Holder]] = {}
    for row in await session.execute(sql.FIND_BY_KEYS, values):
        key = row.profile_id, row.deployment_id, row.idempotency_key
        by_key.setdefault(key, {})[row.key_id] = row
    found = {}
    for each in new:
        held = by_key.get(_key(each), {})
        for api_key in (each.key_id, *_idempotency(each).replaced_keys):
            if api_key in held:
                found[each.id] = held[api_key]
                break
    return found


async def _repeated(
    session: AsyncSession, new: Sequence[NewRun], holders: Mapping[str, _Holder]
) -> Repeated:
    repeated: dict[str, Run | GatewayError] = {}
    for each in new:
        holder = holders.get(each.id)
        if holder is None:
            continue
        run, idempotency = rows.run_from_row(holder), _idempotency(each)
        if run.ended and holder.old:
            continue
        if holder.fingerprint != idempotency.fingerprint:
            repeated[each.id] = key_reused_error(idempotency.key, run)
        elif not ended_by_infrastructure(run):
            repeated[each.id] = await read_run(session, run.id) or run
    return repeated
