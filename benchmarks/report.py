"""The results as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from benchmarks.bars import bars
from benchmarks.measure import QUIET_CORES, Visit
from benchmarks.scenarios import section
from benchmarks.servers import Server
from benchmarks.summary import Row, failures, summarize
from benchmarks.table import BAR_HEADINGS, HEADINGS, bar_cells, cells


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that one run gave."""

    date: str
    machine: Mapping[str, Any]
    """Any: what the machine module says, JSON."""
    rounds: int
    seconds: int
    servers: Sequence[Server]
    visits: Sequence[Visit]
    not_installed: Mapping[str, str]
    versions: Mapping[str, Mapping[str, str]]
    """Of the peers: server → package → version."""

    @property
    def names(self) -> list[str]:
        """Return the servers in their order."""
        return [server.name for server in self.servers]

    @property
    def rows(self) -> list[Row]:
        """Return the medians, one row a server."""
        return summarize(self.names, self.visits)

    @property
    def missing(self) -> dict[str, str]:
        """Return the servers without a row, and why."""
        refused = {name: f"did not install: {why}" for name, why in self.not_installed.items()}
        return refused | failures(self.names, self.visits)

    @property
    def disturbed(self) -> str:
        """Return a warning if other processes took CPU time."""
        if all(row.other_cores <= QUIET_CORES for row in self.rows):
            return ""
        return "Other processes took that many cores during the server's most disturbed load."

    def json(self) -> bytes:
        """Return everything, the single loads included."""
        document = {
            "date": self.date,
            "machine": self.machine,
            "rounds": self.rounds,
            "seconds": self.seconds,
            "servers": {server.name: server.what for server in self.servers},
            "bars": [asdict(bar) | {"held": bar.held} for bar in bars(self.rows)],
            "medians": [_row_document(row) for row in self.rows],
            "missing": self.missing,
            "versions": self.versions,
            "visits": [_visit_document(visit) for visit in self.visits],
        }
        options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS | orjson.OPT_APPEND_NEWLINE
        return orjson.dumps(_rounded(document), option=options)

    def markdown(self, pictures: Sequence[Path]) -> str:
        """Return the page for people, with the pictures that lie beside it."""
        lines = ["# Benchmarks", "", *self._how(), ""]
        lines += [*_grid(HEADINGS, [cells(row) for row in self.rows]), ""]
        lines += [f"(!) {self.disturbed}", ""] if self.disturbed else []
        lines += [f"* **{name}**: {what}" for name, what in self._described()]
        lines += [f"* **{name}** was not measured: {why}" for name, why in self.missing.items()]
        lines += [f"* **{row.server}**: {remark}" for row in self.rows for remark in row.remarks]
        if held := bars(self.rows):
            lines += ["", "## The bars", "", *_grid(BAR_HEADINGS, map(bar_cells, held))]
        for picture in pictures:
            lines += ["", f"![{picture.stem}]({picture.name})"]
        lines += ["", *section()]
        return "\n".join(lines) + "\n"

    def _how(self) -> Iterator[str]:
        machine = self.machine
        yield (
            f"{self.date}, commit {machine['commit']}. {machine['cores']} cores of an "
            f"{machine['processor']}, {machine['system']}, Python {machine['python']}, ONNX "
            f"Runtime {machine['packages']['onnxruntime']} on one thread everywhere."
        )
        yield ""
        yield (
            f"A tiny model ([1, 4] floats), so the numbers are the servers' own. wrk keeps 1, 16 "
            f"or 64 connections busy from the same machine. Medians of {self.rounds} "
            f"round{'s' * (self.rounds > 1)} of {self.seconds} s each; the servers take turns, "
            "every other round backwards. Each server's answer is compared with ONNX Runtime's "
            "own before and after. `CPU` is user and system time of the server's whole process "
            "tree for one request at 16 connections; memory is proportional (PSS), after the "
            "load. `make bench` measures it again."
        )

    def _described(self) -> Iterator[tuple[str, str]]:
        for server in self.servers:
            own = self.versions.get(server.name, {})
            package = server.packages[0].partition("[")[0] if server.packages else ""
            version = f" (version {own[package]})" if package in own else ""
            yield server.name, f"{server.what}{version}"


def _grid(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(headings) + " |"
    yield "|---|" + "---:|" * (len(headings) - 1)
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def _row_document(row: Row) -> dict[str, Any]:
    document = asdict(row)
    for level in document["levels"].values():
        level["latency"] = {f"{percentile:g}": us for percentile, us in level["latency"]}
    return document


def _visit_document(seen: Visit) -> dict[str, Any]:
    document = asdict(seen)
    for sample in document["samples"]:
        latency = dict(sample["load"].pop("latency"))
        sample["load"] |= {"p50_us": latency[50], "p99_us": latency[99]}
    return document


def _rounded(value: Any) -> Any:
    """Return the document with numbers as long as they mean something."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value
