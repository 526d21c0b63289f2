"""Rows of deliveries: claimed by compare-and-set, settled by the attempt that the claim has given.

Any number of processes may do so at once. A claim is a lease: a delivery whose process died is due
again when that has ended, and goes out a second time under the same id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.ids import min_run_id
from gateway.storage.audit_events import ACTOR, SYSTEM
from gateway.storage.batch_writer import BatchWriter
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.webhooks import statements as sql
from gateway.webhooks.audit_events import record_webhook_event
from gateway.webhooks.breaker import endpoint_pause
from gateway.webhooks.deliveries import (
    ClaimedDelivery,
    CompletedAttempt,
    DueEndpoint,
    attempt_values,
)
from gateway.webhooks.events import TEST_EVENT, WebhookEvent
from gateway.webhooks.states import AttemptResult, DeliveryStatus, DisabledReason

_MOST_ENDPOINTS = 50
"""That one transaction claims for."""
_AT_ONCE = 500
_ENOUGH_FAILURES = 2
"""In a day: one that is called once a week has not failed for long after two of them."""
_THROTTLED = AttemptResult.THROTTLED


class DeliveryStore:
    """The deliveries of an installation, for whoever sends them."""

    def __init__(self, db: Database, *, lease_seconds: float, disable_seconds: float) -> None:
        """Disable endpoints for which nothing but failures was seen for `disable_seconds`."""
        self._db = db
        self._lease = {"lease_seconds": lease_seconds}
        self._disable_seconds = disable_seconds
        self._settling = BatchWriter[CompletedAttempt](self._settle)

    async def ready(self, busy: Sequence[str]) -> list[DueEndpoint]:
        """Return endpoints for which something is due, and that are not `busy`; longest due first.

        Writes nothing, and costs one look into an index for each endpoint that there is.
        """
        values = {"busy": busy, "most": _MOST_ENDPOINTS}
        async with self._db.read() as session:
            return [
                DueEndpoint(endpoint_id=row.id, failures=row.failures)
                for row in await session.execute(sql.READY, values)
            ]

    async def claim(
        self, room: Mapping[str, int], *, probed: Sequence[str]
    ) -> list[ClaimedDelivery]:
        """Claim what is due, up to `room` deliveries for each endpoint.

        Nobody claims anything more for endpoints that are `probed` while the lease lasts.
        """
        claimed: list[Row[Any]] = []
        async with self._db.write(notify=False) as session:
            for endpoint_id, most in room.items():
                asked = {"of_endpoint": endpoint_id, "most": most}
                ids = (await session.execute(sql.DUE, asked)).scalars().all()
                if not ids:
                    continue
                claimed += (await session.execute(sql.CLAIM, {"ids": ids, **self._lease})).all()
                if endpoint_id in probed:
                    held = {"of_endpoint": endpoint_id, **self._lease}
                    await session.execute(sql.HOLD_OTHERS, held)
            kept = await _without_superseded(session, claimed)
            return await _addressed(session, kept)

    async def claim_test(self, delivery_id: str) -> ClaimedDelivery:
        """Claim a test, whatever its endpoint's state and breaker are; it is there and pending."""
        async with self._db.write(notify=False) as session:
            values = {"ids": [delivery_id], **self._lease}
            rows = (await session.execute(sql.CLAIM, values)).all()
            (claimed,) = await _addressed(session, rows)
        return claimed

    async def settle(self, settled: CompletedAttempt) -> None:
        """Write down how an attempt went; with others' in one transaction, where they are many."""
        await self._settling.put(settled)

    async def oldest_pending_seconds(self) -> float:
        """Return the age of the oldest event that has not arrived and is still tried; 0: none."""
        async with self._db.read() as session:
            oldest = (await session.execute(sql.OLDEST_PENDING)).scalar_one_or_none()
        return 0.0 if oldest is None else max(0.0, (now() - oldest).total_seconds())

    async def prune(self, before: datetime) -> int:
        """Delete the oldest deliveries made before a time, but those still tried; how many: see.

        One small transaction: others get their turn between two of them.
        """
        oldest = (
            select(sql.DELIVERIES.c.id)
            .where(
                sql.DELIVERIES.c.id < min_run_id(before),
                sql.DELIVERIES.c.status != DeliveryStatus.PENDING,
            )
            .order_by(sql.DELIVERIES.c.id)
            .limit(_AT_ONCE)
        )
        async with self._db.read() as session:
            ids = list((await session.execute(oldest)).scalars())
        if ids:
            async with self._db.write(notify=False) as session:
                for statement in (sql.DELETE_ATTEMPTS, sql.DELETE_DELIVERIES):
                    await session.execute(statement, {"ids": ids})
        return len(ids)

    async def _settle(self, batch: Sequence[CompletedAttempt]) -> None:
        ACTOR.set(SYSTEM)  # of this task, which some request may have begun
        async with self._db.write(notify=False) as session:
            await session.execute(sql.INSERT_ATTEMPTS, [attempt_values(each) for each in batch])
            await session.execute(sql.SETTLE, [_settled_values(each) for each in batch])
            for endpoint_id, attempts in _by_endpoint(batch).items():
                await self._judge(session, endpoint_id, attempts)

    async def _judge(
        self, session: AsyncSession, endpoint_id: str, settled: Sequence[CompletedAttempt]
    ) -> None:
        """Note what some attempts, in order, say of an endpoint's health."""
        this = {"of_endpoint": endpoint_id}
        results = [each.attempt.result for each in settled]
        since_good = settled
        if AttemptResult.DELIVERED in results:
            if len(set(results)) > 1 or any(each.claimed.endpoint_failing for each in settled):
                await session.execute(sql.RECOVERED, this)
            since_good = settled[len(results) - results[::-1].index(AttemptResult.DELIVERED) :]
        if not since_good:
            return
        values = {
            **this,
            "more_failures": len(since_good),
            "long_ago": -self._disable_seconds,
        }
        row = (await session.execute(sql.FAILED, values)).one_or_none()
        if row is None:
            return
        pause = _pause(row.failures, since_good)
        if pause is not None:
            await session.execute(sql.PAUSE, {**this, "pause_seconds": pause})
        if AttemptResult.GONE in results:
            await disable(session, endpoint_id, DisabledReason.GONE)
        elif row.for_long:
            today = (await session.execute(sql.FAILED_TODAY, this)).scalar_one()
            if today >= _ENOUGH_FAILURES:
                await disable(session, endpoint_id, DisabledReason.FAILING)


