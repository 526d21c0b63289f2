"""Slipstream side by side with what its users would have otherwise (`make bench`).

    python -m benchmarks                  Slipstream and the baselines: a quarter of an hour
    python -m benchmarks --peers          and five other inference servers: half an hour
    python -m benchmarks --quick          a look, into the cache folder: one round of a second
    python -m benchmarks --servers slipstream,fastapi-tuned --rounds 3

Writes README.md, results.json and SVG pictures. Numbers from a machine that does something else
as well are worth nothing: the column `other CPU` tells.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.status import Status
from rich.table import Table

from benchmarks.bars import bars
from benchmarks.installation import SetUpError, install
from benchmarks.load import GeneratorError, generator
from benchmarks.machine import describe
from benchmarks.measure import STEPS, Plan, Visit, visit
from benchmarks.model import Model, tiny_model
from benchmarks.options import cache_folder, count
from benchmarks.plots import draw
from benchmarks.processes import ROOT
from benchmarks.report import Report
from benchmarks.servers import BASELINES, PEER_SERVERS, PEERS, SLIPSTREAM, Server
from benchmarks.table import BAR_HEADINGS, bar_cells, brief
from benchmarks.venvs import InstallError, Venvs

_REFRESHES_PER_SECOND = 2
"""Drawing takes CPU time, too."""
_STYLES = {"missed": "red", "held": "green", SLIPSTREAM: "bold"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The command line."""

    rounds: int
    seconds: int
    servers: tuple[str, ...]
    quick: bool
    output: Path
    cache: Path


class Bench:
    """One run, from the installation to the pictures."""

    def __init__(self, options: Options, console: Console) -> None:
        self._options = options
        self._console = console
        self._venvs = Venvs(options.cache / "venvs")
        self._not_installed: dict[str, str] = {}

    def run(self) -> bool:
        """Measure, write, tell; return whether every server was measured."""
        generator()
        with tempfile.TemporaryDirectory(prefix="slipstream-benchmark-") as folder:
            model = tiny_model(Path(folder))
            servers = self._servers(Path(folder), model)
            self._install(servers)
            report = self._measure(servers, model, Path(folder))
        self._write(report)
        return not report.missing

    def _servers(self, folder: Path, model: Model) -> list[Server]:
        servers = [s for s in (*BASELINES, *PEER_SERVERS) if s.name in self._options.servers]
        if SLIPSTREAM in self._options.servers:
            with self._console.status("Making an installation of Slipstream"):
                servers.insert(0, install(folder, model))
        return servers

    def _install(self, servers: Sequence[Server]) -> None:
        for server in (server for server in servers if server.packages):
            with self._console.status("") as status:

                def said(line: str, name: str = server.name, status: Status = status) -> None:
                    status.update(f"Installing {name}: [dim]{escape(line)}[/]")

                try:
                    self._venvs.install(server, said)
                except InstallError as error:
                    self._not_installed[server.name] = str(error)
                    self._console.print(f"[red]{server.name} does not install:[/] {error}")

    def _measure(self, servers: Sequence[Server], model: Model, folder: Path) -> Report:
        present = [server for server in servers if server.name not in self._not_installed]
        visits: list[Visit] = []
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(
            *columns,
            TimeElapsedColumn(),
            console=self._console,
            refresh_per_second=_REFRESHES_PER_SECOND,
        ) as progress:
            task = progress.add_task("", total=self._options.rounds * len(present) * STEPS)
            plan = Plan(
                model=model,
                seconds=self._options.seconds,
                patient=not self._options.quick,
                said=lambda what: progress.update(task, description=what),
                stepped=lambda: progress.advance(task),
            )
            for number in range(1, self._options.rounds + 1):
                for server in present if number % 2 else reversed(present):
                    work = folder / f"{server.name}-{number}"
                    visits.append(visit(server, number, self._venvs.python(server), work, plan))
                    progress.console.print(_line(visits[-1]), highlight=False)
            progress.update(task, description="done")
        return Report(
            date=datetime.now(UTC).date().isoformat(),
            machine=describe(ROOT),
            rounds=self._options.rounds,
            seconds=self._options.seconds,
            servers=servers,
            visits=visits,
            not_installed=self._not_installed,
            versions={s.name: self._venvs.versions(s) for s in present if s.packages},
        )

    def _write(self, report: Report) -> None:
        output = self._options.output
        output.mkdir(parents=True, exist_ok=True)
        pictures = draw(report.rows, output)
        (output / "README.md").write_text(report.markdown(pictures))
        (output / "results.json").write_bytes(report.json())
        self._show(*brief(report.rows))
        if report.disturbed:
            self._console.print(f"(!) {report.disturbed}", style="yellow")
        for name, why in report.missing.items():
            self._console.print(f"{name} was not measured: {why}", style="red", markup=False)
        self._show(BAR_HEADINGS, map(bar_cells, bars(report.rows)))
        self._console.print(f"Written to {output}: README.md, results.json, pictures")

    def _show(self, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
        for at, heading in enumerate(headings):
            table.add_column(heading, justify="right" if at else "left", no_wrap=True)
        for row in rows:
            table.add_row(*row, style=_STYLES.get(row[-1]) or _STYLES.get(row[0]))
        if table.row_count:
            self._console.print()
            self._console.print(table)


def _line(seen: Visit) -> str:
    if seen.failure:
        return f"{seen.round}  {seen.server:18} [red]{escape(seen.failure)}[/]"
    rates = "".join(f"{sample.load.good_per_second:10,.0f}" for sample in seen.samples)
    p50 = seen.samples[0].load.at(50)
    return f"[dim]{seen.round}[/]  {seen.server:18} p50 {p50:8,.0f} µs {rates} req/s"


def _options(arguments: Sequence[str] | None) -> Options:
    every = (SLIPSTREAM, *(server.name for server in (*BASELINES, *PEER_SERVERS)))
    description, _, examples = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        "python -m benchmarks",
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=count, help="how often each server is visited (5)")
    parser.add_argument("--seconds", type=count, help="length of each load, whole seconds (5)")
    parser.add_argument("--servers", help=f"some of {','.join(every)}")
    parser.add_argument("--peers", action="store_true", help="install and measure the peers, too")
    parser.add_argument("--quick", action="store_true", help="one round of one second")
    parser.add_argument("--output", type=Path, help="folder (docs/benchmarks)")
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="folder (%(default)s)")
    given = parser.parse_args(arguments)
    names = tuple(given.servers.split(",")) if given.servers else every
    if unknown := set(names) - set(every):
        parser.error(f"--servers: {', '.join(sorted(unknown))} is none of {', '.join(every)}")
    if not given.servers and not given.peers:
        names = tuple(name for name in names if name not in PEERS)
    usual = given.cache / "quick" if given.quick else ROOT / "docs" / "benchmarks"
    return Options(
        rounds=given.rounds or (1 if given.quick else 5),
        seconds=given.seconds or (1 if given.quick else 5),
        servers=names,
        quick=given.quick,
        output=given.output or usual,
        cache=given.cache,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; return 0, 1 if a server could not be measured, or 3 if nothing can be measured here."""
    options = _options(arguments)
    console = Console()
    try:
        return 0 if Bench(options, console).run() else 1
    except (GeneratorError, SetUpError) as error:
        console.print(str(error), style="red", markup=False, highlight=False)
        return 3
    except KeyboardInterrupt:
        console.print("Stopped; nothing is written.")
        return 130


if __name__ == "__main__":
    sys.exit(main())
