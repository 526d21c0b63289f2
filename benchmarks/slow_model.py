"""A slow model: what Slipstream adds to ONNX Runtime where the model takes most of the time.

The bar: a model of 10 ms or more pays at most 5 % over ONNX Runtime in process at 1 connection,
and loses no throughput at 16.

    python -m benchmarks.slow_model
    python -m benchmarks.slow_model --milliseconds 15 --rounds 7 --output slow_model.json

Slipstream (REST, fast mode) and an ASGI application with the model in its own process take turns;
both give a run one thread. ONNX Runtime itself, called from Python without a server, is measured in
every round, too.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.apps.session import Session
from benchmarks.bars import least, most
from benchmarks.caller import timed
from benchmarks.convolutions import convolutions
from benchmarks.forms import FLOW, Call, call
from benchmarks.load import Load, drive
from benchmarks.model import Model
from benchmarks.options import count
from benchmarks.processes import Started
from benchmarks.scenario import Stage, Verdict, play
from benchmarks.servers import BASELINES, IN_PROCESS, SLIPSTREAM
from benchmarks.sites import ONE_THREAD, Site

FEW, SOME = 1, 16
BARE = "onnxruntime"

_MOST_EXTRA = 1.05
_WARM_SECONDS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One turn of everybody; loads by server."""

    few: dict[str, Load]
    some: dict[str, Load]
    bare_us: float
    """ONNX Runtime's own run, median, microseconds."""


@dataclass(frozen=True, slots=True)
class _Target:
    name: str
    call: Call
    port: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Run."""
    return play("slow_model", __doc__, _add_options, _measure, arguments)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--milliseconds", type=float, default=12.0, help="of a run (%(default)s)")
    parser.add_argument("--rounds", type=count, default=5, help="turns of each (%(default)s)")
    parser.add_argument("--seconds", type=count, default=5, help="of each load (%(default)s)")


def _measure(options: argparse.Namespace, stage: Stage) -> Verdict:
    stage.expect(options.rounds * 5)
    stage.say("making the model")
    model = convolutions(stage.folder, options.milliseconds)
    stage.say("starting the servers")
    baseline = next(server for server in BASELINES if server.name == IN_PROCESS)
    other = Started(baseline, model, Path(sys.executable), stage.folder / "other")
    try:
        theirs = _Target(IN_PROCESS, call(baseline.form, model, baseline.path), other.port)
        other.wait(theirs.call)
        with Site(stage.folder, model, ONE_THREAD) as site:
            path = site.offer_model("slow", model.path)
            ours = _Target(SLIPSTREAM, call(FLOW, model, path, site.headers), site.port)
            site.started.ask(ours.call)
            targets = (ours, theirs)
            rounds = [
                _round(targets if at % 2 else targets[::-1], model, options.seconds, stage)
                for at in range(options.rounds)
            ]
            site.started.ask(ours.call)
    finally:
        other.stop()
    return _verdict(rounds)


def _round(targets: Sequence[_Target], model: Model, seconds: int, stage: Stage) -> Round:
    loads: dict[int, dict[str, Load]] = {FEW: {}, SOME: {}}
    for connections, by_server in loads.items():
        for target in targets:
            stage.say(f"{target.name}, {connections} connection{'s' * (connections > 1)}")
            drive(target.call, target.port, connections=connections, seconds=_WARM_SECONDS)
            by_server[target.name] = drive(
                target.call, target.port, connections=connections, seconds=seconds
            )
            stage.step()
    stage.say(BARE)
    session = Session(str(model.path))
    bare = median(timed(lambda: session.run(model.rows), seconds))
    stage.step()
    return Round(few=loads[FEW], some=loads[SOME], bare_us=bare)


def _verdict(rounds: Sequence[Round]) -> Verdict:
    ratios = [r.few[SLIPSTREAM].at(50) / r.few[IN_PROCESS].at(50) for r in rounds]
    over_bare = [r.few[SLIPSTREAM].at(50) / r.bare_us for r in rounds]
    faster = [_rate(r, SLIPSTREAM) / _rate(r, IN_PROCESS) for r in rounds]
    errors = sum(
        load.refused + load.broken for r in rounds for load in (*r.few.values(), *r.some.values())
    )
    return Verdict(
        headings=("", "p50 µs, 1 conn.", "p99 µs", "req/s, 16 conn.", "p50 ms", "p99 ms"),
        rows=[
            *(_cells(name, rounds) for name in (SLIPSTREAM, IN_PROCESS)),
            (BARE, f"{median(r.bare_us for r in rounds):,.0f}", "", "", "", ""),
        ],
        bars=[
            most(f"p50 at 1 connection / {IN_PROCESS}'s", _MOST_EXTRA, median(ratios)),
            most(f"p50 at 1 connection / {BARE}'s run", _MOST_EXTRA, median(over_bare)),
            least(f"req/s at 16 connections / {IN_PROCESS}'s", 1, median(faster)),
        ],
        measured=rounds,
        notes=(
            f"medians of {len(rounds)} rounds, ratios within each round; one thread a run for "
            "both; wrk on the same machine",
            f"errors: {errors}",
        ),
    )


def _rate(seen: Round, server: str) -> float:
    return seen.some[server].good_per_second


def _cells(server: str, rounds: Sequence[Round]) -> tuple[str, ...]:
    few = [r.few[server] for r in rounds]
    some = [r.some[server] for r in rounds]
    return (
        server,
        f"{median(load.at(50) for load in few):,.0f}",
        f"{median(load.at(99) for load in few):,.0f}",
        f"{median(load.good_per_second for load in some):,.1f}",
        f"{median(load.at(50) for load in some) / 1e3:,.1f}",
        f"{median(load.at(99) for load in some) / 1e3:,.1f}",
    )


if __name__ == "__main__":
    sys.exit(main())
