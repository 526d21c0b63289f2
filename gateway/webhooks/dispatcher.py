"""Sends what is due: in any process, in as many as there are, and through all their deaths."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress

from sqlalchemy.exc import SQLAlchemyError

from gateway.webhooks.breaker import is_open
from gateway.webhooks.deliveries import (
    ClaimedDelivery,
    CompletedAttempt,
    DeliveryAttempt,
    DueEndpoint,
)
from gateway.webhooks.delivery_sender import DeliverySender
from gateway.webhooks.metrics import WebhookMetrics
from gateway.webhooks.options import DispatcherOptions
from gateway.webhooks.schedule import retry_pause
from gateway.webhooks.states import AttemptResult
from gateway.webhooks.store import DeliveryStore
from telemetry.logs import logger, reason_of

_GATHER_SECONDS = 0.02
"""Between two claims, so that under load each is for many."""
_MEASURE_SECONDS = 5.0
_FINAL = frozenset({AttemptResult.GONE, AttemptResult.ABORTED})

log = logger("gateway.webhooks")


class WebhookDispatcher:
    """Claims due deliveries, sends them side by side, and settles each as soon as it is through.

    No endpoint has more than its share in flight, and one that fails again and again has one at a
    time, with pauses: a dead receiver delays no other.
    """

    def __init__(
        self,
        store: DeliveryStore,
        sender: DeliverySender,
        options: DispatcherOptions,
        metrics: WebhookMetrics,
    ) -> None:
        self._store = store
        self._sender = sender
        self._options = options
        self._metrics = metrics
        self._wake = asyncio.Event()
        self._in_flight: Counter[str] = Counter()
        self._deliveries: set[asyncio.Task[None]] = set()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin."""
        self._tasks = [
            asyncio.create_task(self._run(), name="webhooks"),
            asyncio.create_task(self._measure(), name="webhook outbox"),
        ]

    async def stop(self, drain_seconds: float = 0.0) -> None:
        """Begin nothing more, and give what is being sent some seconds; the rest comes again."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._deliveries:
            await asyncio.wait(self._deliveries, timeout=drain_seconds)
        for delivery in self._deliveries:
            delivery.cancel()
        await asyncio.gather(*self._deliveries, return_exceptions=True)

    def wake(self) -> None:
        """Look at once: something may be due."""
        self._wake.set()

    async def send_test(self, delivery_id: str) -> None:
        """Send a test now, once; how it went is in its row.

        Raises:
            SQLAlchemyError, OSError: the database is away.
        """
        claimed = await self._store.claim_test(delivery_id)
        attempt = await self._sender.send(claimed)
        self._metrics.tried(attempt.result)
        await self._store.settle(
            CompletedAttempt(claimed=claimed, attempt=attempt, pause_seconds=None)
        )

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                began = await self._begin_due()
            except (SQLAlchemyError, OSError) as error:
                log.warning("webhooks_not_claimed", reason=reason_of(error))
                began = 0
            if began:
                await asyncio.sleep(_GATHER_SECONDS)
            else:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._options.poll_seconds):
                        await self._wake.wait()

    async def _begin_due(self) -> int:
        """Claim as much as there is room for, and begin to send it; return how much that was."""
        free = self._options.concurrency - len(self._deliveries)
        if free <= 0:
            return 0
        share = self._options.endpoint_concurrency
        busy = [endpoint for endpoint, count in self._in_flight.items() if count >= share]
        ready = await self._store.ready(busy)
        room = self._room(ready, free)
        if not room:
            return 0
        probed = [each.endpoint_id for each in ready if is_open(each.failures)]
        claimed = await self._store.claim(room, probed=probed)
        for delivery in claimed:
            self._begin(delivery)
        return len(claimed)

    def _room(self, ready: list[DueEndpoint], free: int) -> dict[str, int]:
        """Return how much to claim for each endpoint; for one that fails, one at a time."""
        room: dict[str, int] = {}
        for endpoint in ready:
            in_flight = self._in_flight[endpoint.endpoint_id]
            share = 1 if is_open(endpoint.failures) else self._options.endpoint_concurrency
            most = min(share - in_flight, free)
            if most > 0:
                room[endpoint.endpoint_id] = most
                free -= most
        return room

    def _begin(self, claimed: ClaimedDelivery) -> None:
        self._in_flight[claimed.endpoint_id] += 1
        task = asyncio.create_task(self._deliver(claimed))
        self._deliveries.add(task)
        task.add_done_callback(self._deliveries.discard)

    async def _deliver(self, claimed: ClaimedDelivery) -> None:
        try:
            attempt = await self._sender.send(claimed)
            self._metrics.tried(attempt.result)
            await self._store.settle(self._settled(claimed, attempt))
        except (SQLAlchemyError, OSError) as error:
            # Its lease ends, and it is sent once more.
            log.warning(
                "webhook_not_settled",
                webhook_id=claimed.message_id,
                reason=reason_of(error),
            )
        finally:
            self._in_flight[claimed.endpoint_id] -= 1
            if not self._in_flight[claimed.endpoint_id]:
                del self._in_flight[claimed.endpoint_id]
            self._wake.set()

    def _settled(self, claimed: ClaimedDelivery, attempt: DeliveryAttempt) -> CompletedAttempt:
        pause = None
        if attempt.result not in _FINAL and attempt.result is not AttemptResult.DELIVERED:
            schedule = self._options.schedule
            pause = retry_pause(claimed.failures + 1, schedule, retry_after=attempt.retry_after)
        if claimed.is_test:
            pause = None
        return CompletedAttempt(claimed=claimed, attempt=attempt, pause_seconds=pause)

    async def _measure(self) -> None:
        while True:
            with suppress(SQLAlchemyError, OSError):
                self._metrics.oldest_seconds = await self._store.oldest_pending_seconds()
            await asyncio.sleep(_MEASURE_SECONDS)
