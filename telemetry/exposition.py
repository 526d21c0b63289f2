"""The formats of `/metrics`: Prometheus' text, and OpenMetrics, which has exemplars."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import generate_latest
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST
from prometheus_client.openmetrics.exposition import generate_latest as generate_open_metrics
from prometheus_client.registry import Collector

_OPEN_METRICS_TYPE = "application/openmetrics-text"


@dataclass(frozen=True, slots=True)
class ExpositionFormat:
    """A format, and how metrics are written in it."""

    content_type: str
    generate: Callable[[Collector], bytes]


TEXT = ExpositionFormat("text/plain; version=0.0.4; charset=utf-8", generate_latest)
OPEN_METRICS = ExpositionFormat(CONTENT_TYPE_LATEST, generate_open_metrics)


def accepted_format(accept: str) -> ExpositionFormat:
    """Return OPEN_METRICS if an Accept header names it, as Prometheus' does by default, or TEXT."""
    kinds = [kind.partition(";")[0].strip().lower() for kind in accept.split(",")]
    return OPEN_METRICS if _OPEN_METRICS_TYPE in kinds else TEXT
