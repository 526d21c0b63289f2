"""Draws a dashboard with matplotlib: what each panel says of itself, and what Prometheus answers.

A drawing is no picture of Grafana. It shows what Grafana would get.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
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
_WIDTH, _HEIGHT, _HEADER = 12.8, 2.9, 0.5
"""Of the picture, of a row of panels, and of the title, in inches."""
_LINES = 8
"""Of a legend; further ones are counted."""
_NAME_LENGTH = 40
_COLORS = 64
_COUNTS = ((1e9, " G"), (1e6, " M"), (1e3, " k"), (1, ""), (1e-3, " m"), (1e-6, " µ"))
_BYTES = ((2**30, " GiB"), (2**20, " MiB"), (2**10, " KiB"), (1, " B"))
_TIMES = ((86400, " d"), (3600, " h"), (60, " min"), (1, " s"), (1e-3, " ms"), (1e-6, " µs"))

Answer = Callable[[str], Sequence[Series]]
"""Returns the series of a query."""


def draw(dashboard: Dashboard, answer: Answer, path: Path, **chosen: str) -> list[str]:
    """Write the picture of a dashboard; return the panels without data.

    `chosen` are the values of its variables.
    """
    rows = -(-len(dashboard.panels) // _COLUMNS)
    height = _HEADER + rows * _HEIGHT
    empty = []
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, height))
        figure.suptitle(
            dashboard.title,
            x=0.02,
            y=1 - 0.15 / height,
            ha="left",
            va="top",
            size=14,
            weight="bold",
        )
        for place, panel in enumerate(dashboard.panels.values()):
            row, column = divmod(place, _COLUMNS)
            bottom = height - _HEADER - (row + 1) * _HEIGHT
            axes = figure.add_axes(
                (
                    0.06 + column / _COLUMNS,
                    (bottom + 1.1) / height,
                    1 / _COLUMNS - 0.085,
                    (_HEIGHT - 1.45) / height,
                )
            )
            if not _draw_panel(axes, panel, answer, chosen):
                empty.append(f"{dashboard.title} | {panel.title}")
        figure.savefig(path, dpi=100)
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(_COLORS).save(path, optimize=True)
    return empty


def _draw_panel(axes: Axes, panel: Panel, answer: Answer, chosen: Mapping[str, str]) -> bool:
    shown = readable(panel.unit)
    lines = [
        (_legend(words, series), series)
        for words in panel.queries
        for series in answer(panel.query(words, **chosen))
    ]
    axes.set_title(panel.title)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: shown(value)))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(_clock))
    axes.tick_params(length=0)
    if not lines:
        axes.text(0.5, 0.5, "No data", transform=axes.transAxes, ha="center", color="#868e96")
        axes.set_yticks([])
        axes.set_xticks([])
        return False
    colors = mpl.colormaps["tab10"].colors + mpl.colormaps["Set2"].colors
    for number, (name, series) in enumerate(lines):
        known = [value for _, value in series.points if value == value]  # noqa: PLR0124 - NaN
        highest, last = (shown(max(known)), shown(known[-1])) if known else ("-", "-")
        label = f"{name}  last {last}, max {highest}" if number < _LINES else None
        axes.plot(
            *zip(*series.points, strict=True), color=colors[number % len(colors)], label=label
        )
    axes.set_ylim(bottom=0, top=max(axes.get_ylim()[1], 1e-9))
    for threshold in panel.thresholds:
        if threshold <= axes.get_ylim()[1]:  # as Grafana, which does not make room for it
            axes.axhline(threshold, color="#e03131", linewidth=1, linestyle="--")
    handles, labels = axes.get_legend_handles_labels()
    if len(lines) > _LINES:
        labels[-1] += f"  (and {len(lines) - _LINES} more)"
    axes.legend(
        handles,
        labels,
        loc="upper left",
        bbox_to_anchor=(-0.02, -0.13),
        ncols=2,
        fontsize=7,
        handlelength=1,
        columnspacing=1,
        borderpad=0,
        labelspacing=0.3,
    )
    return True


def readable(unit: str) -> Callable[[float], str]:
    """Return what writes values of a unit of Grafana."""
    match unit:
        case "s":
            return lambda value: _scaled(value, _TIMES, " s")
        case "bytes":
            return lambda value: _scaled(value, _BYTES, " B")
        case "percentunit":
            return lambda value: f"{100 * value:.3g} %"
        case "reqps" | "ops":
            word = "req/s" if unit == "reqps" else "ops/s"
            return lambda value: f"{_scaled(value, _COUNTS)} {word}"
        case "short":
            return lambda value: _scaled(value, _COUNTS)
    raise ValueError(f"unit: expected one that is drawn here, got {unit!r}")


def _scaled(value: float, units: Sequence[tuple[float, str]], of_zero: str = "") -> str:
    for size, name in units:
        if abs(value) >= size:
            return f"{value / size:.3g}{name}"
    return f"{value:.2g}{of_zero}"


def _clock(at: float, _: object) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")


def _legend(words: str, series: Series) -> str:
    name = legend(words, series)
    return name if len(name) <= _NAME_LENGTH else f"{name[: _NAME_LENGTH - 1]}…"
