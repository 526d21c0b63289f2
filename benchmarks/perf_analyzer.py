"""The load generator for gRPC: NVIDIA's perf_analyzer, a C++ client in a venv of its own."""

from __future__ import annotations

import csv
import subprocess
from collections.abc import Mapping
from pathlib import Path

from benchmarks.servers import Program

PERF_ANALYZER = Program(
    name="perf-analyzer",
    what="the load generator",
    command=("perf_analyzer",),
    packages=("perf-analyzer",),
)

_WINDOWS = 3
"""It makes so many measurements a run and tells their mean."""
_ANY_SPREAD = "999"
"""Percent by which they may differ: otherwise it repeats them, up to some limit, on its own."""
_COLUMN = "Inferences/Second"
_LONGEST_ERROR = 500


class AnalyzerError(Exception):
    """perf_analyzer measured nothing; the message is what it printed last."""


def requests_per_second(
    python: Path,
    address: str,
    model: str,
    headers: Mapping[str, str],
    *,
    concurrency: int,
    seconds: float,
    work: Path,
) -> float:
    """Return how many unary calls of one row a server answers to `concurrency` callers.

    Args:
        python: the interpreter of its environment.
        address: of the gRPC service, HOST:PORT.
        model: its name. Inputs are made up by what the server says of it.
        headers: to send with each call.
        concurrency: calls in flight.
        seconds: about how long the load lasts.
        work: an existing folder for its report.

    Raises:
        AnalyzerError: nothing was measured.
    """
    report = work / "perf_analyzer.csv"
    report.unlink(missing_ok=True)
    window = max(1, round(seconds * 1e3 / _WINDOWS))
    (name,) = PERF_ANALYZER.command
    command = [str(python.parent / name), "-m", model, "-i", "grpc", "-u", address]
    command += [part for key, value in headers.items() for part in ("-H", f"{key}:{value}")]
    command += ["--concurrency-range", f"{concurrency}:{concurrency}", "-p", str(window)]
    command += ["-r", str(_WINDOWS), "-s", _ANY_SPREAD, "-f", str(report)]
    done = subprocess.run(
        command, cwd=work, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    # it does not tell by its exit status
    if not report.exists():
        raise AnalyzerError(" ".join(done.stdout.split())[-_LONGEST_ERROR:])
    with report.open(newline="") as lines:
        (row,) = csv.DictReader(lines)
    return float(row[_COLUMN])
