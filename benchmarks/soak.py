"""Half an hour of steady calls: nothing fails, nothing grows, nothing slows down.

The bar: 30 minutes at 70 % of the capacity give no error, no growth of the memory, and a 99th
percentile in the last minute that is at most 1.5 times that of the first.

    python -m benchmarks.soak --minutes 30 --output soak.json

A tiny model behind REST, fast mode. The capacity is the throughput of 64 connections in a closed
loop. Then each of 128 connections pauses at random between its calls, as long as it takes to offer
the share of the capacity. The memory (PSS: shared pages count in proportion) of each process is
read every ten seconds. Its growth is that of a line through the values after the first minutes,
when caches and pools have filled.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from statistics import fmean

from benchmarks.calls import FLOW, HttpCall, json_call
from benchmarks.installation import Installation
from benchmarks.load import WrkResult, run_wrk
from benchmarks.models import tiny_model
from benchmarks.plots import draw_soak
from benchmarks.processes import (
    MIB,
    MemorySample,
    ProcessMemory,
    RunningServer,
    memory_growth,
)
from benchmarks.scenario import Context, Findings, at_most, positive, run_scenario

OPTIONS = {
    "--minutes": {"type": positive, "default": 30, "help": "how long (%(default)s)"},
    "--share": {"type": float, "default": 0.7, "help": "of the capacity (%(default)s)"},
}

_CONNECTIONS = 64
_PAUSING_CONNECTIONS = 128
_CAPACITY_SECONDS = 10
_TRIAL_SECONDS = 5
_TRIALS = 4
_MINUTE = 60
_MEMORY_SECONDS = 10.0
_SETTLING_MINUTES = 5
_MAX_GROWTH_PERCENT = 1.0
"""Over the measured time: what a fit through noise gives where nothing grows."""


def measure(context: Context) -> Findings:
    """Find the capacity, then call at a share of it for so many minutes."""
    options = context.options
    context.say("starting")
    model = tiny_model(context.folder)
    with Installation(context.folder, model) as installation:
        port = installation.port
        path = installation.deploy_model("tiny", model.path)
        call = json_call(FLOW, model, path, installation.headers)
        installation.server.check(call)
        context.say(f"capacity: {_CONNECTIONS} connections")
        capacity = run_wrk(call, port, connections=_CONNECTIONS, seconds=_CAPACITY_SECONDS)
        rate = options.share * capacity.good_per_second
        pause = _PAUSING_CONNECTIONS / rate * 1e3
        for _ in range(_TRIALS):
            context.say(f"finding the pause for {rate:,.0f} calls a second: {pause:.2f} ms")
            pause = _next_pause(pause, rate, _paced(call, port, _TRIAL_SECONDS, pause))
        minutes: list[WrkResult] = []
        with _memory_samples(installation.server) as samples:
            for minute in range(1, options.minutes + 1):
                context.say(f"minute {minute}: {rate:,.0f} calls a second")
                load = _paced(call, port, _MINUTE, pause)
                minutes.append(load)
                pause = _next_pause(pause, rate, load)
                context.tell(
                    f"minute {minute:>3}  {load.good_per_second:8,.0f} req/s  p50 "
                    f"{load.at(50) / 1e3:6.2f} ms  p99 {load.at(99) / 1e3:7.2f} ms  errors "
                    f"{load.errors}"
                )
        installation.server.check(call)
    return _findings(capacity, minutes, samples)


@contextmanager
def _memory_samples(server: RunningServer) -> Iterator[list[MemorySample]]:
    """Read the memory again and again, on a thread, into the list that is yielded."""
    samples: list[MemorySample] = []
    started, stop = time.monotonic(), threading.Event()

    def run() -> None:
        while True:
            samples.append(server.memory(time.monotonic() - started))
            if stop.wait(_MEMORY_SECONDS):
                return

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        stop.set()
        thread.join()


def _next_pause(pause: float, rate: float, load: WrkResult) -> float:
    """Return the pause that would have offered `rate` where `pause` gave `load`."""
    wanted, taken = (_PAUSING_CONNECTIONS / each * 1e3 for each in (rate, load.good_per_second))
    return max(0.0, pause + wanted - taken)


def _paced(call: HttpCall, port: int, seconds: int, pause: float) -> WrkResult:
    return run_wrk(call, port, connections=_PAUSING_CONNECTIONS, seconds=seconds, pause_ms=pause)


def _findings(
    capacity: WrkResult, minutes: Sequence[WrkResult], samples: Sequence[MemorySample]
) -> Findings:
    settling = min(_SETTLING_MINUTES, len(minutes) / 3) * _MINUTE
    settled = [sample for sample in samples if sample.at >= settling]
    growth, first, last = memory_growth(settled), samples[0], samples[-1]
    calls = sum(load.requests for load in minutes)
    rate = calls / sum(load.seconds for load in minutes)
    span = (settled[-1].at - settled[0].at) / _MINUTE
    notes = [
        f"{calls:,} calls, {rate:,.0f} a second: {rate / capacity.good_per_second:.0%} of "
        f"{capacity.good_per_second:,.0f}",
        f"memory: {growth / MIB:+.2f} MiB in the last {span:.0f} minutes, fitted",
    ]
    if {p.pid for p in first.processes} != {p.pid for p in last.processes}:
        notes.append("(!) processes started or ended")
    return Findings(
        headings=("process", "PSS MiB, first", "last", "RSS MiB, first", "last"),
        rows=[_cells(process, last) for process in first.processes],
        bars=[
            at_most("errors", 0, sum(load.errors for load in minutes)),
            at_most(
                "growth of the memory, %",
                _MAX_GROWTH_PERCENT,
                growth / fmean(sample.pss for sample in settled) * 100,
            ),
            at_most(
                "p99 of the last minute / the first's", 1.5, minutes[-1].at(99) / minutes[0].at(99)
            ),
        ],
        figures={"capacity": capacity, "minutes": minutes, "memory": samples},
        notes=notes,
        draw=partial(
            draw_soak,
            latency_ms={
                f"p{percentile}": [minute.at(percentile) / 1e3 for minute in minutes]
                for percentile in (50, 99)
            },
            memory=_by_process(samples),
        ),
    )


def _by_process(samples: Sequence[MemorySample]) -> Mapping[str, list[tuple[float, float]]]:
    """Return (minute, MiB) by process."""
    points: dict[str, list[tuple[float, float]]] = {}
    for sample in samples:
        for process in sample.processes:
            points.setdefault(process.title, []).append((sample.at / _MINUTE, process.pss / MIB))
    return points


def _cells(process: ProcessMemory, last: MemorySample) -> tuple[str, ...]:
    after = next((other for other in last.processes if other.pid == process.pid), None)
    pss, rss = (after.pss, after.rss) if after else (0, 0)
    values = (process.pss, pss, process.rss, rss)
    return (process.title, *(f"{value / MIB:,.1f}" for value in values))


if __name__ == "__main__":
    sys.exit(run_scenario(__doc__, measure, OPTIONS))
