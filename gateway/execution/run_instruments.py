"""What a worker measures: a part of what gateways do, by the same names."""

from __future__ import annotations

from gateway.children.metrics import ChildMetrics
from gateway.execution.tracing import dropped_spans
from gateway.metrics import NodeMetrics
from telemetry.instruments import Registry


class RunInstruments:
    """The instruments of a process that executes runs and has no API."""

    def __init__(self, registry: Registry) -> None:
        self.nodes = NodeMetrics(registry)
        self.children = ChildMetrics(registry)
        self.dropped_spans = dropped_spans(registry)
