"""The tracer of a process by its settings."""

from __future__ import annotations

from gateway.settings import Settings
from telemetry.instruments import Counter, Registry
from telemetry.traces import Tracer


def dropped_spans(registry: Registry) -> Counter:
    """Return the counter of spans that did not reach the collector."""
    return registry.counter(
        "trace_spans_dropped_total",
        "Spans that the collector did not take, or for which there was no room until it did.",
    ).child()


def open_tracer(settings: Settings, service: str, dropped: Counter) -> Tracer | None:
    """Return the tracer of this process; None: the settings name no collector."""
    if settings.trace_endpoint is None:
        return None
    return Tracer(
        settings.trace_endpoint,
        sample_rate=settings.trace_sample_rate,
        service=service,
        dropped=dropped,
    )
