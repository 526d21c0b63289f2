"""Overload: what callers get when they ask for more than there is.

The bar: at 3 times the capacity the goodput stays at 90 % of the capacity or more, and the 99th
percentile of the accepted calls stays bounded, which here means: within the deployment's timeout.

    python -m benchmarks.overload
    python -m benchmarks.overload --seconds 20 --output overload.json
    python -m benchmarks.overload --model tiny

The capacity is what 32 connections in a closed loop get answered, before and after. Then calls
arrive by the clock, at Poisson's times, at each multiple of it, whether or not earlier ones are
answered. Goodput counts answers with 200 within the timeout, from when the call was due. The
generator is a process of its own; whether it could offer the rate is in the table.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from statistics import mean
from typing import Any

from benchmarks.bars import Bar, least, most
from benchmarks.convolutions import convolutions
from benchmarks.curves import draw_overload
from benchmarks.forms import FLOW, call
from benchmarks.load import GeneratorError
from benchmarks.model import tiny_model
from benchmarks.offered import Offered, Window, offer
from benchmarks.options import count
from benchmarks.scenario import Stage, Verdict, play
from benchmarks.sites import ONE_THREAD, Site
from benchmarks.wire import wire

MULTIPLES = (0.5, 0.8, 1.0, 1.5, 2.0, 3.0)

_CONNECTIONS = 32
_LEAST_GOODPUT = 0.9
_RAMP_SECONDS = 2.0
_PAUSE_SECONDS = 2.0
"""For the queues of one level to be empty before the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One load."""

    multiple: float
    """Of the capacity."""
    seen: Offered


@dataclass(slots=True)
class _Runner:
    """Offers loads to one deployment."""

    request: bytes
    port: int
    seconds: int
    timeout: int
    stage: Stage

    def closed(self) -> Offered:
        """Return what the connections of a closed loop get."""
        self.stage.say(f"capacity: {_CONNECTIONS} connections")
        return self._offer(connections=_CONNECTIONS)

    def level(self, multiple: float, capacity: float) -> Level:
        """Return what calls get that arrive by the clock."""
        self.stage.say(f"{multiple:g} times capacity: {multiple * capacity:,.0f} calls a second")
        return Level(multiple=multiple, seen=self._offer(rate=multiple * capacity))

    def _offer(self, **how: Any) -> Offered:  # Any: options of `offer`
        def ended(_: Window) -> None:
            self.stage.step()

        seen = offer(
            [self.request],
            self.port,
            seconds=self.seconds,
            deadline=self.timeout,
            ramp=_RAMP_SECONDS,
            ended=ended,
            **how,
        )
        time.sleep(_PAUSE_SECONDS)
        return seen


def main(arguments: Sequence[str] | None = None) -> int:
    """Run."""
    return play("overload", __doc__, _add_options, _measure, arguments)


def _add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--model", choices=("slow", "tiny"), default="slow", help="(%(default)s)")
    add("--milliseconds", type=float, default=5.0, help="of the slow model's run (%(default)s)")
    add("--seconds", type=count, default=10, help="of each load (%(default)s)")
    add("--timeout", type=count, default=1, help="of the deployment, seconds (%(default)s)")


def _measure(options: argparse.Namespace, stage: Stage) -> Verdict:
    stage.expect((len(MULTIPLES) + 2) * options.seconds)
    stage.say("making the model")
    tiny = options.model == "tiny"
    model = tiny_model(stage.folder) if tiny else convolutions(stage.folder, options.milliseconds)
    stage.say("starting")
    with Site(stage.folder, model, ONE_THREAD) as site:
        path = site.offer_model("model", model.path, timeout_seconds=options.timeout)
        asked = call(FLOW, model, path, site.headers)
        site.started.ask(asked)
        runner = _Runner(wire(asked, site.port), site.port, options.seconds, options.timeout, stage)
        before = runner.closed()
        if not before.good_per_second:
            raise GeneratorError(f"no call was answered in time: {dict(before.whole.counts)}")
        levels = [runner.level(multiple, before.good_per_second) for multiple in MULTIPLES]
        after = runner.closed()
    return _verdict(before, after, levels, options.timeout)


def _verdict(before: Offered, after: Offered, levels: Sequence[Level], timeout: int) -> Verdict:
    capacity = mean((before.good_per_second, after.good_per_second))
    highest = levels[-1]
    return Verdict(
        headings=(
            *("load", "calls/s", "good/s", "share", "p50 ms", "p99 ms", "late"),
            *("429", "504", "wrong", "generator"),
        ),
        rows=[_cells(level, capacity) for level in levels],
        bars=_bars(highest, capacity, timeout),
        measured={"capacity": [before, after], "levels": levels},
        notes=(
            f"capacity in a closed loop: {before.good_per_second:,.0f} calls a second before, "
            f"{after.good_per_second:,.0f} after; the bars go by the mean",
            "p50 and p99 of the calls answered with 200, from when they were due; "
            "load: offered / capacity; share: good/s / capacity; late: 200 after the timeout; "
            "wrong: neither 200 nor 504 nor 429 with Retry-After",
            "generator: p99 of how late it was, (!) if that or the rate was not good enough",
            *_doubts(before, after, highest),
        ),
        draw=partial(draw_overload, levels=levels, capacity=capacity, timeout=timeout),
    )


def _bars(level: Level, capacity: float, timeout: int) -> list[Bar]:
    at = f"at {level.multiple:g} times capacity"
    whole = level.seen.whole
    p99 = whole.latency.get(99, float("inf")) / 1e6
    return [
        least(f"goodput {at} / capacity", _LEAST_GOODPUT, level.seen.good_per_second / capacity),
        most(f"p99 of accepted calls {at}, s", timeout, p99),
        most(f"wrong answers {at}", 0, _wrong(whole)),
    ]


def _wrong(window: Window) -> int:
    return window.failed - window.count("timed_out") + window.count("refused_bare")


def _doubts(before: Offered, after: Offered, level: Level) -> list[str]:
    doubts = []
    if not (before.able and after.able):
        doubts.append("(!) the generator was as busy as it can be: the capacity is its own")
    if not level.seen.able:
        doubts.append(f"(!) the generator could not offer {level.multiple:g} times the capacity")
    return doubts


def _cells(level: Level, capacity: float) -> tuple[str, ...]:
    seen = level.seen
    whole = seen.whole
    late_ms = whole.lateness.get(99, 0.0) / 1e3
    return (
        f"{level.multiple:g}",
        f"{whole.offered / seen.seconds:,.0f}",
        f"{seen.good_per_second:,.0f}",
        f"{seen.good_per_second / capacity:.0%}",
        *(f"{whole.latency.get(at, float('nan')) / 1e3:,.1f}" for at in (50, 99)),
        *(f"{whole.count(kind):,}" for kind in ("late", "refused", "timed_out")),
        f"{_wrong(whole):,}",
        f"{'' if seen.able else '(!) '}{late_ms:.0f} ms",
    )


if __name__ == "__main__":
    sys.exit(main())
