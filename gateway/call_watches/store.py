"""Rows of watches and of the calls that they report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.storage.sql import dialect_insert, seconds_from_now
from gateway.storage.watch_tables import CallWatch, WatchedCall

MAX_CALLS = 20
"""That one watch reports, in all gateways together."""
_KEPT_SECONDS = 3600
"""After its end, a watch may be deleted; its numbers begin again with the next one."""


async def count_others(session: AsyncSession, profile_id: str, deployment_id: str) -> int:
    """Return how many other deployments of a profile are watched."""
    statement = select(func.count()).where(
        CallWatch.profile_id == profile_id,
        CallWatch.expires_at > seconds_from_now(),
        CallWatch.deployment_id != deployment_id,
    )
    return int((await session.execute(statement)).scalar_one())


async def begin(
    session: AsyncSession, dialect: str, deployment_id: str, profile_id: str, seconds: float
) -> None:
    """Watch a deployment from now on, again if it is watched already; delete what has ended."""
    expires_at = seconds_from_now(seconds)
    insert = dialect_insert(CallWatch, dialect).values(
        deployment_id=deployment_id,
        profile_id=profile_id,
        expires_at=expires_at,
        last_number=0,
        until_number=MAX_CALLS,
    )
    again = {"expires_at": expires_at, "until_number": CallWatch.last_number + MAX_CALLS}
    await session.execute(
        insert.on_conflict_do_update(index_elements=["deployment_id"], set_=again)
    )
    ended = CallWatch.expires_at <= seconds_from_now(-_KEPT_SECONDS)
    await session.execute(delete(CallWatch).where(ended))


async def active(session: AsyncSession, limit: int) -> list[CallWatch]:
    """Return the watches that have not ended, at most `limit`, those that end last first."""
    statement = (
        select(CallWatch)
        .where(
            CallWatch.expires_at > seconds_from_now(),
            CallWatch.last_number < CallWatch.until_number,
        )
        .order_by(CallWatch.expires_at.desc())
        .limit(limit)
    )
    return list((await session.execute(statement)).scalars())


class TakenNumber(NamedTuple):
    """The number of a call, in the watch of its deployment."""

    number: int
    is_last: bool
    profile_id: str


async def next_number(session: AsyncSession, deployment_id: str) -> TakenNumber | None:
    """Take a number for a call; None: the watch has ended."""
    statement = (
        update(CallWatch)
        .where(
            CallWatch.deployment_id == deployment_id,
            CallWatch.expires_at > seconds_from_now(),
            CallWatch.last_number < CallWatch.until_number,
        )
        .values(last_number=CallWatch.last_number + 1)
        .returning(CallWatch.last_number, CallWatch.until_number, CallWatch.profile_id)
    )
    row = (await session.execute(statement)).one_or_none()
    return None if row is None else TakenNumber(row[0], row[0] >= row[1], row[2])


async def last_number(session: AsyncSession, deployment_id: str) -> int:
    """Return the number of the last call that was reported; 0: none was."""
    statement = select(CallWatch.last_number).where(CallWatch.deployment_id == deployment_id)
    return (await session.execute(statement)).scalar_one_or_none() or 0


async def calls_after(
    session: AsyncSession, deployment_id: str, number: int
) -> Sequence[WatchedCall]:
    """Return the calls of a deployment after the one with this number, in their order."""
    statement = (
        select(WatchedCall)
        .where(WatchedCall.deployment_id == deployment_id, WatchedCall.number > number)
        .order_by(WatchedCall.number)
        .limit(MAX_CALLS)
    )
    return (await session.execute(statement)).scalars().all()


# Any: JSON's values
async def add_call(
    session: AsyncSession,
    deployment_id: str,
    number: int,
    profile_id: str,
    report: Mapping[str, Any],
) -> None:
    """Add a call, and delete those before the last `MAX_CALLS`."""
    older = WatchedCall.number <= number - MAX_CALLS
    await session.execute(
        delete(WatchedCall).where(WatchedCall.deployment_id == deployment_id, older)
    )
    session.add(
        WatchedCall(
            deployment_id=deployment_id,
            number=number,
            profile_id=profile_id,
            created_at=seconds_from_now(),
            report=dict(report),
        )
    )
