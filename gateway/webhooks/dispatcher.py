"""Delivers due webhook events.

Any number of processes may run it; a claim with a lease keeps a delivery from being sent twice at
once. If a process dies, its claims expire and another process sends them, under the same id.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Self

from gateway.outbound.http import GuardedHttpClient
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.storage.failures import log_failure
from gateway.webhooks.deliveries import (
    ClaimedDelivery,
    CompletedAttempt,
    DeliveryAttempt,
    DueEndpoint,
)
from gateway.webhooks.delivery_sender import DeliverySender
from gateway.webhooks.metrics import WebhookMetrics
from gateway.webhooks.retry_policy import is_circuit_open, retry_pause
from gateway.webhooks.secret_box import SecretBox
from gateway.webhooks.states import AttemptResult
from gateway.webhooks.store import DeliveryStore
from telemetry.instruments import Registry
from telemetry.logs import logger
from telemetry.traces import Tracer

_LEASE_MARGIN_SECONDS = 15.0
"""Of a lease beyond the timeout: for the claim before the attempt, and its record after it."""
_CLAIM_INTERVAL_SECONDS = 0.02
"""Between two claims, so that under load each covers many deliveries."""
_MEASURE_SECONDS = 5.0
_MEASURE_PAUSE = 50
"""Times what the measurement took, which reads every pending delivery."""
_FINAL = frozenset({AttemptResult.DELIVERED, AttemptResult.GONE, AttemptResult.ABORTED})

log = logger("gateway.webhooks")


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatcherOptions:
    """How deliveries are sent; seconds unless said otherwise."""

    schedule: Sequence[float]
    """The pause before each attempt, the first included; its length is the number of attempts."""
    timeout_seconds: float = 15.0
    """For one attempt, from name resolution to the end of the response."""
    lease_seconds: float = 30.0
    """After it, a dead process's delivery is sent again. Must exceed the duration of an attempt."""
    endpoint_concurrency: int = 16
    """Deliveries in flight to one endpoint, per process."""
    concurrency: int = 200
    """Deliveries in flight, per process."""
    poll_seconds: float = 0.5
    """Interval of looking for deliveries that other processes have written."""
    disable_seconds: float = 5 * 86_400.0
    """An endpoint is disabled after failing without a success for so long."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the options that the settings define."""
        timeout = settings.webhook_timeout_seconds
        return cls(
            schedule=settings.webhook_schedule_seconds,
            timeout_seconds=timeout,
            lease_seconds=timeout + _LEASE_MARGIN_SECONDS,
        )


