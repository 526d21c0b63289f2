"""Half an hour of steady calls: nothing fails, nothing grows, nothing slows down.

The bar: 30 minutes at 70 % of the capacity give no error, no growth of the memory, and a 99th
percentile in the last minute that is at most 1.5 times that of the first.

    python -m benchmarks.soak --minutes 30 --output soak.json

A tiny model behind REST, fast mode. The capacity is what 64 connections in a closed loop get; then
calls arrive by the clock, at Poisson's times. The memory (PSS: shared pages count in proportion) of
each process is read every ten seconds. Its growth is that of a line through what was read after the
first minutes, when caches and pools have filled.
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
from benchmarks.forms import FLOW, call
from benchmarks.memory import Weighing, Weight, growth, weigh
from benchmarks.model import tiny_model
from benchmarks.offered import Offered, Window, offer
from benchmarks.options import count
from benchmarks.scenario import Stage, Verdict, play
from benchmarks.sites import Site
from benchmarks.wire import wire

_CONNECTIONS = 64
_MOST_CONNECTIONS = 256
"""By the clock: more of them would be memory of their own in the gateway."""
_CAPACITY_SECONDS = 10
_MINUTE = 60.0
_WEIGH_SECONDS = 10.0
_SETTLING_MINUTES = 5
_MOST_GROWTH = 1.0
"""Percent over the measured time: what a fit through noise gives where nothing grows."""
_MOST_SLOWER = 1.5
_DEADLINE_SECONDS = 10.0
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

    capacity: Offered
    seen: Offered
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
        request = wire(asked, site.port)
        stage.say(f"capacity: {_CONNECTIONS} connections")
        capacity = offer(
            [request],
            site.port,
            seconds=_CAPACITY_SECONDS,
            deadline=_DEADLINE_SECONDS,
            connections=_CONNECTIONS,
        )
        rate = options.share * capacity.good_per_second
        stage.say(f"{rate:,.0f} calls a second")

        def ended(window: Window) -> None:
            stage.step()
            stage.tell(_line(window))

        with Scales(site.started.root) as scales:
            seen = offer(
                [request],
                site.port,
                seconds=options.minutes * _MINUTE,
                deadline=_DEADLINE_SECONDS,
                rate=rate,
                connections=_MOST_CONNECTIONS,
                window=_MINUTE,
                ended=ended,
            )
    return _verdict(capacity, seen, scales.weighings)


def _line(window: Window) -> str:
    p50, p99 = (window.latency.get(at, float("nan")) / 1e3 for at in (50, 99))
    wrong = window.failed + window.refused + window.count("late")
    return f"minute {window.name:>3}  p50 {p50:6.2f} ms  p99 {p99:7.2f} ms  errors {wrong}"


def _verdict(capacity: Offered, seen: Offered, weighings: Sequence[Weighing]) -> Verdict:
    settling = min(_SETTLING_MINUTES, len(seen.windows) / 3) * _MINUTE
    settled = [weighing for weighing in weighings if weighing.at >= settling]
    soak = Soak(capacity=capacity, seen=seen, weighings=weighings, settled=settled)
    first, last = weighings[0], weighings[-1]
    return Verdict(
        headings=("process", "PSS MiB, first", "last", "RSS MiB, first", "last"),
        rows=[_cells(weight, last) for weight in first.processes],
        bars=_bars(soak),
        measured=soak,
        notes=tuple(_notes(soak)),
        draw=partial(draw_soak, windows=seen.windows, weighings=weighings),
    )


def _bars(soak: Soak) -> list[Bar]:
    whole, windows = soak.seen.whole, soak.seen.windows
    wrong = whole.failed + whole.refused + whole.count("late")
    slower = windows[-1].latency.get(99, float("inf")) / windows[0].latency.get(99, float("nan"))
    grown = growth(soak.settled) / fmean(weighing.pss for weighing in soak.settled) * 100
    return [
        most("errors", 0, wrong),
        most("growth of the memory, %", _MOST_GROWTH, grown),
        most("p99 of the last minute / the first's", _MOST_SLOWER, slower),
    ]


def _notes(soak: Soak) -> list[str]:
    seen, settled = soak.seen, soak.settled
    minutes = (settled[-1].at - settled[0].at) / _MINUTE
    notes = [
        f"{seen.whole.offered:,} calls, {seen.whole.offered / seen.seconds:,.0f} a second; "
        f"capacity {soak.capacity.good_per_second:,.0f}",
        f"memory: {growth(settled) / _MIB:+.2f} MiB in the last {minutes:.0f} minutes, fitted",
    ]
    if not soak.capacity.able:
        notes.append("(!) the generator was as busy as it can be: the capacity is its own")
    if not seen.able:
        late = seen.whole.lateness.get(99, 0.0) / 1e3
        notes.append(f"(!) the generator could not keep the rate: p99 {late:.0f} ms late")
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
