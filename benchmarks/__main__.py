"""Slipstream side by side with what its users would use instead (`make bench`).

    python -m benchmarks                  Slipstream and the baselines: a quarter of an hour
    python -m benchmarks --peers          and five other inference servers: half an hour
    python -m benchmarks --quick          a smoke test, into the cache folder: one round of a second
    python -m benchmarks --servers slipstream,fastapi-tuned --rounds 3

Writes README.md, results.json and SVG pictures. Figures from a busy machine are worth nothing: see
the column `other CPU`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.status import Status

from benchmarks.comparison import RoundResult, bars, measure_round
from benchmarks.installation import SetupError, install
from benchmarks.load import LoadError, wrk_path
from benchmarks.models import tiny_model
from benchmarks.plots import draw_comparison
from benchmarks.processes import ROOT
from benchmarks.report import BRIEF_COLUMNS, BRIEF_HEADINGS, Report, cells
from benchmarks.scenario import cache_folder, describe_machine, positive, print_bars, print_table
from benchmarks.servers import BASELINES, PEERS, SLIPSTREAM, HttpServer
from benchmarks.venvs import InstallError, Venvs


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; return 0, 1 if a server could not be measured, or 3 if nothing can be measured here."""
    options = _options(arguments)
    console = Console()
    try:
        wrk_path()
        with (
            tempfile.TemporaryDirectory(prefix="slipstream-benchmark-") as folder,
            console.status("preparing") as status,
        ):
            report = _measure(options, Path(folder), console, status)
    except (LoadError, SetupError) as error:
        console.print(str(error), style="red", markup=False, highlight=False)
        return 3
    except KeyboardInterrupt:
        console.print("Stopped; nothing is written.")
        return 130
    _write(report, options.output, console)
    return 1 if report.missing else 0


def _measure(options: argparse.Namespace, folder: Path, console: Console, status: Status) -> Report:
    model = tiny_model(folder)
    servers = [server for server in (*BASELINES, *PEERS) if server.name in options.servers]
    if SLIPSTREAM in options.servers:
        servers.insert(0, install(folder, model))
    venvs = Venvs(options.cache / "venvs")
    not_installed = _install(servers, venvs, console, status)
    present = [server for server in servers if server.name not in not_installed]
    rounds: list[RoundResult] = []
    for number in range(1, options.rounds + 1):
        for server in present if number % 2 else reversed(present):
            result = measure_round(
                server,
                number,
                model=model,
                python=venvs.python(server),
                work=folder / f"{server.name}-{number}",
                seconds=options.seconds,
                attempts=1 if options.quick else 3,
                say=status.update,
            )
            rounds.append(result)
            console.print(_line(result), highlight=False)
    return Report(
        date=datetime.now(UTC).date().isoformat(),
        machine=describe_machine(),
        rounds_per_server=options.rounds,
        seconds=options.seconds,
        servers=servers,
        rounds=rounds,
        not_installed=not_installed,
        versions={s.name: venvs.versions(s) for s in present if s.packages},
    )


def _install(
    servers: Sequence[HttpServer], venvs: Venvs, console: Console, status: Status
) -> dict[str, str]:
    """Install the peers; return those that failed, and why."""
    failed = {}
    for server in (server for server in servers if server.packages):

        def show(line: str, name: str = server.name) -> None:
            status.update(f"Installing {name}: [dim]{escape(line)}[/]")

        try:
            venvs.install(server, show)
        except InstallError as error:
            failed[server.name] = str(error)
            console.print(f"[red]{server.name} does not install:[/] {error}")
    return failed


def _line(result: RoundResult) -> str:
    if result.failure:
        return f"{result.round}  {result.server:18} [red]{escape(result.failure)}[/]"
    rates = "".join(f"{sample.load.good_per_second:10,.0f}" for sample in result.samples)
    p50 = result.samples[0].load.at(50)
    return f"[dim]{result.round}[/]  {result.server:18} p50 {p50:8,.0f} µs {rates} req/s"


def _write(report: Report, output: Path, console: Console) -> None:
    summaries = report.summaries
    output.mkdir(parents=True, exist_ok=True)
    pictures = draw_comparison(summaries, output)
    (output / "README.md").write_text(report.markdown(pictures))
    (output / "results.json").write_bytes(report.json())
    brief = [[cells(one)[column] for column in BRIEF_COLUMNS] for one in summaries]
    print_table(console, BRIEF_HEADINGS, brief, slipstream="bold")
    if report.warning:
        console.print(report.warning, style="yellow")
    for name, why in report.missing.items():
        console.print(f"{name} was not measured: {why}", style="red", markup=False)
    print_bars(console, bars(summaries))
    console.print(f"Written to {output}: README.md, results.json, pictures")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    peers = [server.name for server in PEERS]
    default = [SLIPSTREAM, *(server.name for server in BASELINES)]
    every = [*default, *peers]
    description, _, examples = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        "python -m benchmarks",
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=positive, help="rounds of each server (5)")
    parser.add_argument("--seconds", type=positive, help="length of each load, whole seconds (5)")
    parser.add_argument("--servers", help=f"some of {','.join(every)}")
    parser.add_argument("--peers", action="store_true", help="install and measure the peers too")
    parser.add_argument("--quick", action="store_true", help="one round of one second")
    parser.add_argument("--output", type=Path, help="folder (docs/benchmarks)")
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="folder (%(default)s)")
    options = parser.parse_args(arguments)
    if options.servers:
        options.servers = options.servers.split(",")
        if unknown := set(options.servers) - set(every):
            parser.error(f"--servers: {', '.join(sorted(unknown))}: expected {', '.join(every)}")
    else:
        options.servers = every if options.peers else default
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.seconds = options.seconds or (1 if options.quick else 5)
    folder = options.cache / "quick" if options.quick else ROOT / "docs" / "benchmarks"
    options.output = options.output or folder
    return options


if __name__ == "__main__":
    sys.exit(main())
