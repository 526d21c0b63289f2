"""Rows of deliveries: claimed with a lease, and updated after each attempt.

Any number of processes may claim at once. The attempt number is a fencing token: a process whose
lease expired cannot overwrite what the next holder has recorded. A delivery whose process died is
due again when its lease expires, and is sent a second time under the same id.
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
from gateway.storage.pruning import BATCH_ROWS, ids_of_batch
from gateway.storage.sql import advisory_lock
from gateway.webhooks import statements as sql
from gateway.webhooks.audit_events import record_webhook_event
from gateway.webhooks.deliveries import (
    ClaimedDelivery,
    CompletedAttempt,
    DueEndpoint,
    attempt_values,
)
from gateway.webhooks.events import TEST_EVENT, WebhookEvent
from gateway.webhooks.retry_policy import endpoint_pause
from gateway.webhooks.states import AttemptResult, DeliveryStatus, DisabledReason
from telemetry.logs import logger
from telemetry.trace_context import TraceContext, continued

_MAX_ENDPOINTS = 50
"""Per claim, which is one transaction."""
_MIN_FAILURES_TODAY = 2
"""To disable an endpoint: two failures a week apart are no outage of a week."""
_THROTTLED = AttemptResult.THROTTLED

log = logger("gateway.webhooks")


class DeliveryStore:
    """The deliveries of an installation."""

    def __init__(
        self, db: Database, *, lease_seconds: float, disable_seconds: float, traced: bool = False
    ) -> None:
        """Disable endpoints that have only failed for `disable_seconds`.

        With `traced`, deliveries are claimed with the traces of their runs.
        """
        self._traced = traced
        self._db = db
        self._lease = {"lease_seconds": lease_seconds}
        self._disable_seconds = disable_seconds
        self._writes = BatchWriter[CompletedAttempt, None](self._write)

    async def due_endpoints(self, busy: Sequence[str]) -> list[DueEndpoint]:
        """Return the endpoints with due deliveries that are not `busy`, longest due first.

        Writes nothing; takes one index look-up per existing endpoint.
        """
        values = {"busy": busy, "most": _MAX_ENDPOINTS}
        async with self._db.read() as session:
            return [
                DueEndpoint(endpoint_id=row.id, failures=row.failures)
                for row in await session.execute(sql.READY, values)
            ]

    async def claim(
        self, limits: Mapping[str, int], *, probed: Sequence[str]
    ) -> list[ClaimedDelivery]:
        """Claim due deliveries, up to `limits` per endpoint.

        Endpoints in `probed` are not claimed for again while the lease lasts: one attempt finds out
        whether they have recovered.
        """
        claimed: list[Row[Any]] = []
        async with self._db.write() as session:
            for endpoint_id, most in limits.items():
                asked = {"of_endpoint": endpoint_id, "most": most}
                ids = (await session.execute(sql.DUE, asked)).scalars().all()
                if not ids:
                    continue
                claimed += (await session.execute(sql.CLAIM, {"ids": ids, **self._lease})).all()
                if endpoint_id in probed:
                    held = {"of_endpoint": endpoint_id, **self._lease}
                    await session.execute(sql.HOLD_OTHERS, held)
            kept = await _without_superseded(session, claimed)
            return await _addressed(session, kept, traced=self._traced)

    async def claim_test(self, delivery_id: str) -> ClaimedDelivery:
        """Claim a test event, whatever the state of its endpoint."""
        async with self._db.write() as session:
            values = {"ids": [delivery_id], **self._lease}
            rows = (await session.execute(sql.CLAIM, values)).all()
            (claimed,) = await _addressed(session, rows)
        return claimed

    async def record_attempt(self, completed: CompletedAttempt) -> None:
        """Write the result of an attempt; concurrent ones share a transaction."""
        await self._writes.put(completed)

    async def oldest_pending_seconds(self) -> dict[str, float]:
        """Return the age of the oldest pending delivery by deployment, the oldest first."""
        async with self._db.read() as session:
            rows = (await session.execute(sql.OLDEST_PENDING)).all()
        read_at = now()
        return {row.deployment_id: max(0.0, (read_at - row.oldest).total_seconds()) for row in rows}

    async def prune(self, before: datetime) -> int:
        """Delete some of the oldest deliveries from before a time; return how many.

        Pending ones stay. Held ones, which no receiver has got, are logged. One small transaction,
        so that other writers are not blocked for long.
        """
        oldest = (
            select(sql.DELIVERIES.c.id, sql.DELIVERIES.c.stored_bytes, sql.DELIVERIES.c.status)
            .where(
                sql.DELIVERIES.c.id < min_run_id(before),
                sql.DELIVERIES.c.status != DeliveryStatus.PENDING,
            )
            .order_by(sql.DELIVERIES.c.id)
            .limit(BATCH_ROWS)
        )
        async with self._db.read() as session:  # usually there are none: no lock is needed
            if (await session.execute(oldest.limit(1))).first() is None:
                return 0
        async with self._db.write() as session:
            await advisory_lock(session, "retention of deliveries")
            # locked: one that is being replayed is pending when the lock is granted
            found = (await session.execute(oldest.with_for_update())).all()
            ids = ids_of_batch(found)
            if ids:
                for statement in (sql.DELETE_ATTEMPTS, sql.DELETE_DELIVERIES):
                    await session.execute(statement, {"ids": ids})
        held = sum(row.status == DeliveryStatus.HELD for row in found[: len(ids)])
        if held:
            log.warning("held_events_deleted", events=held, created_before=before.isoformat())
        return len(ids)

    async def _write(self, batch: Sequence[CompletedAttempt]) -> Sequence[None]:
        ACTOR.set(SYSTEM)  # the task may have been started by a request
        async with self._db.write() as session:
            await session.execute(sql.INSERT_ATTEMPTS, [attempt_values(each) for each in batch])
            await session.execute(sql.SETTLE, [_delivery_values(each) for each in batch])
            for endpoint_id, attempts in _by_endpoint(batch).items():
                await self._update_health(session, endpoint_id, attempts)
        return [None] * len(batch)

    async def _update_health(
        self, session: AsyncSession, endpoint_id: str, completed: Sequence[CompletedAttempt]
    ) -> None:
        """Update an endpoint's health from some attempts, in order."""
        this = {"of_endpoint": endpoint_id}
        results = [each.attempt.result for each in completed]
        since_success = completed
        if AttemptResult.DELIVERED in results:
            if len(set(results)) > 1 or any(each.claimed.endpoint_failing for each in completed):
                await session.execute(sql.RECOVERED, this)
            since_success = completed[len(results) - results[::-1].index(AttemptResult.DELIVERED) :]
        if not since_success:
            return
        values = {
            **this,
            "more_failures": len(since_success),
            "long_ago": -self._disable_seconds,
        }
        row = (await session.execute(sql.FAILED, values)).one_or_none()
        if row is None:
            return
        pause = _pause(row.failures, since_success, recent=row.recent)
        if pause is not None:
            await session.execute(sql.PAUSE, {**this, "pause_seconds": pause})
        if AttemptResult.GONE in results:
            await disable(session, endpoint_id, DisabledReason.GONE)
        elif row.for_long:
            today = (await session.execute(sql.FAILED_TODAY, this)).scalar_one()
            if today >= _MIN_FAILURES_TODAY:
                await disable(session, endpoint_id, DisabledReason.FAILING)


