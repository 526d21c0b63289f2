"""Webhooks as Prometheus sees them."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.webhooks.states import AttemptResult
from telemetry.instruments import Registry


class WebhookMetrics(Collector):
    """Attempts of this process, in its `registry`; and how long the oldest event waits.

    That age is the database's: a gateway shows it as it is, and does not add it up over processes.
    """

    def __init__(self, registry: Registry) -> None:
        attempts = registry.counter(
            "webhook_attempts_total", "Attempts to deliver an event, by how they went.", ("result",)
        )
        self._attempts = {result: attempts.child(result) for result in AttemptResult}
        self.oldest_seconds = 0.0

    def tried(self, result: AttemptResult) -> None:
        """Count an attempt."""
        self._attempts[result].add()

    def collect(self) -> Iterator[Metric]:
        """Yield the age of the oldest event that is still tried."""
        yield GaugeMetricFamily(
            "webhook_outbox_oldest_seconds",
            "Age of the oldest event that has not arrived and is still tried.",
            value=self.oldest_seconds,
        )
