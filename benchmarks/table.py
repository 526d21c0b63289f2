"""The results in rows and columns, for Markdown and for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.bars import Bar
from benchmarks.measure import CONNECTIONS, QUIET_CORES
from benchmarks.summary import Row

_FEW, _SOME, _MANY = CONNECTIONS
_MIB = 2**20

HEADINGS = (
    "server",
    f"p50 µs, {_FEW} conn.",
    "p99 µs",
    f"req/s, {_SOME} conn.",
    "p99 ms",
    f"req/s, {_MANY} conn.",
    "p99 ms",
    "slowest … fastest round",
    "CPU µs",
    "PSS MiB",
    "boot s",
    "errors",
    "other CPU",
)

_BRIEF = ("server", "p50 µs", "req/s", "req/s", "p99 ms", "CPU µs", "errors", "others")
_BRIEF_PLACES = (0, 1, 3, 5, 6, 8, 11, 12)
_BRIEF_BELOW = {1: f"{_FEW} conn", 2: f"{_SOME} conn", 3: f"{_MANY} conn", 4: f"{_MANY} conn"}

BAR_HEADINGS = ("Slipstream's", "demanded", "measured", "")


def cells(row: Row) -> tuple[str, ...]:
    """Return a server's cells, one for each of the headings."""
    few, some, many = (row.levels[connections] for connections in CONNECTIONS)
    return (
        row.server,
        f"{few.p50_us:,.0f}",
        f"{few.p99_us:,.0f}",
        f"{some.good_per_second:,.0f}",
        f"{some.p99_us / 1e3:.1f}",
        f"{many.good_per_second:,.0f}",
        f"{many.p99_us / 1e3:.1f}",
        f"{many.slowest_round:,.0f} … {many.fastest_round:,.0f}",
        f"{some.cpu_us:,.0f}",
        f"{row.pss_bytes / _MIB:,.0f}",
        f"{row.boot_seconds:.1f}",
        f"{row.errors:,}",
        f"{row.other_cores:.2f}" + (" (!)" if row.other_cores > QUIET_CORES else ""),
    )


def brief(rows: Sequence[Row]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return headings and cells of what a terminal of 80 columns has room for."""
    headings = tuple(
        f"{heading}\n{_BRIEF_BELOW.get(at, '')}".strip() for at, heading in enumerate(_BRIEF)
    )
    return headings, [tuple(cells(row)[place] for place in _BRIEF_PLACES) for row in rows]


def bar_cells(bar: Bar) -> tuple[str, ...]:
    """Return a bar's cells."""
    return (bar.what, bar.demand, f"{bar.measured:.2f}", "held" if bar.held else "missed")
