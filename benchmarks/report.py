"""The comparison as Markdown, as JSON, and as a table for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.comparison import (
    CONNECTIONS,
    FEW,
    MANY,
    SOME,
    UNDISTURBED_CORES,
    RoundResult,
    ServerSummary,
    bars,
    summarize,
)
from benchmarks.processes import MIB
from benchmarks.scenario import BAR_HEADINGS, to_json
from benchmarks.scenarios import markdown_section
from benchmarks.servers import HttpServer

HEADINGS = (
    *("server", f"p50 µs, {FEW} conn.", "p99 µs", f"req/s, {SOME} conn.", "p99 ms"),
    *(f"req/s, {MANY} conn.", "p99 ms", "slowest … fastest round", "CPU µs", "PSS MiB"),
    *("boot s", "errors", "other CPU"),
)
BRIEF_COLUMNS = (0, 1, 3, 5, 6, 8, 11, 12)
"""Columns that a terminal of 80 columns has room for."""
BRIEF_HEADINGS = (
    *("server", f"p50 µs\n{FEW} conn", f"req/s\n{SOME} conn", f"req/s\n{MANY} conn"),
    *(f"p99 ms\n{MANY} conn", "CPU µs", "errors", "others"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All results of one comparison."""

    date: str
    machine: Mapping[str, Any]
    rounds_per_server: int
    seconds: int
    servers: Sequence[HttpServer]
    rounds: Sequence[RoundResult]
    not_installed: Mapping[str, str]
    versions: Mapping[str, Mapping[str, str]]
    """Of the peers: server → package → version."""

    @property
    def summaries(self) -> list[ServerSummary]:
        """Return a summary of each server that was measured."""
        return summarize([server.name for server in self.servers], self.rounds)

    @property
    def missing(self) -> dict[str, str]:
        """Return the servers that could not be measured, and why."""
        measured = {summary.server for summary in self.summaries}
        failed = {r.server: r.failure for r in self.rounds if r.failure}
        reasons = {n: f"not installed: {why}" for n, why in self.not_installed.items()} | failed
        return {name: why for name, why in reasons.items() if name not in measured}

    @property
    def warning(self) -> str:
        """Return a warning if other processes used CPU time."""
        if all(summary.other_cores <= UNDISTURBED_CORES for summary in self.summaries):
            return ""
        return "(!) Other processes used that many cores during a server's most disturbed load."

    def json(self) -> bytes:
        """Return everything, the single loads included."""
        rounds = [asdict(one) for one in self.rounds]
        for sample in (sample for one in rounds for sample in one["samples"]):
            latency = dict(sample["load"].pop("latency"))
            sample["load"] |= {"p50_us": latency[50], "p99_us": latency[99]}
        return to_json(
            {
                "date": self.date,
                "machine": self.machine,
                "rounds": self.rounds_per_server,
                "seconds": self.seconds,
                "servers": {server.name: server.what for server in self.servers},
                "bars": [asdict(bar) | {"held": bar.held} for bar in bars(self.summaries)],
                "medians": self.summaries,
                "missing": self.missing,
                "versions": self.versions,
                "visits": rounds,
            }
        )

    def markdown(self, pictures: Sequence[Path]) -> str:
        """Return the page, with the pictures that lie beside it."""
        summaries = self.summaries
        lines = ["# Benchmarks", "", *self._method(), ""]
        lines += [*_markdown_table(HEADINGS, [cells(one) for one in summaries]), ""]
        lines += [self.warning, ""] if self.warning else []
        lines += [f"* **{server.name}**: {self._description(server)}" for server in self.servers]
        lines += [f"* **{name}** was not measured: {why}" for name, why in self.missing.items()]
        lines += [f"* **{one.server}**: {remark}" for one in summaries for remark in one.remarks]
        if held := bars(summaries):
            lines += ["", "## The bars", ""]
            lines += _markdown_table(BAR_HEADINGS, [bar.cells() for bar in held])
        for picture in pictures:
            lines += ["", f"![{picture.stem}]({picture.name})"]
        return "\n".join([*lines, "", *markdown_section()]) + "\n"

    def _method(self) -> Iterator[str]:
        machine = self.machine
        yield (
            f"{self.date}, commit {machine['commit']}. {machine['cores']} cores of an "
            f"{machine['processor']}, {machine['system']}, Python {machine['python']}, ONNX\n"
            f"Runtime {machine['packages']['onnxruntime']} on one thread everywhere."
        )
        yield ""
        yield (
            "A tiny model ([1, 4] floats), so the figures are those of the servers. wrk keeps 1, "
            "16 or 64 connections\nbusy from the same machine. Medians of "
            f"{self.rounds_per_server} round{'s' * (self.rounds_per_server > 1)} of "
            f"{self.seconds} s each; the servers take turns, every other round in\nreverse. Each "
            "server's answer is compared with ONNX Runtime's own before and after. `CPU` is user "
            "and system\ntime of all the server's processes for one request at 16 connections; "
            "memory is proportional (PSS), after the load.\n`make bench` measures it again."
        )

    def _description(self, server: HttpServer) -> str:
        package = server.packages[0].partition("[")[0] if server.packages else ""
        version = self.versions.get(server.name, {}).get(package)
        return f"{server.what} (version {version})" if version else server.what


def cells(summary: ServerSummary) -> tuple[str, ...]:
    """Return a server's cells below HEADINGS."""
    few, some, many = (summary.levels[connections] for connections in CONNECTIONS)
    disturbed = " (!)" if summary.other_cores > UNDISTURBED_CORES else ""
    return (
        summary.server,
        f"{few.p50_us:,.0f}",
        f"{few.p99_us:,.0f}",
        f"{some.good_per_second:,.0f}",
        f"{some.p99_us / 1e3:.1f}",
        f"{many.good_per_second:,.0f}",
        f"{many.p99_us / 1e3:.1f}",
        f"{many.slowest_round:,.0f} … {many.fastest_round:,.0f}",
        f"{some.cpu_us:,.0f}",
        f"{summary.pss_bytes / MIB:,.0f}",
        f"{summary.boot_seconds:.1f}",
        f"{summary.errors:,}",
        f"{summary.other_cores:.2f}{disturbed}",
    )


def _markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(headings) + " |"
    yield "|---|" + "---:|" * (len(headings) - 1)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
