"""Overload: what callers get when they ask for more than the server can answer.

The bar: at 3 times the capacity the goodput stays at 90 % of the capacity or more, and the 99th
percentile of accepted calls stays within the deployment's timeout.

    python -m benchmarks.overload
    python -m benchmarks.overload --seconds 20 --output overload.json
    python -m benchmarks.overload --model tiny

The capacity is the throughput of 32 connections in a closed loop, before and after. Calls then
arrive at random (Poisson) at each multiple of it, whether or not earlier ones are answered. Goodput
counts answers with 200 within the timeout, from when the call was due. The table says whether the
generator could offer the rate.
"""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass
from functools import partial
from statistics import mean
from typing import Any

from benchmarks.calls import FLOW, json_call
from benchmarks.installation import ONE_THREAD, Installation
from benchmarks.load import LoadError, run_load
from benchmarks.models import slow_model, tiny_model
from benchmarks.plots import draw_overload
from benchmarks.scenario import (
    Bar,
    Context,
    Findings,
    at_least,
    at_most,
    positive,
    run_scenario,
)
from slipstream.bench.result import LoadResult

MULTIPLES = (0.5, 0.8, 1.0, 1.5, 2.0, 3.0)
OPTIONS = {
    "--model": {"choices": ("slow", "tiny"), "default": "slow", "help": "(%(default)s)"},
    "--milliseconds": {"type": float, "default": 5.0, "help": "of the slow model (%(default)s)"},
    "--seconds": {"type": positive, "default": 10, "help": "of each load (%(default)s)"},
    "--timeout": {"type": positive, "default": 1, "help": "of the deployment, s (%(default)s)"},
}

_CONNECTIONS = 32
_MAX_CONNECTIONS = 4_000
_WARMUP_SECONDS = 2.0
_PAUSE_SECONDS = 2.0
"""Lets the queues of one load drain before the next."""
_MAX_LATENESS_SECONDS = 0.05
_MIN_OFFERED = 0.98
_BUSY_CORES = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class OverloadLevel:
    """One load."""

    multiple: float
    """Of the capacity."""
    rate: float
    """Calls per second that were to be offered."""
    result: LoadResult

    @property
    def good_per_second(self) -> float:
        """Return the goodput."""
        return self.result.arrivals.good_per_second if self.result.arrivals else 0.0

    def count(self, status: int) -> int:
        """Return the calls that failed with an HTTP status."""
        return sum(one.count for one in self.result.failures if one.status == status)

    @property
    def wrong(self) -> int:
        """Return the calls with neither 200 nor 504 nor a 429 with Retry-After."""
        missing = self.result.arrivals.without_retry_after if self.result.arrivals else 0
        return self.result.failed - self.count(504) - self.count(429) + missing

    @property
    def offered_in_full(self) -> bool:
        """Return whether the generator kept up with the rate."""
        arrivals = self.result.arrivals
        return (
            arrivals is not None
            and arrivals.lateness_p99_seconds <= _MAX_LATENESS_SECONDS
            and arrivals.offered >= _MIN_OFFERED * self.rate * self.result.seconds
        )


