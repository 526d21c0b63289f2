"""The pictures: latency by percentile, throughput and CPU time by server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator
from numpy.typing import ArrayLike, NDArray

from benchmarks.measure import CONNECTIONS
from benchmarks.servers import ECHO_SERVER, PEERS, SLIPSTREAM
from benchmarks.summary import Row

STYLE: dict[Any, Any] = {  # Any: matplotlib lists the names of all its settings as a type
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titlesize": 11,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "legend.frameon": False,
    "svg.hashsalt": "slipstream",  # the same numbers give the same file
    "svg.fonttype": "none",
}
OURS = "#d6336c"
_ECHO = "#222222"
_BASELINES = ("#1864ab", "#1c7ed6", "#4dabf7", "#91c8f6")
_PEERS = ("#2b8a3e", "#e67700", "#7048e8", "#868e96", "#0b7285")
_NINES = (0.0, 50.0, 90.0, 99.0, 99.9)
_LAST_SHARE = 1 - 1e-6
_MARGIN = 0.15


def draw(rows: Sequence[Row], folder: Path) -> list[Path]:
    """Write the SVG files into `folder`; return their paths."""
    if not rows:
        return []
    pictures = {"latency": _latency, "throughput": _throughput, "cpu": _cpu}
    paths = []
    with mpl.rc_context(STYLE):
        for name, picture in pictures.items():
            paths.append(save(picture(rows), folder / f"{name}.svg"))
    return paths


def save(figure: Figure, path: Path) -> Path:
    """Write a figure, drawn in STYLE, as SVG; return `path`."""
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
    # Lines that end in spaces are no good in a repository.
    path.write_text("\n".join(map(str.rstrip, path.read_text().splitlines())) + "\n")
    return path


def _latency(rows: Sequence[Row]) -> Figure:
    figure = Figure(figsize=(11, 5), layout="constrained")
    colors = _colors(rows)
    panels: Sequence[Axes] = figure.subplots(1, 2, sharey=True)
    for axes, connections in zip(panels, (CONNECTIONS[0], CONNECTIONS[-1]), strict=True):
        for row in rows:
            points = [(p, us) for p, us in row.levels[connections].latency if p <= _NINES[-1]]
            axes.plot(
                [p / 100 for p, _ in points],
                [us for _, us in points],
                label=row.server,
                color=colors[row.server],
                linewidth=_width(row),
                zorder=3 if row.server == SLIPSTREAM else 2,
            )
        axes.set_xscale("function", functions=(_stretch, _shrink))
        axes.xaxis.set_major_locator(FixedLocator([nine / 100 for nine in _NINES]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda part, _: f"{part * 100:g} %"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlim(0, _NINES[-1] / 100)
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda us, _: _duration(us)))
        axes.set_title(f"{connections} connection{'s' * (connections > 1)}")
        axes.set_xlabel("share of requests that took at most …")
    panels[0].set_ylabel("latency")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center")
    return figure


def _throughput(rows: Sequence[Row]) -> Figure:
    figure = Figure(figsize=(8.5, 5), layout="constrained")
    axes = figure.subplots()
    colors = _colors(rows)
    ranked = sorted(rows, key=lambda row: -row.levels[CONNECTIONS[-1]].good_per_second)
    for row in ranked:
        axes.plot(
            CONNECTIONS,
            [row.levels[connections].good_per_second for connections in CONNECTIONS],
            label=row.server,
            color=colors[row.server],
            linewidth=_width(row),
            marker="o",
            markersize=4,
            zorder=3 if row.server == SLIPSTREAM else 2,
        )
    axes.set_xscale("log", base=2)
    axes.set_xticks(CONNECTIONS, [str(connections) for connections in CONNECTIONS])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:,.0f}"))
    axes.set_xlabel("connections")
    axes.set_ylabel("requests a second")
    axes.set_title("Throughput over concurrency")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right center")
    return figure


def _cpu(rows: Sequence[Row]) -> Figure:
    connections = CONNECTIONS[1]
    ranked = sorted(rows, key=lambda row: -row.levels[connections].cpu_us)
    figure = Figure(figsize=(8.5, 1.2 + 0.34 * len(rows)), layout="constrained")
    axes = figure.subplots()
    colors = _colors(rows)
    for place, row in enumerate(ranked):
        spent = row.levels[connections].cpu_us
        axes.plot(spent, place, "o", color=colors[row.server], markersize=9)
        axes.annotate(
            f"{spent:,.0f} µs",
            (spent, place),
            xytext=(9, 0),
            textcoords="offset points",
            verticalalignment="center",
        )
    axes.set_yticks(range(len(ranked)), [row.server for row in ranked])
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda us, _: _duration(us)))
    axes.margins(x=_MARGIN)
    axes.set_title(f"CPU time of the whole server for one request, {connections} connections")
    return figure


def _colors(rows: Sequence[Row]) -> dict[str, str]:
    baselines, peers = iter(_BASELINES), iter(_PEERS)
    colors = {SLIPSTREAM: OURS, ECHO_SERVER: _ECHO}
    for row in rows:
        if row.server not in colors:
            colors[row.server] = next(peers if row.server in PEERS else baselines)
    return colors


def _width(row: Row) -> float:
    return 2.8 if row.server == SLIPSTREAM else 1.4


def _duration(us: float) -> str:
    return f"{us:g} µs" if us < 1e3 else f"{us / 1e3:g} ms" if us < 1e6 else f"{us / 1e6:g} s"


def _stretch(shares: ArrayLike) -> NDArray[np.float64]:
    """Give each further nine the same room: 0, 90 %, 99 % and 99.9 % are equally far apart."""
    rest: NDArray[np.float64] = 1 - np.clip(np.asarray(shares, float), 0, _LAST_SHARE)
    return -np.log10(rest)


def _shrink(places: ArrayLike) -> NDArray[np.float64]:
    rest: NDArray[np.float64] = np.power(10.0, -np.asarray(places, float))
    return 1 - rest