async def disable(session: AsyncSession, endpoint_id: str, reason: DisabledReason) -> None:
    """Disable an endpoint; its pending deliveries are held."""
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
    """Return the rows, without late `run.started` events of runs whose end was delivered."""
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


async def _addressed(
    session: AsyncSession, rows: Sequence[Row[Any]], *, traced: bool = False
) -> list[ClaimedDelivery]:
    """Return deliveries with their URL and secrets, and if `traced` with their traces."""
    if not rows:
        return []
    values = {"endpoint_ids": sorted({row.endpoint_id for row in rows})}
    places = {row.id: row for row in await session.execute(sql.ADDRESSES, values)}
    traces: dict[str, TraceContext | None] = {}
    run_ids = sorted({row.run_id for row in rows if row.run_id is not None}) if traced else []
    if run_ids:
        found = await session.execute(sql.TRACES, {"run_ids": run_ids})
        traces = {row.id: continued(row.traceparent, row.tracestate) for row in found}
    return [
        _claimed(row, places[row.endpoint_id], traces.get(row.run_id))
        for row in rows
        if row.endpoint_id in places
    ]


def _claimed(row: Row[Any], place: Row[Any], trace: TraceContext | None) -> ClaimedDelivery:
    secrets: tuple[bytes, ...] = (place.secret,)
    if place.overlaps and place.previous_secret is not None:
        secrets += (place.previous_secret,)
    return ClaimedDelivery(
        id=row.id,
        message_id=row.message_id,
        endpoint_id=row.endpoint_id,
        deployment_id=row.deployment_id,
        created_at=row.created_at,
        delivered_before=row.delivered_at is not None,
        event=row.event,
        payload=row.payload,
        attempt=row.attempts,
        failures=row.failures,
        url=place.callback_url or "",
        secrets=secrets,
        endpoint_failing=place.failures > 0,
        trace=trace,
        is_test=row.event == TEST_EVENT,
    )


def _delivery_values(completed: CompletedAttempt) -> dict[str, Any]:
    claimed, attempt = completed.claimed, completed.attempt
    delivered = attempt.result is AttemptResult.DELIVERED
    if delivered:
        status = DeliveryStatus.DELIVERED
    elif completed.pause_seconds is None:
        status = DeliveryStatus.FAILED
    else:
        status = DeliveryStatus.PENDING
    return {
        "delivery": claimed.id,
        "held_attempt": claimed.attempt,
        "new_status": status,
        "pause_seconds": completed.pause_seconds,
        "more_failures": int(not delivered),
        "since_delivered": 0.0 if delivered else None,
        "code": attempt.status_code,
        "trouble": attempt.error_code,
    }


def _by_endpoint(batch: Sequence[CompletedAttempt]) -> dict[str, list[CompletedAttempt]]:
    found: dict[str, list[CompletedAttempt]] = {}
    for completed in batch:
        # A test that fails says nothing of the events, and one that arrives ends a pause.
        if not completed.claimed.is_test or completed.attempt.result is AttemptResult.DELIVERED:
            found.setdefault(completed.claimed.endpoint_id, []).append(completed)
    return dict(sorted(found.items()))  # one order in all processes, to avoid deadlocks


def _pause(
    failures: int, since_success: Sequence[CompletedAttempt], *, recent: bool
) -> float | None:
    throttled = [each.attempt for each in since_success if each.attempt.result is _THROTTLED]
    asked = [attempt.retry_after for attempt in throttled if attempt.retry_after is not None]
    return endpoint_pause(
        failures, recent=recent, throttled=bool(throttled), retry_after=max(asked, default=None)
    )