def measure(context: Context) -> Findings:
    """Find the capacity, and offer each multiple of it."""
    options = context.options
    context.say("creating the model")
    if options.model == "tiny":
        model = tiny_model(context.folder)
    else:
        model = slow_model(context.folder, options.milliseconds)
    with Installation(context.folder, model, ONE_THREAD) as installation:
        path = installation.deploy_model("model", model.path, timeout_seconds=options.timeout)
        call = json_call(FLOW, model, path, installation.headers)
        installation.server.check(call)

        def load(**how: Any) -> LoadResult:  # Any: arguments of run_load
            result = run_load(
                [call],
                installation.port,
                seconds=options.seconds,
                warmup=_WARMUP_SECONDS,
                deadline=options.timeout,
                **how,
            )
            time.sleep(_PAUSE_SECONDS)
            return result

        context.say(f"capacity: {_CONNECTIONS} connections")
        before = load(connections=_CONNECTIONS)
        if not before.answered:
            raise LoadError(f"no call was answered: {before.failures}")
        levels = []
        for multiple in MULTIPLES:
            rate = multiple * before.per_second
            context.say(f"{multiple:g} times capacity: {rate:,.0f} calls a second")
            # As many as can be in use before the deadline, and some to spare.
            connections = min(_MAX_CONNECTIONS, math.ceil(rate * options.timeout * 1.25) + 64)
            result = load(rate=rate, connections=connections)
            levels.append(OverloadLevel(multiple=multiple, rate=rate, result=result))
        context.say(f"capacity: {_CONNECTIONS} connections")
        after = load(connections=_CONNECTIONS)
    return _findings(before, after, levels, options.timeout)


def _findings(
    before: LoadResult, after: LoadResult, levels: list[OverloadLevel], timeout: int
) -> Findings:
    capacity = mean((before.per_second, after.per_second))
    notes = [
        f"capacity in a closed loop: {before.per_second:,.0f} calls a second before, "
        f"{after.per_second:,.0f} after; the bars use the mean",
        "p50 and p99 of the calls answered with 200, from when they were due; load: offered / "
        "capacity; share: good/s / capacity; late: 200 after the timeout; wrong: neither 200 nor "
        "504 nor 429 with Retry-After",
        "generator: p99 of its lateness, (!) if it could not offer the rate",
    ]
    if max(before.generator_cpu, after.generator_cpu) > _BUSY_CORES:
        notes.append("(!) the generator was fully busy: the capacity is its own")
    return Findings(
        headings=(
            *("load", "calls/s", "good/s", "share", "p50 ms", "p99 ms", "late"),
            *("429", "504", "wrong", "generator"),
        ),
        rows=[_cells(level, capacity) for level in levels],
        bars=_bars(levels[-1], capacity, timeout),
        figures={"capacity": [before, after], "levels": levels},
        notes=notes,
        draw=partial(
            draw_overload,
            offered=[level.multiple for level in levels],
            goodput=[level.good_per_second / capacity for level in levels],
            latency_ms={
                "p50": [_latency_ms(level)[0] for level in levels],
                "p99": [_latency_ms(level)[1] for level in levels],
            },
            timeout_ms=timeout * 1e3,
        ),
    )


def _bars(level: OverloadLevel, capacity: float, timeout: int) -> list[Bar]:
    at = f"at {level.multiple:g} times capacity"
    latency = level.result.latency_seconds
    return [
        at_least(f"goodput {at} / capacity", 0.9, level.good_per_second / capacity),
        at_most(f"p99 of accepted calls {at}, s", timeout, latency.p99 if latency else math.inf),
        at_most(f"wrong answers {at}", 0, level.wrong),
    ]


def _cells(level: OverloadLevel, capacity: float) -> tuple[str, ...]:
    result, arrivals = level.result, level.result.arrivals
    assert arrivals is not None
    counts = (arrivals.late, level.count(429), level.count(504), level.wrong)
    mark = "" if level.offered_in_full else "(!) "
    return (
        f"{level.multiple:g}",
        f"{arrivals.offered / result.seconds:,.0f}",
        f"{level.good_per_second:,.0f}",
        f"{level.good_per_second / capacity:.0%}",
        *(f"{milliseconds:,.1f}" for milliseconds in _latency_ms(level)),
        *(f"{count:,}" for count in counts),
        f"{mark}{arrivals.lateness_p99_seconds * 1e3:.0f} ms",
    )


def _latency_ms(level: OverloadLevel) -> tuple[float, float]:
    latency = level.result.latency_seconds
    return (latency.p50 * 1e3, latency.p99 * 1e3) if latency else (math.nan, math.nan)


if __name__ == "__main__":
    sys.exit(run_scenario(__doc__, measure, OPTIONS))
