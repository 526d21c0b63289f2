"""Shows the timeline of a run in the terminal: a bar for each span of time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.console import RenderableType

from gateway.runs.schemas import SpanOut, TimelineOut
from gateway.storage.clock import now
from slipstream.commands.tables import elapsed
from slipstream.terminal import table

_WIDTH = 40
"""Columns of the longest bar."""
_COLUMNS = ("kind", "name", "status", "from", "took", "", "detail")


def timeline_view(timeline: TimelineOut) -> RenderableType:
    """Return a row for each span; the bars show which part of the whole it took."""
    begin, end = timeline.created_at, _end(timeline)
    rows = [_row(span, begin, end) for span in timeline.spans]
    return table(_COLUMNS, rows, empty="Nothing is known of this run.")


def _end(timeline: TimelineOut) -> datetime:
    known = [span.ended_at or span.started_at for span in timeline.spans]
    last = timeline.finished_at or now()
    return max([last, *(moment for moment in known if moment is not None)])


def _row(span: SpanOut, begin: datetime, end: datetime) -> Sequence[object]:
    name = span.name if span.attempt in (None, 1) else f"{span.name} (attempt {span.attempt})"
    if span.started_at is None:
        return (span.kind, name, span.status, "", _took(span), "", _detail(span))
    offset = max(0.0, (span.started_at - begin).total_seconds())
    drawn = _bar(span, offset, (end - begin).total_seconds(), end)
    return (span.kind, name, span.status, elapsed(offset), _took(span), drawn, _detail(span))


def _bar(span: SpanOut, offset: float, whole: float, end: datetime) -> str:
    if span.started_at is None or whole <= 0:
        return ""
    return bar(offset, ((span.ended_at or end) - span.started_at).total_seconds(), whole)


def bar(begins: float, seconds: float, whole: float) -> str:
    """Return the bar of a part of the `whole`: at least one column wide, within the width."""
    first = min(round(begins / whole * _WIDTH), _WIDTH - 1)
    length = max(1, min(round(seconds / whole * _WIDTH), _WIDTH - first))
    return " " * first + "█" * length


def _took(span: SpanOut) -> str:
    if span.started_at is not None and span.ended_at is not None:
        return elapsed((span.ended_at - span.started_at).total_seconds())
    return elapsed(span.detail.get("duration_seconds"))


def _detail(span: SpanOut) -> str:
    error = span.detail.get("error")
    if error:
        return f"{error['code']}: {error['message']}"
    status_code = span.detail.get("status_code")
    return "" if status_code is None else f"HTTP {status_code}"
