"""Draws a dashboard with matplotlib: what each panel says of itself, and what Prometheus answers.

A drawing is no picture of Grafana. It shows what Grafana would get.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator
from PIL import Image

from tests.dashboards.panels import Dashboard, Panel, legend
from tests.services.prometheus import Series

_STYLE: dict[Any, Any] = {  # Any: matplotlib lists the names of all its settings as a type
    "font.family": "sans-serif",
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#adb5bd",
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titlesize": 9.5,
    "axes.grid": True,
    "grid.color": "#ececec",
    "legend.frameon": False,
    "xtick.color": "#666666",
    "ytick.color": "#444444",
}
_COLUMNS = 2
_WIDTH, _HEADER, _GRAPH, _GAP, _LINE = 12.8, 0.6, 1.35, 0.75, 0.135
"""Of a picture: its width, title, graphs, space between rows, and lines of legends; inches."""
_LONG = 44
"""Characters of a legend's line, above which it has a row of its own."""
_LINES, _LINES_IF_LONG = 12, 8
"""Of a legend; further ones are counted."""
_COLORS = 64
_TICK_SECONDS = 30
_COUNTS = ((1e9, " G"), (1e6, " M"), (1e3, " k"), (0, ""))
_BYTES = ((2**30, " GiB"), (2**20, " MiB"), (2**10, " KiB"), (0, " B"))
_TIMES = (
    (86400, " d"),
    (3600, " h"),
    (60, " min"),
    (1, " s"),
    (1e-3, " ms"),
    (1e-6, " µs"),
    (0, " s"),
)

Answer = Callable[[str], Sequence[Series]]
"""Returns the series of a query."""


@dataclass(frozen=True)
class _Graph:
    """A panel with what it shows."""

    panel: Panel
    lines: list[tuple[str, Series]]
    """What the legend says of them, and the series."""

    @property
    def is_long(self) -> bool:
        """Whether the legend has one column."""
        return any(len(label) > _LONG for label, _ in self.lines)

    @property
    def legend_rows(self) -> int:
        """How many rows its legend has."""
        if self.is_long:
            return min(len(self.lines), _LINES_IF_LONG)
        return -(-min(len(self.lines), _LINES) // 2)


def draw(dashboard: Dashboard, answer: Answer, path: Path, about: str, **chosen: str) -> list[str]:
    """Write the picture of a dashboard; return the panels without data.

    `chosen` are the values of its variables, and `about` says what they are.
    """
    graphs = [_filled(panel, answer, chosen) for panel in dashboard.panels.values()]
    rows = [graphs[start : start + _COLUMNS] for start in range(0, len(graphs), _COLUMNS)]
    heights = [_GRAPH + _GAP + _LINE * max(graph.legend_rows for graph in row) for row in rows]
    height = _HEADER + sum(heights)
    times = [at for graph in graphs for _, series in graph.lines for at, _ in series.points]
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, height))
        title = f"{dashboard.title}: {about}" if about else dashboard.title
        figure.text(0.02, 1 - 0.15 / height, title, va="top", size=14, weight="bold")
        top = height - _HEADER
        for row, its_height in zip(rows, heights, strict=True):
            for column, graph in enumerate(row):
                left, width = 0.06 + column / _COLUMNS, 1 / _COLUMNS - 0.085
                bottom = (top - 0.25 - _GRAPH) / height
                axes = figure.add_axes((left, bottom, width, _GRAPH / height))
                _draw_graph(axes, graph)
                axes.set_xlim(min(times), max(times))
            top -= its_height
        figure.savefig(path, dpi=100)
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(_COLORS).save(path, optimize=True)
    return [f"{dashboard.title} | {graph.panel.title}" for graph in graphs if not graph.lines]


def _filled(panel: Panel, answer: Answer, chosen: Mapping[str, str]) -> _Graph:
    shown = readable(panel.unit)
    lines = []
    for words in panel.queries:
        for series in answer(panel.query(words, **chosen)):
            known = [value for _, value in series.points if not math.isnan(value)]
            if known:
                label = (
                    f"{legend(words, series).strip()}: {shown(known[-1])}, max {shown(max(known))}"
                )
                lines.append((label, series))
    return _Graph(panel, lines)


def _draw_graph(axes: Axes, graph: _Graph) -> None:
    shown = readable(graph.panel.unit)
    axes.set_title(graph.panel.title)
    axes.tick_params(length=0)
    if not graph.lines:
        axes.text(0.5, 0.5, "No data", transform=axes.transAxes, ha="center", color="#868e96")
        axes.set_yticks([])
        axes.set_xticks([])
        return
    colors = mpl.colormaps["tab20"].colors[::2] + mpl.colormaps["tab20"].colors[1::2]
    for number, (label, series) in enumerate(graph.lines):
        axes.plot(
            *zip(*series.points, strict=True), color=colors[number % len(colors)], label=label
        )
    highest = max(
        value for _, series in graph.lines for _, value in series.points if not math.isnan(value)
    )
    axes.set_ylim(0, 1.08 * highest or 1)
    for threshold in graph.panel.thresholds:
        if threshold <= axes.get_ylim()[1]:  # as Grafana, which does not make room for it
            axes.axhline(threshold, color="#e03131", linewidth=1, linestyle="--")
    if graph.panel.unit == "bytes":
        axes.yaxis.set_major_locator(MultipleLocator(2 ** math.ceil(math.log2(highest / 4))))
    else:
        axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: shown(value)))
    axes.xaxis.set_major_locator(MultipleLocator(_TICK_SECONDS))
    axes.xaxis.set_major_formatter(FuncFormatter(_clock))
    handles, labels = axes.get_legend_handles_labels()
    most = _LINES_IF_LONG if graph.is_long else _LINES
    if len(labels) > most:
        labels[most - 1] += f"  (and {len(labels) - most} more)"
    axes.legend(
        handles[:most],
        labels[:most],
        loc="upper left",
        bbox_to_anchor=(-0.02, -0.13),
        ncols=1 if graph.is_long else 2,
        fontsize=7,
        handlelength=1,
        columnspacing=1.5,
        borderpad=0,
        labelspacing=0.3,
    )


def readable(unit: str) -> Callable[[float], str]:
    """Return what writes values of a unit of Grafana."""
    match unit:
        case "s":
            return lambda value: _scaled(value, _TIMES)
        case "bytes":
            return lambda value: _scaled(value, _BYTES)
        case "percentunit":
            return lambda value: f"{100 * value:.3g} %"
        case "reqps" | "ops":
            word = "req/s" if unit == "reqps" else "ops/s"
            return lambda value: f"{_scaled(value, _COUNTS)} {word}"
        case "short":
            return lambda value: _scaled(value, _COUNTS)
    raise ValueError(f"unit: expected one that is drawn here, got {unit!r}")


def _scaled(value: float, units: Sequence[tuple[float, str]]) -> str:
    rounded = float(f"{value:.3g}")
    size, name = next(unit for unit in units if abs(rounded) >= unit[0])
    return f"{value / (size or 1):.3g}{name}"


def _clock(at: float, _: object) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")
