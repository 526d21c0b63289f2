"""Load on a server of this machine: wrk, and the generator of `slipstream bench`.

wrk compares servers with each other: it takes a third of a core for 20,000 calls a second, where a
generator in Python would take the core that the server needs. Everything else uses Slipstream's own
generator, which keeps every latency, and can offer calls at a given rate.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from benchmarks.calls import HttpCall
from slipstream.bench.plan import LoadPlan
from slipstream.bench.result import LoadProgress, LoadResult
from slipstream.bench.runner import LoadRunner

_SCRIPT = Path(__file__).with_name("load.lua")
_HOW_TO_INSTALL = (
    "the load generator wrk is not on PATH. Install it, then try again:\n"
    "    apt-get install wrk        (Debian, Ubuntu)\n"
    "    dnf install wrk            (Fedora)\n"
    "    brew install wrk           (macOS)"
)


class LoadError(Exception):
    """wrk is missing or failed, or calls failed that must not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrkResult:
    """One load by wrk."""

    requests: int
    seconds: float
    refused: int
    """Answers with a status above 399."""
    broken: int
    """Failed connections, and calls without an answer."""
    bytes_per_answer: float
    latency: tuple[tuple[float, float], ...]
    """(percentile, microseconds), ascending; the last is the slowest answer."""
    generator_cpu_seconds: float

    @property
    def good_per_second(self) -> float:
        """Return the answers with status 200 per second."""
        return (self.requests - self.refused) / self.seconds

    @property
    def errors(self) -> int:
        """Return how many calls failed."""
        return self.refused + self.broken

    def at(self, percentile: float) -> float:
        """Return the latency at one of the recorded percentiles, in microseconds."""
        return dict(self.latency)[percentile]


def wrk_path() -> str:
    """Return the path of wrk, or raise LoadError with how to install it."""
    path = shutil.which("wrk")
    if path is None:
        raise LoadError(_HOW_TO_INSTALL)
    return path


def run_wrk(
    call: HttpCall, port: int, *, connections: int, seconds: int, pause_ms: float = 0.0
) -> WrkResult:
    """Repeat a call in a closed loop.

    With a pause (random, this is its mean) between an answer and the connection's next call.
    """
    headers = [part for name, value in call.headers.items() for part in ("-H", f"{name}: {value}")]
    command = [wrk_path(), "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s"]
    command += [*headers, "-s", str(_SCRIPT), f"http://127.0.0.1:{port}{call.path}"]
    cpu_before = _children_cpu()
    done = subprocess.run(
        [*command, "--", call.body.decode(), str(pause_ms)],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines or not lines[-1].startswith("{"):
        raise LoadError(f"wrk failed: {(done.stdout + done.stderr).strip()[-500:]}")
    report = orjson.loads(lines[-1])
    return WrkResult(
        requests=report["requests"],
        seconds=report["microseconds"] / 1e6,
        refused=report["refused"],
        broken=report["broken"],
        bytes_per_answer=report["bytes"] / max(report["requests"], 1),
        latency=tuple((percent, took) for percent, took in report["latency"]),
        generator_cpu_seconds=_children_cpu() - cpu_before,
    )


def run_load(
    calls: Sequence[HttpCall],
    port: int,
    *,
    seconds: float,
    warmup: float = 0.5,
    connections: int = 1,
    rate: float | None = None,
    deadline: float = 60.0,
    on_progress: Callable[[LoadProgress], None] = lambda _: None,
) -> LoadResult:
    """Make the calls in turn with Slipstream's generator; see LoadPlan for the arguments."""
    plan = LoadPlan(
        host="127.0.0.1",
        port=port,
        tls=False,
        requests=tuple(call.to_bytes(port) for call in calls),
        connections=connections,
        seconds=seconds,
        warmup=warmup,
        rate=rate,
        deadline=deadline,
    )
    runner = LoadRunner()
    results = list(runner.run([plan], lambda _, progress: on_progress(progress)))
    if runner.interrupted:
        raise KeyboardInterrupt
    return results[0]


def p50_us(calls: Sequence[HttpCall], port: int, seconds: float) -> float:
    """Return the median latency at one connection, in microseconds; no call may fail."""
    result = run_load(calls, port, seconds=seconds)
    if result.failed or result.latency_seconds is None:
        raise LoadError(f"calls failed: {result.failures or 'none was answered'}")
    return result.latency_seconds.p50 * 1e6


def timed(work: Callable[[], object], seconds: float) -> list[float]:
    """Repeat the work for `seconds` in this process; return the microseconds of each run."""
    took: list[float] = []
    end = time.perf_counter() + seconds
    while (started := time.perf_counter()) < end:
        work()
        took.append((time.perf_counter() - started) * 1e6)
    return took


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
