"""How usage is shown."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta

from rich.console import RenderableType

from gateway.usage.counts import RUN, TOTAL, Counts
from gateway.usage.histogram import percentile
from gateway.usage.service import GroupBy, Step, UsageEntry, UsageGroup, UsageReport
from slipstream.commands.run_views import took
from slipstream.terminal import table

_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 24
"""Bars of a sparkline."""
_SHARES = (0.5, 0.95, 0.99)
_HEADS: Mapping[GroupBy, tuple[str, ...]] = {
    GroupBy.DEPLOYMENT: ("deployment", "id"),
    GroupBy.VERSION: ("deployment", "id", "version"),
    GroupBy.KEY: ("API key", "id"),
    GroupBy.CODE: ("code",),
}
_COUNTS = ("calls", "errors", "runs", "failed")
_TIMES = ("p50", "p95", "p99", "run p95")


def usage_table(whole: UsageReport, series: UsageReport) -> RenderableType:
    """Return usage as a table, with a sparkline for each row from the same usage by steps."""
    by = whole.query.by
    steps = defaultdict[UsageGroup, list[UsageEntry]](list)
    for item in series.items:
        steps[item.subject].append(item)
    times = () if by is GroupBy.CODE else _TIMES
    rows = [
        (
            *_about(item.subject, by, whole.names),
            *_counts(item.counts),
            *(_times(item.counts) if times else ()),
            sparkline(_volumes(steps.get(item.subject, ()), series)),
        )
        for item in whole.items
    ]
    empty = "Nothing was called in that time."
    return table((*_HEADS[by], *_COUNTS, *times, "over time"), rows, empty=empty)


def step_of(length: timedelta) -> Step:
    """Return the step that gives a sparkline its bars, without many more of them."""
    if length <= timedelta(hours=4):
        return Step.MINUTE
    return Step.HOUR if length <= timedelta(days=4) else Step.DAY


def sparkline(volumes: Sequence[int]) -> str:
    """Return a bar for each number, as high as that is to the highest; nothing for 0."""
    most = max(volumes, default=0)
    return "".join(
        _BARS[(volume * len(_BARS) - 1) // most] if volume else " " for volume in volumes
    )


def _volumes(items: Sequence[UsageEntry], series: UsageReport) -> list[int]:
    """Return calls, or where there were none runs, in each part of the time."""
    called = any(item.counts.calls for item in items)
    length = series.until - series.since
    volumes = [0] * _WIDTH
    for item in items:
        part = int((item.since - series.since) / length * _WIDTH)
        volume = item.counts.calls if called else item.counts.runs
        volumes[min(max(part, 0), _WIDTH - 1)] += volume
    return volumes


def _about(subject: UsageGroup, by: GroupBy, names: Mapping[str, str]) -> tuple[object, ...]:
    match by:
        case GroupBy.DEPLOYMENT:
            return _called(subject.deployment_id, names)
        case GroupBy.VERSION:
            return (*_called(subject.deployment_id, names), subject.version)
        case GroupBy.KEY:
            return _called(subject.key_id, names)
        case GroupBy.CODE:
            return (subject.code,)


def _called(found: str | None, names: Mapping[str, str]) -> tuple[object, ...]:
    return names.get(found or "", ""), found


def _counts(counts: Counts) -> tuple[object, ...]:
    errors, failed = sum(counts.errors.values()), sum(counts.run_errors.values())
    return counts.calls, errors, counts.runs, failed


def _times(counts: Counts) -> tuple[object, ...]:
    calls, runs = counts.seconds.get(TOTAL, {}), counts.seconds.get(RUN, {})
    return (*(took(percentile(calls, share)) for share in _SHARES), took(percentile(runs, 0.95)))
