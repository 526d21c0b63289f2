"""Metrics of webhooks."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.webhooks.states import AttemptResult
from telemetry.instruments import Registry


class WebhookMetrics(Collector):
    """Attempts of this process, in its `registry`, and the age of the oldest pending event.

    The age is read from the database: it is the same in every process, and must not be summed.
    """

    def __init__(self, registry: Registry) -> None:
        attempts = registry.counter(
            "webhook_attempts_total", "Attempts to deliver an event, by how they went.", ("result",)
        )
        self._attempts = {result: attempts.child(result) for result in AttemptResult}
        self.oldest_seconds = 0.0

    def count_attempt(self, result: AttemptResult) -> None:
        """Count an attempt."""
        self._attempts[result].add()

    def collect(self) -> Iterator[Metric]:
        """Yield the age of the oldest pending event."""
        yield GaugeMetricFamily(
            "webhook_outbox_oldest_seconds",
            "Age of the oldest event that has not arrived and is still tried.",
            value=self.oldest_seconds,
        )
