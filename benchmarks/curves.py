"""The pictures of the scenarios: goodput over the load that is offered, latency over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.plots import OURS, STYLE, save

if TYPE_CHECKING:
    from benchmarks.load import Load
    from benchmarks.memory import Weighing
    from benchmarks.offered import Window
    from benchmarks.overload import Level

_LIMIT: dict[str, Any] = {  # Any: what matplotlib takes
    "color": "#868e96",
    "linewidth": 1,
    "linestyle": "--",
}
_MIB = 2**20


def draw_overload(path: Path, *, levels: Sequence[Level], capacity: float, timeout: float) -> Path:
    """Draw goodput and p99 over the offered load; `timeout` in seconds."""
    offered = [level.multiple for level in levels]
    with mpl.rc_context(STYLE):
        figure, (left, right) = _panels()
        shares = [level.seen.good_per_second / capacity for level in levels]
        left.plot(offered, shares, marker="o", color=OURS, label="goodput")
        left.plot(offered, [min(1.0, multiple) for multiple in offered], label="ideal", **_LIMIT)
        left.set_ylim(0, 1.2)
        left.set_title("goodput / capacity")
        left.legend()
        for percentile, width in ((50, 1.2), (99, 2.4)):
            times = [_milliseconds(level.seen.whole, percentile) for level in levels]
            right.plot(
                offered, times, marker="o", color=OURS, linewidth=width, label=f"p{percentile}"
            )
        right.axhline(timeout * 1e3, label="timeout", **_LIMIT)
        right.set_yscale("log")
        right.set_title("latency of accepted calls, ms")
        right.legend()
        for axes in (left, right):
            axes.set_xlabel("offered load / capacity")
        return save(figure, path)


def draw_soak(path: Path, *, minutes: Sequence[Load], weighings: Sequence[Weighing]) -> Path:
    """Draw the latency of each minute, and the memory of each process over time."""
    with mpl.rc_context(STYLE):
        figure, (left, right) = _panels()
        for percentile, width in ((50, 1.2), (99, 2.4)):
            times = [minute.at(percentile) / 1e3 for minute in minutes]
            left.plot(
                range(1, len(minutes) + 1),
                times,
                color=OURS,
                linewidth=width,
                label=f"p{percentile}",
            )
        left.set_ylim(bottom=0)
        left.set_title("latency by minute, ms")
        left.legend()
        for title, points in _by_process(weighings).items():
            right.plot([at / 60 for at, _ in points], [mib for _, mib in points], label=title)
        right.set_ylim(bottom=0)
        right.set_title("memory (PSS), MiB")
        right.legend()
        for axes in (left, right):
            axes.set_xlabel("minutes")
        return save(figure, path)


def _panels() -> tuple[Figure, Sequence[Axes]]:
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    panels: Sequence[Axes] = figure.subplots(1, 2)
    return figure, panels


def _milliseconds(window: Window, percentile: float) -> float:
    return window.latency.get(percentile, float("nan")) / 1e3


def _by_process(weighings: Sequence[Weighing]) -> Mapping[str, list[tuple[float, float]]]:
    points: dict[str, list[tuple[float, float]]] = {}
    for weighing in weighings:
        for weight in weighing.processes:
            points.setdefault(weight.title, []).append((weighing.at, weight.pss / _MIB))
    return points
