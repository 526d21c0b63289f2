"""What /metrics answers, as the parsers of prometheus-client read it."""

from __future__ import annotations

from prometheus_client.core import Metric
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families


def sample(text: str, name: str, **labels: str) -> float:
    """Return the sum of the samples with this name that have at least these labels.

    Only their lines are parsed: all of them take a tenth of a second, and tests scrape often.
    """
    lines = [line for line in text.splitlines() if line.startswith(name)]
    return sum(
        float(found.value)
        for family in text_string_to_metric_families("\n".join(lines))
        for found in family.samples
        if found.name == name and labels.items() <= found.labels.items()
    )


def open_metrics(text: str) -> list[Metric]:
    """Return the families of OpenMetrics; raise ValueError for what is not valid."""
    parse = openmetrics_parser.text_string_to_metric_families
    return list(parse(text))  # type: ignore[no-untyped-call]
