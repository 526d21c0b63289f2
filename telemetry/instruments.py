"""Counters, gauges and histograms that take well under a microsecond to update.

prometheus-client's instruments take a lock and walk the buckets, about 2 µs each, several times per
call; in its multi-process mode they also write to a file each time. Here a histogram is a list and
`bisect`, used from one event loop only. Exposition (names, escaping, format) and metrics computed
once per scrape remain prometheus-client's.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from time import time
from typing import Generic, NamedTuple, TypeVar, cast

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar as PrometheusExemplar

from telemetry.exposition import TEXT, ExpositionFormat

LATENCY_SECONDS: tuple[float, ...] = (
    *(0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01),
    *(0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
"""Upper bounds of buckets, from 50 µs (a fast call of a tiny model) to 60 s."""

RUN_SECONDS: tuple[float, ...] = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
    *(10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0),
)
"""Upper bounds of buckets, from 5 ms (a small flow) to an hour."""

BATCH_SIZES: tuple[float, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
"""Upper bounds of buckets: rows in one ONNX Runtime call."""

_MAX_REMOVED = 10_000
"""Removed series that are remembered."""

MAX_SERIES = 10_000
"""Series of each metric of a gateway process, by default."""

_FEW = 8
"""Values that are counted faster one by one than sorted."""


class Counter:
    """A number that only increases."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def add(self, amount: float = 1.0) -> None:
        """Increase by `amount`."""
        self.value += amount


class Gauge:
    """A number that can be set."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def set(self, value: float) -> None:
        """Set to `value`."""
        self.value = value


class Exemplar(NamedTuple):
    """A value of a bucket, with the trace of what took so long."""

    trace_id: str
    value: float
    at: float
    """Seconds since 1970."""


class Histogram:
    """Counts values by bucket, and sums them."""

    __slots__ = ("bounds", "counts", "exemplars", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        self.exemplars: dict[int, Exemplar] = {}
        """The latest of each bucket that has some, by the bucket's index."""

    def observe(self, value: float) -> None:
        """Count `value`, in the unit in the family's name."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def observe_many(self, values: Iterable[float]) -> None:
        """Count values: sorted, many of them cost a fraction of `observe` each."""
        ordered = sorted(values)
        if len(ordered) < _FEW:
            for value in ordered:
                self.observe(value)
            return
        counts, start = self.counts, 0
        for index, bound in enumerate(self.bounds):
            end = bisect_right(ordered, bound, start)
            counts[index] += end - start
            start = end
        counts[-1] += len(ordered) - start
        self.total += sum(ordered)

    def exemplify(self, value: float, trace_id: str) -> None:
        """Show `value`, which is counted by `observe`, with its trace (32 hexadecimal digits)."""
        bucket = bisect_left(self.bounds, value)
        self.exemplars[bucket] = Exemplar(trace_id, value, time())


AnyInstrument = Counter | Gauge | Histogram
Instrument = TypeVar("Instrument", bound=AnyInstrument)
Labels = tuple[str, ...]


class MetricFamily(Generic[Instrument]):
    """One metric: an instrument (child) for each combination of label values."""

    def __init__(
        self,
        make: Callable[[], Instrument],
        name: str,
        documentation: str,
        labels: Labels,
        limit: SeriesLimit | None = None,
    ) -> None:
        """Make a metric with at most as many children as `limit` allows; None: any number."""
        self.make = make
        self.name = name
        self.documentation = documentation
        self.labels = labels
        self.children: dict[Labels, Instrument] = {}
        self.exists: Callable[[Labels], bool] | None = None
        """Whether what a series is about still exists; None: all of them are shown."""
        self._limit = limit
        self._unexported = make()
        """What the label values beyond the limit share."""

    def child(self, *values: str) -> Instrument:
        """Return the instrument for these label values; keep it rather than call this again.

        Beyond the limit of series, it is one that is not exported.
        """
        if len(values) != len(self.labels):
            message = f"{self.name}: expected values for the labels {self.labels}, got {values}"
            raise ValueError(message)
        found = self.children.get(values)
        if found is None:
            if self._limit is not None and len(self.children) >= self._limit.series:
                self.count_dropped()
                return self._unexported
            found = self.children[values] = self.make()
        return found

    def count_dropped(self) -> None:
        """Count a series that was not made, or not kept, as the metric has as many as it may."""
        if self._limit is not None:
            exposed = f"{self.name}_total" if self.make is Counter else self.name
            self._limit.dropped.child(exposed).add()

    def remove(self, *values: str) -> None:
        """Remove a child, for example of a model that is no longer served."""
        self.children.pop(values, None)


@dataclass(frozen=True, slots=True)
class SeriesLimit:
    """How many series each metric of a registry may have."""

    series: int
    dropped: MetricFamily[Counter]
    """Counts, by metric, what was asked for beyond that."""


AnyMetricFamily = MetricFamily[Counter] | MetricFamily[Gauge] | MetricFamily[Histogram]


class Registry(Collector):
    """The metric families of one process."""

    def __init__(self, *, max_series: int | None = None) -> None:
        """Let each metric have at most `max_series` series, and count those that are not made."""
        self.families: dict[str, AnyMetricFamily] = {}
        self._removed: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._limit: SeriesLimit | None = None
        if max_series is not None:
            dropped = self.counter(
                "metrics_series_dropped_total",
                "Look-ups of series that were not made: their metric has as many as it may.",
                ("metric",),
            )
            self._limit = SeriesLimit(max_series, dropped)

    def counter(self, name: str, documentation: str, labels: Labels = ()) -> MetricFamily[Counter]:
        """Register a counter; its exposed name ends with `_total`, by Prometheus's convention."""
        return self._register(
            MetricFamily(Counter, name.removesuffix("_total"), documentation, labels, self._limit)
        )

    def gauge(self, name: str, documentation: str, labels: Labels = ()) -> MetricFamily[Gauge]:
        """Register a gauge."""
        return self._register(MetricFamily(Gauge, name, documentation, labels, self._limit))

    def histogram(
        self,
        name: str,
        documentation: str,
        labels: Labels = (),
        bounds: Sequence[float] = LATENCY_SECONDS,
    ) -> MetricFamily[Histogram]:
        """Register a histogram with these upper bounds; +Inf is added."""
        make = partial(Histogram, bounds)
        return self._register(MetricFamily(make, name, documentation, labels, self._limit))

    def remove_series(self, label: str, value: str) -> None:
        """Remove every child with this value of the label, for good, see `is_removed`."""
        self._removed[label, value] = None
        if len(self._removed) > _MAX_REMOVED:
            self._removed.popitem(last=False)
        for family in self.families.values():
            if label in family.labels:
                position = family.labels.index(label)
                for values in [each for each in family.children if each[position] == value]:
                    family.remove(*values)

    def is_removed(self, family: AnyMetricFamily, values: Sequence[str]) -> bool:
        """Whether a child is of a removed series: an update after the removal makes it again."""
        if family.exists is not None and not family.exists(tuple(values)):
            return True
        return not self._removed.keys().isdisjoint(zip(family.labels, values, strict=True))

    def children_of(self, family: AnyMetricFamily) -> list[tuple[Labels, AnyInstrument]]:
        """Return a family's children, without removed ones. Any thread may call it."""
        # a copy: the event loop adds and removes some meanwhile
        children = cast("list[tuple[Labels, AnyInstrument]]", list(family.children.items()))
        return [each for each in children if not self.is_removed(family, each[0])]

    def _register(self, family: MetricFamily[Instrument]) -> MetricFamily[Instrument]:
        if family.name in self.families:
            message = f"metric {family.name} is already registered"
            raise ValueError(message)
        self.families[family.name] = cast("AnyMetricFamily", family)
        return family

    def collect(self) -> Iterator[Metric]:
        """Yield the families as prometheus-client's metrics."""
        for family in self.families.values():
            yield to_prometheus(family)

    def render(self, form: ExpositionFormat = TEXT) -> bytes:
        """Return the families in a format."""
        return render([self], form)


