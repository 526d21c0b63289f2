"""Unary gRPC side by side, called by perf_analyzer, the C++ client of NVIDIA's.

    python -m benchmarks.grpc                          five rounds: about three minutes
    python -m benchmarks.grpc --rounds 1 --seconds 1   a look

An inference server and the gateway's front door (with a key), in turn with a grpc.aio server that
runs nothing and always answers the same. Prints medians over the rounds, and what part they are of
that echo's. perf_analyzer is installed into the cache folder the first time.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from rich.console import Console
from rich.table import Table

from benchmarks.bars import least
from benchmarks.installation import SetUpError, install, manage_key, model_store
from benchmarks.model import Model, tiny_model
from benchmarks.options import cache_folder, count
from benchmarks.perf_analyzer import PERF_ANALYZER, AnalyzerError, requests_per_second
from benchmarks.processes import ServerFailedError, Started
from benchmarks.servers import Program
from benchmarks.table import BAR_HEADINGS, bar_cells
from benchmarks.venvs import InstallError, Venvs
from protos import open_inference_pb2 as pb
from protos.methods import method_path

CONCURRENCY = (1, 16)
ECHO, SERVER, FRONT_DOOR = "grpc.aio echo", "inference server", "front door"
BARS: Mapping[str, float] = {SERVER: 0.9, FRONT_DOOR: 0.4}
"""The least part of the echo's requests per second."""
MODEL = "tiny"

_ANSWER_SECONDS = 5.0

Rates = dict[tuple[str, int], list[float]]
"""Requests per second of each round, by target and concurrency."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A server that runs, and how it is called."""

    name: str
    address: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def ask(self) -> None:
        """Raise ServerFailedError unless it answers for the model."""
        request = pb.ModelReadyRequest(name=MODEL)
        metadata = tuple(self.headers.items())
        with grpc.insecure_channel(self.address) as channel:
            ready = channel.unary_unary(
                method_path("ModelReady"),
                pb.ModelReadyRequest.SerializeToString,
                pb.ModelReadyResponse.FromString,
            )
            try:
                answer = ready(request, timeout=_ANSWER_SECONDS, metadata=metadata)
            except grpc.RpcError as error:
                raise ServerFailedError(error.details()) from None
        if not answer.ready:
            raise ServerFailedError(f"{MODEL} is not ready")


def start(folder: Path, model: Model, running: ExitStack) -> list[Target]:
    """Start all three; they end with `running`."""
    gateway = install(folder, model)
    key = {"x-api-key": manage_key(folder)}

    def started(name: str, program: Program, port: Callable[[Started], int]) -> Target:
        process = Started(program, model, Path(sys.executable), folder / program.name)
        running.callback(process.stop)
        headers = key if program is gateway else {}
        target = Target(name=name, address=f"127.0.0.1:{port(process)}", headers=headers)
        process.until(target.ask)
        return target

    return [
        started(ECHO, _echo(), lambda process: process.port),
        started(SERVER, _inference_server(model_store(folder)), lambda process: process.port),
        started(FRONT_DOOR, gateway, lambda process: process.second_port),
    ]


def _echo() -> Program:
    command = ("{python}", "-m", "benchmarks.apps.grpc_echo", "{port}")
    return Program(name="grpc-echo", what="a stock grpc.aio server, no model", command=command)


def _inference_server(store: Path) -> Program:
    model = ("--store", str(store), "--model", MODEL, "--version", "1")
    addresses = ("--socket", "{work}/socket", "--tcp", "127.0.0.1:{port}")
    return Program(
        name="inference-server",
        what="Slipstream's inference server, called directly",
        command=("{python}", "-m", "inference_server", *model, *addresses),
    )


def measure(targets: Sequence[Target], python: Path, options: Options, console: Console) -> Rates:
    """Return what each round gave; every other one goes the other way round."""
    rates: Rates = {(target.name, many): [] for target in targets for many in CONCURRENCY}
    with tempfile.TemporaryDirectory(prefix="perf-analyzer-") as work:
        for number in range(1, options.rounds + 1):
            for target in targets if number % 2 else reversed(targets):
                for many in CONCURRENCY:
                    rate = requests_per_second(
                        python,
                        target.address,
                        MODEL,
                        target.headers,
                        concurrency=many,
                        seconds=options.seconds,
                        work=Path(work),
                    )
                    rates[target.name, many].append(rate)
                    console.print(
                        f"[dim]{number}[/]  {target.name:16} {many:3} {rate:9,.0f} req/s",
                        highlight=False,
                    )
    return rates


def show(rates: Rates, console: Console) -> bool:
    """Print medians and bars; return whether every bar is held."""
    medians = {key: statistics.median(each) for key, each in rates.items()}
    table = _table("req/s", *(f"{many} in flight" for many in CONCURRENCY))
    for name in (ECHO, SERVER, FRONT_DOOR):
        table.add_row(name, *(f"{medians[name, many]:,.0f}" for many in CONCURRENCY))
    bars = [
        least(
            f"{name}'s req/s at {many} / {ECHO}'s", limit, medians[name, many] / medians[ECHO, many]
        )
        for name, limit in BARS.items()
        for many in CONCURRENCY
    ]
    demands = _table(*BAR_HEADINGS)
    for bar in bars:
        demands.add_row(*bar_cells(bar), style=None if bar.held else "red")
    console.print()
    console.print(table)
    console.print()
    console.print(demands)
    return all(bar.held for bar in bars)


def _table(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for at, heading in enumerate(headings):
        table.add_column(heading, justify="right" if at else "left", no_wrap=True)
    return table


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The command line."""

    rounds: int
    seconds: int
    cache: Path


def _options(arguments: Sequence[str] | None) -> Options:
    description, _, rest = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        "python -m benchmarks.grpc",
        description=description,
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=count, default=5, help="(%(default)s)")
    parser.add_argument("--seconds", type=count, default=3, help="of each load (%(default)s)")
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="folder (%(default)s)")
    return Options(**vars(parser.parse_args(arguments)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; return 0, 1 if a bar is missed, or 3 if nothing can be measured here."""
    options = _options(arguments)
    console = Console()
    venvs = Venvs(options.cache / "venvs")
    try:
        with console.status("Installing perf_analyzer"):
            venvs.install(PERF_ANALYZER, lambda _line: None)
        with (
            tempfile.TemporaryDirectory(prefix="slipstream-grpc-") as folder,
            ExitStack() as running,
        ):
            with console.status("Starting the servers"):
                targets = start(Path(folder), tiny_model(Path(folder)), running)
            rates = measure(targets, venvs.python(PERF_ANALYZER), options, console)
        return 0 if show(rates, console) else 1
    except (InstallError, SetUpError, ServerFailedError, AnalyzerError) as error:
        console.print(str(error), style="red", markup=False, highlight=False)
        return 3
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
