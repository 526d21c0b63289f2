"""The figures and the bars, for people."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from tests.abuse.abusers import Outcomes
from tests.abuse.good_client import RATE, Figures

MIN_SUCCESS = 0.999
MAX_SLOWER = 5.0
MAX_GROWTH = 1.1
_MIB = 2**20


Memory = Counter[str]
"""Bytes by kind of process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one run has shown. Memory is in bytes, of all processes."""

    quiet: Figures
    abused: Figures
    outcomes: Outcomes
    memory_at_first: Memory
    memory_before: Memory
    memory_at_the_end: Memory
    memory_after: Memory
    gateways_ended: int


def report(console: Console, result: Result) -> bool:
    """Print everything; return whether every bar was met."""
    console.print()
    console.print(_outcomes(result.outcomes))
    console.print()
    console.print(_figures(result))
    console.print()
    console.print(_memory(result))
    bars = _bars(result)
    console.print()
    console.print(_checks(bars))
    return all(met for _, _, met in bars)


def _bars(result: Result) -> list[tuple[str, str, bool]]:
    quiet, abused = result.quiet, result.abused
    slower = abused.percentile(99) / quiet.percentile(99)
    growth = result.memory_after.total() / result.memory_before.total()
    return [
        (
            f"fast calls succeed: {MIN_SUCCESS:.1%}",
            f"{abused.success:.3%}",
            abused.success >= MIN_SUCCESS,
        ),
        (f"their p99 is within {MAX_SLOWER:g} x", f"{slower:.1f} x", slower <= MAX_SLOWER),
        (
            f"memory returns to within {MAX_GROWTH - 1:.0%}",
            f"{growth - 1:+.1%}",
            growth <= MAX_GROWTH,
        ),
        ("no gateway ends", f"{result.gateways_ended}", result.gateways_ended == 0),
    ]


def _outcomes(outcomes: Outcomes) -> Table:
    table = _table("abuse", "times", "what came of it")
    for name, counter in outcomes.items():
        words = ", ".join(f"{word}: {count:,}" for word, count in counter.most_common())
        table.add_row(name, f"{counter.total():,}", words or "nothing ended")
    return table


def _figures(result: Result) -> Table:
    table = _table(f"fast calls, {RATE} a second", "quiet", "abused")
    columns = (result.quiet, result.abused)
    table.add_row("calls", *(f"{one.calls:,}" for one in columns))
    table.add_row("failed", *(_words(one.failed) for one in columns))
    for share in (50, 99, 99.9, 100):
        name = "max" if share == 100 else f"p{share:g}"
        table.add_row(name, *(f"{one.percentile(share) * 1e3:.1f} ms" for one in columns))
    table.add_row("other calls", *(_words(one.busy) for one in columns))
    return table


def _memory(result: Result) -> Table:
    table = _table("MiB", "before the warm-up", "before the abuse", "at its end", "after it")
    columns = (
        *(result.memory_at_first, result.memory_before),
        *(result.memory_at_the_end, result.memory_after),
    )
    for kind in sorted({kind for column in columns for kind in column}):
        table.add_row(kind, *(f"{column[kind] / _MIB:.0f}" for column in columns))
    table.add_row("all", *(f"{column.total() / _MIB:.0f}" for column in columns))
    return table


def _words(counter: dict[str, int]) -> str:
    return ", ".join(f"{count:,} x {word}" for word, count in counter.items()) or "none"


def _checks(bars: list[tuple[str, str, bool]]) -> Table:
    table = _table("bar", "measured", "")
    for bar, measured, met in bars:
        table.add_row(bar, measured, "met" if met else "MISSED", style="green" if met else "red")
    return table


def _table(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading)
    return table