def render(collectors: Iterable[Collector], form: ExpositionFormat = TEXT) -> bytes:
    """Return the metrics of several collectors in a format."""
    registry = CollectorRegistry(auto_describe=False)
    for collector in collectors:
        registry.register(collector)
    return form.generate(registry)


def to_prometheus(family: AnyMetricFamily) -> Metric:
    """Return one family as prometheus-client's metric."""
    sample = family.make()
    if isinstance(sample, Histogram):
        histogram = HistogramMetricFamily(family.name, family.documentation, labels=family.labels)
        for values, child in family.children.items():
            assert isinstance(child, Histogram)
            histogram.add_metric(values, *_cumulative(child))
        return histogram
    kind = CounterMetricFamily if isinstance(sample, Counter) else GaugeMetricFamily
    metric = kind(family.name, family.documentation, labels=family.labels)
    for values, child in family.children.items():
        assert not isinstance(child, Histogram)
        metric.add_metric(values, child.value)
    return metric


# the family's own type of a bucket: with or without an exemplar
_Bucket = tuple[str, float] | tuple[str, float, PrometheusExemplar]


def _cumulative(histogram: Histogram) -> tuple[list[_Bucket], float]:
    buckets: list[_Bucket] = []
    running = 0
    for index, bound in enumerate((*histogram.bounds, float("inf"))):
        running += histogram.counts[index]
        name = "+Inf" if bound == float("inf") else repr(float(bound))
        found = histogram.exemplars.get(index)
        if found is None:
            buckets.append((name, running))
        else:
            shown = PrometheusExemplar({"trace_id": found.trace_id}, found.value, found.at)
            buckets.append((name, running, shown))
    return buckets, histogram.total