class WebhookDispatcher:
    """Claims due deliveries, sends them concurrently, and records each attempt when it completes.

    Each endpoint has a maximum of deliveries in flight, and a failing one gets one at a time, with
    pauses: a dead receiver delays no other.
    """

    def __init__(
        self,
        store: DeliveryStore,
        http: GuardedHttpClient,
        secret_box: SecretBox,
        options: DispatcherOptions,
        metrics: WebhookMetrics,
        *,
        tracer: Tracer | None = None,
    ) -> None:
        """Send by `http`, which it closes."""
        self.store = store
        self.metrics = metrics
        self._http = http
        self._sender = DeliverySender(
            http, secret_box, timeout_seconds=options.timeout_seconds, tracer=tracer
        )
        self._options = options
        self._wake = asyncio.Event()
        self._in_flight: Counter[str] = Counter()
        self._deliveries: set[asyncio.Task[None]] = set()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start delivering."""
        self._tasks = [
            asyncio.create_task(self._run(), name="webhooks"),
            asyncio.create_task(self._measure(), name="webhook outbox"),
        ]

    async def close(self, drain_seconds: float = 0.0) -> None:
        """Start no more deliveries, and give those in flight some seconds; leases free the rest."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._deliveries:
            await asyncio.wait(self._deliveries, timeout=drain_seconds)
        for delivery in self._deliveries:
            delivery.cancel()
        await asyncio.gather(*self._deliveries, return_exceptions=True)
        await self._http.close()

    def wake(self) -> None:
        """Look for due deliveries now."""
        self._wake.set()

    async def send_test(self, delivery_id: str) -> None:
        """Send a test event now, once; the result is in its row.

        Raises:
            SQLAlchemyError, OSError: the database is unreachable.
        """
        claimed = await self.store.claim_test(delivery_id)
        attempt = await self._sender.send(claimed)
        self.metrics.count_attempt(claimed, attempt)
        await self.store.record_attempt(
            CompletedAttempt(claimed=claimed, attempt=attempt, pause_seconds=None)
        )

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                started = await self._start_due()
            except Exception as error:  # noqa: BLE001 - see `log_failure`
                log_failure(log, "webhooks_not_claimed", error)
                started = 0
            if started:
                await asyncio.sleep(_CLAIM_INTERVAL_SECONDS)
            else:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._options.poll_seconds):
                        await self._wake.wait()

    async def _start_due(self) -> int:
        """Claim as many deliveries as may be in flight, start them, and return their number."""
        free = self._options.concurrency - len(self._deliveries)
        if free <= 0:
            return 0
        maximum = self._options.endpoint_concurrency
        busy = [endpoint for endpoint, count in self._in_flight.items() if count >= maximum]
        due = await self.store.due_endpoints(busy)
        claim_limits = self._claim_limits(due, free)
        if not claim_limits:
            return 0
        probed = [each.endpoint_id for each in due if is_circuit_open(each.failures)]
        claimed = await self.store.claim(claim_limits, probed=probed)
        for delivery in claimed:
            self._start(delivery)
        return len(claimed)

    def _claim_limits(self, due: Sequence[DueEndpoint], free: int) -> dict[str, int]:
        """Return how many deliveries to claim per endpoint; one if its circuit is open."""
        limits: dict[str, int] = {}
        for endpoint in due:
            is_open = is_circuit_open(endpoint.failures)
            maximum = 1 if is_open else self._options.endpoint_concurrency
            limit = min(maximum - self._in_flight[endpoint.endpoint_id], free)
            if limit > 0:
                limits[endpoint.endpoint_id] = limit
                free -= limit
        return limits

    def _start(self, claimed: ClaimedDelivery) -> None:
        self._in_flight[claimed.endpoint_id] += 1
        task = asyncio.create_task(self._deliver(claimed))
        self._deliveries.add(task)
        task.add_done_callback(self._deliveries.discard)

    async def _deliver(self, claimed: ClaimedDelivery) -> None:
        try:
            attempt = await self._sender.send(claimed)
            self.metrics.count_attempt(claimed, attempt)
            pause = self._pause_after(claimed, attempt)
            await self.store.record_attempt(
                CompletedAttempt(claimed=claimed, attempt=attempt, pause_seconds=pause)
            )
        except Exception as error:  # noqa: BLE001 - see `log_failure`
            # The lease expires, and the delivery is sent once more.
            log_failure(log, "webhook_not_recorded", error, webhook_id=claimed.message_id)
        finally:
            self._in_flight[claimed.endpoint_id] -= 1
            if not self._in_flight[claimed.endpoint_id]:
                del self._in_flight[claimed.endpoint_id]
            self._wake.set()

    def _pause_after(self, claimed: ClaimedDelivery, attempt: DeliveryAttempt) -> float | None:
        """Return the seconds until the next attempt; None if there is none."""
        if attempt.result in _FINAL or claimed.is_test:
            return None
        schedule = self._options.schedule
        return retry_pause(claimed.failures + 1, schedule, retry_after=attempt.retry_after)

    async def _measure(self) -> None:
        while True:
            began = monotonic()
            try:
                self.metrics.oldest_seconds = await self.store.oldest_pending_seconds()
            except Exception as error:  # noqa: BLE001 - see `log_failure`
                log_failure(log, "webhooks_not_counted", error)
            took = monotonic() - began
            await asyncio.sleep(max(_MEASURE_SECONDS, _MEASURE_PAUSE * took))


def build_dispatcher(
    settings: Settings,
    db: Database,
    secret_box: SecretBox,
    *,
    registry: Registry | None = None,
    options: DispatcherOptions | None = None,
    tracer: Tracer | None = None,
) -> WebhookDispatcher:
    """Return a dispatcher for this event loop; `options` replace those of the settings."""
    options = options or DispatcherOptions.of(settings)
    return WebhookDispatcher(
        DeliveryStore(
            db,
            lease_seconds=options.lease_seconds,
            disable_seconds=options.disable_seconds,
            traced=tracer is not None,
        ),
        GuardedHttpClient(
            settings.webhook_allow,
            allow_http=settings.webhook_allow_http,
            max_connections=options.concurrency,
        ),
        secret_box,
        options,
        WebhookMetrics(registry or Registry(), max_series=settings.metrics_max_series),
        tracer=tracer,
    )
