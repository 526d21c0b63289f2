"""The account, for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from tests.chaos.call_log import CallLog, Gap
from tests.chaos.checks import Check, FinalState, final_statuses, retried_runs

_SHOWN = 3


def report(
    console: Console,
    *,
    hits: Mapping[str, int],
    restarts: int,
    call_log: CallLog,
    after: FinalState,
    found: Sequence[Check],
) -> None:
    """Print everything."""
    console.print(
        Group(
            "",
            _pairs("faults", {**hits, "`up` started again": restarts}),
            "",
            _answers(call_log),
            "",
            _pairs(
                "runs", {**final_statuses(after), "took more than one attempt": retried_runs(after)}
            ),
            Text(f"longest past its lease: {after.max_overdue:.1f} s"),
            "",
            _gaps(after.longest_gaps, after.longest_gaps_of_callers),
            "",
            _checks(found),
            Text(_examples(found)),
            Text("\n".join(line for lines in after.open_in_gap.values() for line in lines)),
        )
    )


def _pairs(title: str, counts: Mapping[str, int]) -> RenderableType:
    table = _table(title, "times")
    for name, count in counts.items():
        table.add_row(name, f"{count:,}")
    return table


def _answers(call_log: CallLog) -> RenderableType:
    table = _table("callers", "answer", "times")
    for (pair, answer), count in sorted(call_log.answers.items()):
        table.add_row(pair, answer, f"{count:,}")
    return table


def _gaps(longest_gaps: Mapping[str, Gap], of_callers: Mapping[str, Gap]) -> RenderableType:
    table = _table("longest time without success", "seconds", "of the callers alone")
    for pair, gap in longest_gaps.items():
        away = (
            f" beside an outage of {gap.outage_seconds:.1f}" if gap.outage_seconds >= 0.05 else ""
        )
        seconds = f"{gap.seconds:.1f}{away}, from second {gap.since:.0f}"
        table.add_row(pair, seconds, f"{of_callers[pair].seconds:.1f}")
    return table


def _checks(found: Sequence[Check]) -> RenderableType:
    table = _table("promise", "cases", "broken", "")
    for check in found:
        word = "kept" if check.kept else "BROKEN" if check.broken else "untried"
        style = "green" if check.kept else "red"
        table.add_row(check.promise, f"{check.of:,}", f"{len(check.broken):,}", word, style=style)
    return table


def _examples(found: Sequence[Check]) -> str:
    lines = [
        f"{check.promise}, not: {', '.join(check.broken[:_SHOWN])}"
        for check in found
        if check.broken
    ]
    return "\n".join(["", *lines]) if lines else ""


def _table(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for at, heading in enumerate(headings):
        right = heading in {"times", "cases", "broken", "seconds"}
        table.add_column(heading, justify="right" if right else "left", no_wrap=at > 0)
    return table
