"""How many runs of a key or a deployment go on: counted from their rows, so nothing can leak.

A run that waits counts, and one that a living process holds. One whose lease has ended does not:
its process is gone, and its place is free at once, whatever becomes of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.limits.policy import ConcurrencyLimit, quota_exceeded
from gateway.runs.rows import RUNS
from gateway.runs.run import RunStatus
from gateway.runs.statements import is_in
from gateway.storage.sql import advisory_lock, seconds_from_now, sql_literal

_AGAIN_SECONDS = 1.0
"""Nobody knows when a run will end."""

_SUBJECT = sa.bindparam("subject", type_=sa.String())
_MOST = sa.bindparam("most", type_=sa.Integer())
_HELD = sa.and_(is_in(RunStatus.RUNNING), RUNS.c.lease_until >= seconds_from_now())


def _count_unfinished(column: sa.Column[str]) -> sa.Select[int]:
    """Return the query for how many runs go on, and no more than `most` of them."""
    # the condition of the index of runs by deployment and state, written out
    unfinished = (
        sa.select(RUNS.c.id)
        .where(
            column == _SUBJECT,
            RUNS.c.status != sql_literal(RunStatus.COMPLETED),
            sa.or_(is_in(RunStatus.QUEUED), _HELD),
        )
        .limit(_MOST)
    )
    return sa.select(sa.func.count()).select_from(unfinished.subquery())


_COUNTS = {
    "key": _count_unfinished(RUNS.c.key_id),
    "deployment": _count_unfinished(RUNS.c.deployment_id),
}


async def check_concurrency_limits(
    session: AsyncSession, concurrency_limits: Sequence[ConcurrencyLimit]
) -> None:
    """Return where one more run may begin, and keep others from beginning until the session ends.

    Raises:
        GatewayError: TOO_MANY_RUNS.
    """
    for cap in concurrency_limits:
        await advisory_lock(session, f"slots {cap.kind} {cap.id}")
        values = {"subject": cap.id, "most": cap.policy.quota}
        count = (await session.execute(_COUNTS[cap.kind], values)).scalar_one()
        if count >= cap.policy.quota:
            raise quota_exceeded([cap.policy], _AGAIN_SECONDS)
