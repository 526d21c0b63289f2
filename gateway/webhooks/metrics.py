"""Metrics of webhooks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from itertools import islice

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.metrics import DEPLOYMENT_LABEL
from gateway.webhooks.deliveries import ClaimedDelivery, DeliveryAttempt
from gateway.webhooks.states import AttemptResult
from telemetry.instruments import MAX_SERIES, RUN_SECONDS, Registry


class WebhookMetrics(Collector):
    """Attempts of this process, in its `registry`, and the ages of the oldest pending events.

    The ages are read from the database: they are the same in every process, and must not be summed.
    """

    def __init__(self, registry: Registry, *, max_series: int = MAX_SERIES) -> None:
        """Show the ages of at most `max_series` deployments."""
        attempts = registry.counter(
            "webhook_attempts_total", "Attempts to deliver an event, by how they went.", ("result",)
        )
        self._attempts = {result: attempts.child(result) for result in AttemptResult}
        self._delivery_seconds = registry.histogram(
            "webhook_delivery_seconds",
            "Time from an event to its first delivery, by deployment; without test events.",
            (DEPLOYMENT_LABEL,),
            RUN_SECONDS,
        )
        self._max_series = max_series
        self.oldest_seconds: Mapping[str, float] = {}
        """By deployment, the oldest first."""

    def count_attempt(self, claimed: ClaimedDelivery, attempt: DeliveryAttempt) -> None:
        """Count an attempt, and what the delivery took if the event has arrived by it."""
        self._attempts[attempt.result].add()
        first = not (claimed.is_test or claimed.delivered_before)
        if first and attempt.result is AttemptResult.DELIVERED:
            delivered_at = attempt.started_at + timedelta(seconds=attempt.seconds)
            seconds = max(0.0, (delivered_at - claimed.created_at).total_seconds())
            self._delivery_seconds.child(claimed.deployment_id).observe(seconds)

    def collect(self) -> Iterator[Metric]:
        """Yield the age of the oldest pending event, of all and by deployment."""
        ages = self.oldest_seconds
        yield GaugeMetricFamily(
            "webhook_outbox_oldest_seconds",
            "Age of the oldest event that has not arrived and is still tried.",
            value=max(ages.values(), default=0.0),
        )
        by_deployment = GaugeMetricFamily(
            "webhook_oldest_seconds",
            "Age of a deployment's oldest event that is still tried; only of those that have some.",
            labels=(DEPLOYMENT_LABEL,),
        )
        for deployment, age in islice(ages.items(), self._max_series):
            by_deployment.add_metric((deployment,), age)
        yield by_deployment
