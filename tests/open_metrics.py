"""OpenMetrics, as the strict parser of prometheus-client reads it."""

from __future__ import annotations

from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families


def open_metrics(text: str) -> list[Metric]:
    """Return the families; raise ValueError for what is not valid."""
    return list(text_string_to_metric_families(text))  # type: ignore[no-untyped-call]
