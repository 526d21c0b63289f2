"""Unary gRPC side by side, called by perf_analyzer, NVIDIA's C++ client.

    python -m benchmarks.grpc                          five rounds: about three minutes
    python -m benchmarks.grpc --rounds 1 --seconds 1   a smoke test

An inference server, and the gateway's gRPC port with a key, take turns with a grpc.aio server that
runs no model and always gives the same answer. Prints medians over the rounds, and their ratio to
that echo's. perf_analyzer is installed into the cache folder the first time.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import grpc
from rich.console import Console

from benchmarks.installation import create_manage_key, install
from benchmarks.models import OnnxModel, tiny_model
from benchmarks.processes import RunningServer, ServerFailedError
from benchmarks.scenario import FAILURES, at_least, cache_folder, positive, print_bars, print_table
from benchmarks.servers import Program
from benchmarks.venvs import InstallError, Venvs
from protos import open_inference_pb2 as pb
from protos.methods import method_path

CONCURRENCY = (1, 16)
ECHO, SERVER, GATEWAY = "grpc.aio echo", "inference server", "gateway"
MIN_RATIOS: Mapping[str, float] = {SERVER: 0.9, GATEWAY: 0.4}
"""Of the echo's requests per second."""
MODEL = "tiny"
PERF_ANALYZER = Program(
    name="perf-analyzer",
    what="the load generator",
    command=("perf_analyzer",),
    packages=("perf-analyzer",),
)

_READY_TIMEOUT_SECONDS = 5.0
_WINDOWS = 3
"""Measurements within a run, of which perf_analyzer reports the mean."""
_ANY_SPREAD = "999"
"""Percent by which they may differ; with less it would repeat them."""


class AnalyzerError(Exception):
    """perf_analyzer measured nothing; the message is the end of its output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcTarget:
    """A running server."""

    name: str
    address: str
    headers: Mapping[str, str]

    def check(self) -> None:
        """Raise ServerFailedError unless the model is ready."""
        with grpc.insecure_channel(self.address) as channel:
            model_ready = channel.unary_unary(
                method_path("ModelReady"),
                pb.ModelReadyRequest.SerializeToString,
                pb.ModelReadyResponse.FromString,
            )
            try:
                response = model_ready(
                    pb.ModelReadyRequest(name=MODEL),
                    timeout=_READY_TIMEOUT_SECONDS,
                    metadata=tuple(self.headers.items()),
                )
            except grpc.RpcError as error:
                raise ServerFailedError(error.details()) from None
        if not response.ready:
            raise ServerFailedError(f"{MODEL} is not ready")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; return 0, 1 if a bar is missed, or 3 if nothing can be measured here."""
    options = _options(arguments)
    console = Console()
    venvs = Venvs(options.cache / "venvs")
    rates: dict[tuple[str, int], list[float]] = {}
    try:
        with console.status("Installing perf_analyzer"):
            venvs.install(PERF_ANALYZER, lambda _line: None)
        with (
            tempfile.TemporaryDirectory(prefix="slipstream-grpc-") as folder,
            ExitStack() as stack,
        ):
            with console.status("Starting the servers"):
                targets = _start(Path(folder), tiny_model(Path(folder)), stack)
            for number in range(1, options.rounds + 1):
                for target in targets if number % 2 else reversed(targets):
                    for concurrency in CONCURRENCY:
                        rate = _requests_per_second(
                            venvs.python(PERF_ANALYZER),
                            target,
                            concurrency=concurrency,
                            seconds=options.seconds,
                            work=Path(folder),
                        )
                        rates.setdefault((target.name, concurrency), []).append(rate)
                        line = f"{target.name:16} {concurrency:3} {rate:9,.0f} req/s"
                        console.print(f"[dim]{number}[/]  {line}", highlight=False)
    except (*FAILURES, InstallError, AnalyzerError) as error:
        console.print(str(error), style="red", markup=False, highlight=False)
        return 3
    except KeyboardInterrupt:
        return 130
    medians = {key: statistics.median(each) for key, each in rates.items()}
    print_table(
        console,
        ("req/s", *(f"{concurrency} in flight" for concurrency in CONCURRENCY)),
        [
            (name, *(f"{medians[name, concurrency]:,.0f}" for concurrency in CONCURRENCY))
            for name in (ECHO, SERVER, GATEWAY)
        ],
    )
    bars = [
        at_least(
            f"{name}'s req/s at {concurrency} / {ECHO}'s",
            limit,
            medians[name, concurrency] / medians[ECHO, concurrency],
        )
        for name, limit in MIN_RATIOS.items()
        for concurrency in CONCURRENCY
    ]
    print_bars(console, bars)
    return 0 if all(bar.held for bar in bars) else 1


def _start(folder: Path, model: OnnxModel, stack: ExitStack) -> list[GrpcTarget]:
    """Start all three; `stack` stops them."""
    gateway = install(folder, model)
    key = {"x-api-key": create_manage_key(folder)}
    echo = Program(
        name="grpc-echo",
        what="a stock grpc.aio server, no model",
        command=("{python}", "-m", "benchmarks.apps.grpc_echo", "{port}"),
    )
    server = Program(
        name="inference-server",
        what="Slipstream's inference server, called directly",
        command=(
            *("{python}", "-m", "inference_server", "--store", str(folder / "state" / "models")),
            *("--model", MODEL, "--version", "1"),
            *("--socket", "{work}/socket", "--tcp", "127.0.0.1:{port}"),
        ),
    )
    targets = []
    for name, program in ((ECHO, echo), (SERVER, server), (GATEWAY, gateway)):
        running = RunningServer(program, model, Path(sys.executable), folder / program.name)
        stack.callback(running.stop)
        port = running.second_port if program is gateway else running.port
        headers = key if program is gateway else {}
        target = GrpcTarget(name=name, address=f"127.0.0.1:{port}", headers=headers)
        running.wait_for(target.check)
        targets.append(target)
    return targets


def _requests_per_second(
    python: Path, target: GrpcTarget, *, concurrency: int, seconds: float, work: Path
) -> float:
    """Return how many unary calls of one row the server answers, `concurrency` in flight.

    perf_analyzer makes up the inputs from the model's metadata.
    """
    report = work / "perf_analyzer.csv"
    report.unlink(missing_ok=True)
    window = max(1, round(seconds * 1e3 / _WINDOWS))
    command = [str(python.parent / "perf_analyzer"), "-m", MODEL, "-i", "grpc"]
    command += ["-u", target.address]
    command += [part for key, value in target.headers.items() for part in ("-H", f"{key}:{value}")]
    command += ["--concurrency-range", f"{concurrency}:{concurrency}", "-p", str(window)]
    command += ["-r", str(_WINDOWS), "-s", _ANY_SPREAD, "-f", str(report)]
    done = subprocess.run(
        command, cwd=work, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if not report.exists():  # its exit status does not tell
        raise AnalyzerError(" ".join(done.stdout.split())[-500:])
    with report.open(newline="") as lines:
        (row,) = csv.DictReader(lines)
    return float(row["Inferences/Second"])


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    description, _, rest = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        "python -m benchmarks.grpc",
        description=description,
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=positive, default=5, help="(%(default)s)")
    parser.add_argument("--seconds", type=positive, default=3, help="of each load (%(default)s)")
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="folder (%(default)s)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