async def disable(session: AsyncSession, endpoint_id: str, reason: DisabledReason) -> None:
    """Have nothing more sent to an endpoint; what waits is held."""
    values = {"of_endpoint": endpoint_id, "why": reason}
    disabled = (await session.execute(sql.DISABLE, values)).one_or_none()
    if disabled is None:
        return
    await session.execute(sql.HOLD, {"of_endpoint": endpoint_id})
    await record_webhook_event(
        session,
        "disable",
        deployment_id=disabled.deployment_id,
        owner_id=disabled.profile_id,
        after={"reason": reason},
    )


# Any, here and below: the columns of DELIVERIES
async def _without_superseded(session: AsyncSession, rows: Sequence[Row[Any]]) -> list[Row[Any]]:
    """Return the rows but the late `run.started` of runs whose end has arrived: those are over."""
    late = {
        row.id: row.run_id for row in rows if row.event == WebhookEvent.STARTED and row.failures
    }
    if not late:
        return list(rows)
    found = await session.execute(sql.ENDED_RUNS, {"run_ids": list(late.values())})
    ended = set(found.scalars())
    over = {delivery_id for delivery_id, run_id in late.items() if run_id in ended}
    if over:
        await session.execute(sql.SUPERSEDE, {"ids": sorted(over)})
    return [row for row in rows if row.id not in over]


async def _addressed(session: AsyncSession, rows: Sequence[Row[Any]]) -> list[ClaimedDelivery]:
    """Return deliveries with where they go and what they are signed with."""
    if not rows:
        return []
    values = {"endpoint_ids": sorted({row.endpoint_id for row in rows})}
    places = {row.id: row for row in await session.execute(sql.ADDRESSES, values)}
    return [_claimed(row, places[row.endpoint_id]) for row in rows if row.endpoint_id in places]


def _claimed(row: Row[Any], place: Row[Any]) -> ClaimedDelivery:
    secrets: tuple[bytes, ...] = (place.secret,)
    if place.overlaps and place.previous_secret is not None:
        secrets += (place.previous_secret,)
    return ClaimedDelivery(
        id=row.id,
        message_id=row.message_id,
        endpoint_id=row.endpoint_id,
        event=row.event,
        payload=row.payload,
        attempt=row.attempts,
        failures=row.failures,
        url=place.callback_url or "",
        secrets=secrets,
        endpoint_failing=place.failures > 0,
        is_test=row.event == TEST_EVENT,
    )


def _settled_values(settled: CompletedAttempt) -> dict[str, Any]:
    claimed, attempt = settled.claimed, settled.attempt
    delivered = attempt.result is AttemptResult.DELIVERED
    if delivered:
        status = DeliveryStatus.DELIVERED
    elif settled.pause_seconds is None:
        status = DeliveryStatus.FAILED
    else:
        status = DeliveryStatus.PENDING
    return {
        "delivery": claimed.id,
        "held_attempt": claimed.attempt,
        "new_status": status,
        "pause_seconds": settled.pause_seconds,
        "more_failures": int(not delivered),
        "since_delivered": 0.0 if delivered else None,
        "code": attempt.status_code,
        "trouble": attempt.error_code,
    }


def _by_endpoint(batch: Sequence[CompletedAttempt]) -> dict[str, list[CompletedAttempt]]:
    found: dict[str, list[CompletedAttempt]] = {}
    for settled in batch:
        if not settled.claimed.is_test:
            found.setdefault(settled.claimed.endpoint_id, []).append(settled)
    return dict(sorted(found.items()))  # in one order everywhere: no two lock each other out


def _pause(failures: int, since_good: Sequence[CompletedAttempt]) -> float | None:
    throttled = [each.attempt for each in since_good if each.attempt.result is _THROTTLED]
    asked = [attempt.retry_after for attempt in throttled if attempt.retry_after is not None]
    return endpoint_pause(failures, throttled=bool(throttled), retry_after=max(asked, default=None))
