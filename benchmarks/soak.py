"""Half an hour of steady calls: nothing fails, nothing grows, nothing slows down.

The bar: 30 minutes at 70 % of the capacity give no error, no growth of the memory, and a 99th
percentile in the last minute that is at most 1.5 times that of the first.

    python -m benchmarks.soak --minutes 30 --output soak.json

A tiny model behind REST, fast mode. The capacity is what 64 connections in a closed loop get; then
each of 128 connections pauses between its calls, at random, as long as it takes to offer the share
of it that is asked for. The memory (PSS: shared pages count in proportion) of each process is read
every ten seconds. Its growth is that of a line through what was read after the first minutes, when
caches and pools have filled.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from types import TracebackType
from typing import Self

import psutil

from benchmarks.bars import Bar, most
from benchmarks.curves import draw_soak
from benchmarks.forms import FLOW, Call, call
from benchmarks.load import Load, drive
from benchmarks.memory import Weighing, Weight, growth, weigh
from benchmarks.model import tiny_model
from benchmarks.options import count
from benchmarks.scenario import Stage, Verdict, play
from benchmarks.sites import Site

_CONNECTIONS = 64
_PAUSING_CONNECTIONS = 128
_CAPACITY_SECONDS = 10
_TRIAL_SECONDS = 5
_TRIALS = 4
_MINUTE = 60
_WEIGH_SECONDS = 10.0
_SETTLING_MINUTES = 5
_MOST_GROWTH = 1.0
"""Percent over the measured time: what a fit through noise gives where nothing grows."""
_MOST_SLOWER = 1.5
_MIB = 2**20


class Scales:
    """Weighs a process and all below it again and again, on a thread, while in its `with`."""

    def __init__(self, root: psutil.Process) -> None:
        self.weighings: list[Weighing] = []
        self._root = root
        self._began = time.monotonic()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self.weighings.append(weigh(self._root, time.monotonic() - self._began))
            if self._end.wait(_WEIGH_SECONDS):
                return


@dataclass(frozen=True, slots=True, kw_only=True)
class Soak:
    """What was measured."""

    capacity: Load
    minutes: Sequence[Load]
    weighings: Sequence[Weighing]
    settled: Sequence[Weighing]
    """Those that the growth is fitted to."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run."""
    return play("soak", __doc__, _add_options, _measure, arguments)


def _add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--minutes", type=count, default=30, help="how long (%(default)s)")
    add("--share", type=float, default=0.7, help="of the capacity (%(default)s)")


def _measure(options: argparse.Namespace, stage: Stage) -> Verdict:
    stage.expect(options.minutes)
    stage.say("starting")
    model = tiny_model(stage.folder)
    with Site(stage.folder, model) as site:
        asked = call(FLOW, model, site.offer_model("tiny", model.path), site.headers)
        site.started.ask(asked)
        stage.say(f"capacity: {_CONNECTIONS} connections")
        capacity = drive(asked, site.port, connections=_CONNECTIONS, seconds=_CAPACITY_SECONDS)
        rate = options.share * capacity.good_per_second
        pause = _pause(asked, site.port, rate, stage)
        minutes: list[Load] = []
        with Scales(site.started.root) as scales:
            for minute in range(1, options.minutes + 1):
                stage.say(f"{rate:,.0f} calls a second")
                load = _paced(asked, site.port, _MINUTE, pause)
                minutes.append(load)
                pause = _next_pause(pause, rate, load)
                stage.step()
                stage.tell(_line(minute, load))
        site.started.ask(asked)
    return _verdict(capacity, minutes, scales.weighings)


def _pause(asked: Call, port: int, rate: float, stage: Stage) -> float:
    """Return the pause, in milliseconds, with which the connections offer about `rate`."""
    pause = _PAUSING_CONNECTIONS / rate * 1e3
    for _ in range(_TRIALS):
        stage.say(f"finding the pause for {rate:,.0f} calls a second: {pause:.2f} ms")
        pause = _next_pause(pause, rate, _paced(asked, port, _TRIAL_SECONDS, pause))
    return pause


def _next_pause(pause: float, rate: float, load: Load) -> float:
    """Return the pause that would have offered `rate` where `pause` gave `load`."""
    wanted, taken = (_PAUSING_CONNECTIONS / each * 1e3 for each in (rate, load.good_per_second))
    return max(0.0, pause + wanted - taken)


def _paced(asked: Call, port: int, seconds: int, pause: float) -> Load:
    return drive(asked, port, connections=_PAUSING_CONNECTIONS, seconds=seconds, pause_ms=pause)


def _line(minute: int, load: Load) -> str:
    p50, p99 = load.at(50) / 1e3, load.at(99) / 1e3
    return (
        f"minute {minute:>3}  {load.good_per_second:8,.0f} req/s  p50 {p50:6.2f} ms  "
        f"p99 {p99:7.2f} ms  errors {load.refused + load.broken}"
    )


def _verdict(capacity: Load, minutes: Sequence[Load], weighings: Sequence[Weighing]) -> Verdict:
    settling = min(_SETTLING_MINUTES, len(minutes) / 3) * _MINUTE
    settled = [weighing for weighing in weighings if weighing.at >= settling]
    soak = Soak(capacity=capacity, minutes=minutes, weighings=weighings, settled=settled)
    first, last = weighings[0], weighings[-1]
    return Verdict(
        headings=("process", "PSS MiB, first", "last", "RSS MiB, first", "last"),
        rows=[_cells(weight, last) for weight in first.processes],
        bars=_bars(soak),
        measured=soak,
        notes=tuple(_notes(soak)),
        draw=partial(draw_soak, minutes=minutes, weighings=weighings),
    )


def _bars(soak: Soak) -> list[Bar]:
    wrong = sum(load.refused + load.broken for load in soak.minutes)
    slower = soak.minutes[-1].at(99) / soak.minutes[0].at(99)
    grown = growth(soak.settled) / fmean(weighing.pss for weighing in soak.settled) * 100
    return [
        most("errors", 0, wrong),
        most("growth of the memory, %", _MOST_GROWTH, grown),
        most("p99 of the last minute / the first's", _MOST_SLOWER, slower),
    ]


def _notes(soak: Soak) -> list[str]:
    settled = soak.settled
    minutes = (settled[-1].at - settled[0].at) / _MINUTE
    calls = sum(load.requests for load in soak.minutes)
    rate = calls / sum(load.seconds for load in soak.minutes)
    capacity = soak.capacity.good_per_second
    notes = [
        f"{calls:,} calls, {rate:,.0f} a second: {rate / capacity:.0%} of {capacity:,.0f}",
        f"memory: {growth(settled) / _MIB:+.2f} MiB in the last {minutes:.0f} minutes, fitted",
    ]
    if {w.pid for w in soak.weighings[0].processes} != {
        w.pid for w in soak.weighings[-1].processes
    }:
        notes.append("(!) processes have come or gone")
    return notes


def _cells(weight: Weight, last: Weighing) -> tuple[str, ...]:
    after = next((other for other in last.processes if other.pid == weight.pid), None)
    ends = (after.pss, after.rss) if after else (0, 0)
    return (
        weight.title,
        *(f"{value / _MIB:,.1f}" for value in (weight.pss, ends[0], weight.rss, ends[1])),
    )


if __name__ == "__main__":
    sys.exit(main())
