"""The transactional outbox: events are written in the transaction that changes the run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Row
from sqlalchemy import event as sa_event
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.ids import new_run_id
from gateway.storage.change_feed import ChangeFeed
from gateway.storage.changes import ChangeKind
from gateway.storage.clock import now
from gateway.storage.quota_tables import ROW_BYTES
from gateway.storage.sql import dialect_insert, seconds_from_now
from gateway.webhooks import statements as sql
from gateway.webhooks.events import RunEvent, RunFacts, payload_of
from gateway.webhooks.states import DeliveryStatus, EndpointState

_MAX_REMEMBERED = 100_000
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID_DIGITS = 26

# Any: columns of several types
_Values = dict[str, Any]


class WebhookOutbox:
    """Writes the events of runs that have started or ended. For one event loop.

    Deployments without a webhook are remembered until the change feed reports a change, so their
    runs cost a set look-up. Endpoints of the others are read each time.
    """

    def __init__(
        self,
        feed: ChangeFeed,
        *,
        public_url: str,
        on_written: Callable[[], None] | None = None,
    ) -> None:
        """Call `on_written` after each commit that contains new events."""
        self._public_url = public_url
        self._on_written = on_written
        self._without: set[str] = set()
        self._generation = 0
        feed.subscribe(ChangeKind.DEPLOYMENT, self._changed)

    async def started(self, session: AsyncSession, runs: Sequence[RunFacts]) -> None:
        """Write the events of runs that have started."""
        await self.write(session, [RunEvent.started(run) for run in runs])

    async def ended(self, session: AsyncSession, runs: Sequence[RunFacts]) -> None:
        """Write the events of runs that have ended."""
        await self.write(session, [RunEvent.ended(run) for run in runs])

    async def write(self, session: AsyncSession, events: Sequence[RunEvent]) -> None:
        """Write events, in order, for the endpoints that subscribe to them."""
        asked = {event.run.deployment_id for event in events} - self._without
        if not asked:
            return
        endpoints = await self._endpoints(session, asked)
        rows = [
            self._row(endpoint, sent)
            for event in events
            if (endpoint := endpoints.get(event.run.deployment_id))
            and (sent := event.sent_to(endpoint.webhook_events))
        ]
        if rows:
            await insert_deliveries(session, rows)
            self._notify_on_commit(session)

    # Any: the columns of SUBSCRIBED, here and below
    async def _endpoints(self, session: AsyncSession, asked: set[str]) -> dict[str, Any]:
        generation = self._generation
        found = await session.execute(sql.SUBSCRIBED, {"deployment_ids": sorted(asked)})
        endpoints = {row.deployment_id: row for row in found}
        # A result that was read before a change must not be remembered after it.
        if generation == self._generation:
            if len(self._without) >= _MAX_REMEMBERED:
                self._without.clear()
            self._without |= asked - endpoints.keys()
        return endpoints

    def _row(self, endpoint: Row[Any], event: RunEvent) -> _Values:
        payload = payload_of(
            event,
            result_url=f"{self._public_url}/node/flow-runs/{event.run.id}/",
            include_node_outputs=endpoint.include_node_outputs,
        )
        return delivery_values(
            endpoint,
            message_id=message_id_for(endpoint.id, event.run.id, event.type),
            event=event.type,
            payload=payload,
            run_id=event.run.id,
        )

    def _notify_on_commit(self, session: AsyncSession) -> None:
        on_written = self._on_written
        if on_written is not None:
            sa_event.listen(session.sync_session, "after_commit", lambda _: on_written(), once=True)

    def _changed(self, deployment_id: str | None) -> None:
        self._generation += 1
        if deployment_id is None:
            self._without.clear()
        else:
            self._without.discard(deployment_id)


# Any: a row with the columns id, profile_id, deployment_id, state
def delivery_values(
    endpoint: Any, *, message_id: str, event: str, payload: bytes, run_id: str | None
) -> _Values:
    """Return the columns of a new delivery: due now, or held if the endpoint is disabled."""
    enabled = endpoint.state == EndpointState.ENABLED
    return {
        "id": new_run_id(),
        "created_at": now(),
        "message_id": message_id,
        "profile_id": endpoint.profile_id,
        "endpoint_id": endpoint.id,
        "deployment_id": endpoint.deployment_id,
        "run_id": run_id,
        "event": event,
        "payload": payload,
        "stored_bytes": ROW_BYTES + len(payload),
        "status": DeliveryStatus.PENDING if enabled else DeliveryStatus.HELD,
        "due_seconds": 0.0 if enabled else None,
        "attempts": 0,
        "failures": 0,
    }


async def insert_deliveries(session: AsyncSession, rows: Sequence[_Values]) -> None:
    """Write deliveries; existing message ids stay unchanged."""
    insert = dialect_insert(sql.DELIVERIES, session.get_bind().dialect.name)
    statement = insert.values(
        due_at=seconds_from_now(sql.seconds("due_seconds"))
    ).on_conflict_do_nothing()
    await session.execute(statement, list(rows))


def message_id_for(endpoint_id: str, run_id: str, event: str) -> str:
    """Return the `webhook-id` of an event, derived so that writing it twice gives one row."""
    digest = hashlib.sha256(f"{endpoint_id} {run_id} {event}".encode()).digest()
    number = int.from_bytes(digest, "big")
    digits = []
    for _ in range(_ID_DIGITS):
        number, digit = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return "msg_" + "".join(digits)
