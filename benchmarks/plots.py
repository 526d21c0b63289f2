"""The pictures of the comparison, of `overload`, `soak`, `growth` and `hosts`, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator
from numpy.typing import ArrayLike, NDArray

from benchmarks.comparison import CONNECTIONS, ServerSummary
from benchmarks.servers import ECHO, PEERS, SLIPSTREAM

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
    "svg.hashsalt": "slipstream",  # the same figures give the same file
    "svg.fonttype": "none",
}
OURS = "#d6336c"
_ECHO_COLOR = "#222222"
_BASELINE_COLORS = ("#1864ab", "#1c7ed6", "#4dabf7", "#91c8f6")
_PEER_COLORS = ("#2b8a3e", "#e67700", "#7048e8", "#868e96", "#0b7285")
_NINES = (0.0, 50.0, 90.0, 99.0, 99.9)
_LAST_SHARE = 1 - 1e-6
_MARGIN = 0.15
_LIMIT: dict[str, Any] = {"color": "#868e96", "linewidth": 1, "linestyle": "--"}  # Any: as STYLE


def draw_comparison(rows: Sequence[ServerSummary], folder: Path) -> list[Path]:
    """Draw latency by percentile, throughput and CPU time; return the paths of the SVG files."""
    if not rows:
        return []
    pictures = {"latency": _latency, "throughput": _throughput, "cpu": _cpu}
    with mpl.rc_context(STYLE):
        return [_save(draw(rows), folder / f"{name}.svg") for name, draw in pictures.items()]


def draw_overload(
    path: Path,
    *,
    offered: Sequence[float],
    goodput: Sequence[float],
    latency_ms: Mapping[str, Sequence[float]],
    timeout_ms: float,
) -> Path:
    """Draw goodput and latencies over the offered load; loads are multiples of the capacity."""
    with mpl.rc_context(STYLE):
        figure, (left, right) = _two_panels()
        left.plot(offered, goodput, marker="o", color=OURS, label="goodput")
        left.plot(offered, [min(1.0, load) for load in offered], label="ideal", **_LIMIT)
        left.set_ylim(0, 1.2)
        left.set_title("goodput / capacity")
        for width, (name, values) in zip((1.2, 2.4), latency_ms.items(), strict=True):
            right.plot(offered, values, marker="o", color=OURS, linewidth=width, label=name)
        right.axhline(timeout_ms, label="timeout", **_LIMIT)
        right.set_yscale("log")
        right.set_title("latency of accepted calls, ms")
        for axes in (left, right):
            axes.legend()
            axes.set_xlabel("offered load / capacity")
        return _save(figure, path)


def draw_soak(
    path: Path,
    *,
    latency_ms: Mapping[str, Sequence[float]],
    memory: Mapping[str, Sequence[tuple[float, float]]],
) -> Path:
    """Draw the latency of each minute, and (minute, MiB) of each process."""
    with mpl.rc_context(STYLE):
        figure, (left, right) = _two_panels()
        for width, (name, values) in zip((1.2, 2.4), latency_ms.items(), strict=True):
            minutes = range(1, len(values) + 1)
            left.plot(minutes, values, color=OURS, linewidth=width, label=name)
        left.set_title("latency by minute, ms")
        for title, points in memory.items():
            right.plot([at for at, _ in points], [mib for _, mib in points], label=title)
        right.set_title("memory (PSS), MiB")
        for axes in (left, right):
            axes.set_ylim(bottom=0)
            axes.legend()
            axes.set_xlabel("minutes")
        return _save(figure, path)


def draw_growth(
    path: Path,
    *,
    models: Sequence[int],
    seconds: Mapping[str, Sequence[float]],
    memory_mib: Sequence[float],
) -> Path:
    """Draw how long start-up takes, and the memory of all processes, by the number of models."""
    with mpl.rc_context(STYLE):
        figure, (left, right) = _two_panels()
        for width, (name, values) in zip((2.4, 1.2), seconds.items(), strict=True):
            left.plot(models, values, marker="o", color=OURS, linewidth=width, label=name)
        left.set_title("start-up, s")
        left.legend()
        right.plot(models, memory_mib, marker="o", color=OURS)
        right.set_title("memory of all processes (PSS), MiB")
        for axes in (left, right):
            axes.set_ylim(bottom=0)
            axes.set_xlabel("models")
        return _save(figure, path)


def draw_hosts(
    path: Path,
    *,
    hosts: Sequence[int],
    transactions: Sequence[float],
    cores: Mapping[str, Sequence[float]],
) -> Path:
    """Draw what hosts without calls ask of the database, and what all of them use."""
    with mpl.rc_context(STYLE):
        figure, (left, right) = _two_panels()
        left.plot(hosts, transactions, marker="o", color=OURS)
        left.set_title("transactions a second")
        for width, (name, values) in zip((2.4, 1.2), cores.items(), strict=True):
            right.plot(hosts, values, marker="o", color=OURS, linewidth=width, label=name)
        right.set_title("cores")
        right.legend()
        for axes in (left, right):
            axes.set_ylim(bottom=0)
            axes.set_xticks(hosts)
            axes.set_xlabel("hosts")
        return _save(figure, path)


def _two_panels() -> tuple[Figure, Sequence[Axes]]:
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    panels: Sequence[Axes] = figure.subplots(1, 2)
    return figure, panels


def _save(figure: Figure, path: Path) -> Path:
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
    # Without trailing spaces, which git would complain about.
    path.write_text("\n".join(map(str.rstrip, path.read_text().splitlines())) + "\n")
    return path


def _latency(rows: Sequence[ServerSummary]) -> Figure:
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


def _throughput(rows: Sequence[ServerSummary]) -> Figure:
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


def _cpu(rows: Sequence[ServerSummary]) -> Figure:
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
    axes.set_title(f"CPU time of all processes for one request, {connections} connections")
    return figure


def _colors(rows: Sequence[ServerSummary]) -> dict[str, str]:
    baselines, peers = iter(_BASELINE_COLORS), iter(_PEER_COLORS)
    peer_names = {server.name for server in PEERS}
    colors = {SLIPSTREAM: OURS, ECHO: _ECHO_COLOR}
    for row in rows:
        if row.server not in colors:
            colors[row.server] = next(peers if row.server in peer_names else baselines)
    return colors


def _width(row: ServerSummary) -> float:
    return 2.8 if row.server == SLIPSTREAM else 1.4


def _duration(us: float) -> str:
    return f"{us:g} µs" if us < 1e3 else f"{us / 1e3:g} ms" if us < 1e6 else f"{us / 1e6:g} s"


def _stretch(shares: ArrayLike) -> NDArray[np.float64]:
    """Space 0, 90 %, 99 % and 99.9 % equally."""
    rest: NDArray[np.float64] = 1 - np.clip(np.asarray(shares, float), 0, _LAST_SHARE)
    return -np.log10(rest)


def _shrink(places: ArrayLike) -> NDArray[np.float64]:
    rest: NDArray[np.float64] = np.power(10.0, -np.asarray(places, float))
    return 1 - rest
