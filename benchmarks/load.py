"""The load generator: wrk, on each of N keep-alive connections one call at a time."""

from __future__ import annotations

import resource
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import orjson

from benchmarks.forms import Call

_SCRIPT = Path(__file__).with_name("load.lua")
_HOW_TO_INSTALL = (
    "the load generator wrk is not on PATH. Install it, then try again:\n"
    "    apt-get install wrk        (Debian, Ubuntu)\n"
    "    dnf install wrk            (Fedora)\n"
    "    brew install wrk           (macOS)"
)


class GeneratorError(Exception):
    """There is no wrk, or it failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What the generator saw."""

    requests: int
    seconds: float
    refused: int
    """Answers with a status above 399."""
    broken: int
    """Connections that failed, and answers that never came."""
    bytes_per_answer: float
    latency: tuple[tuple[float, float], ...]
    """(percentile, microseconds), rising; the last is the slowest answer."""
    generator_cpu_seconds: float

    @property
    def good_per_second(self) -> float:
        """Return the answers with status 200 per second."""
        return (self.requests - self.refused) / self.seconds

    def at(self, percentile: float) -> float:
        """Return the latency at one of the percentiles measured, in microseconds."""
        return dict(self.latency)[percentile]


def generator() -> str:
    """Return the path of wrk, or raise GeneratorError with how to install it."""
    path = shutil.which("wrk")
    if path is None:
        raise GeneratorError(_HOW_TO_INSTALL)
    return path


def drive(call: Call, port: int, *, connections: int, seconds: int, pause_ms: float = 0.0) -> Load:
    """Make the call as often as the server answers it, on that many connections.

    With a pause (the mean; each is random) between an answer and the connection's next call.
    """
    headers = [part for name, value in call.headers.items() for part in ("-H", f"{name}: {value}")]
    command = [generator(), "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s"]
    command += [*headers, "-s", str(_SCRIPT), f"http://127.0.0.1:{port}{call.path}"]
    before = _children_cpu()
    done = subprocess.run(
        [*command, "--", call.body.decode(), str(pause_ms)],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines or not lines[-1].startswith("{"):
        raise GeneratorError(f"wrk failed: {(done.stdout + done.stderr).strip()[-500:]}")
    said = orjson.loads(lines[-1])
    return Load(
        requests=said["requests"],
        seconds=said["microseconds"] / 1e6,
        refused=said["refused"],
        broken=said["broken"],
        bytes_per_answer=said["bytes"] / max(said["requests"], 1),
        latency=tuple((percent, took) for percent, took in said["latency"]),
        generator_cpu_seconds=_children_cpu() - before,
    )


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
