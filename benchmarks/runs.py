"""Runs: what a sync call takes, how many async ones go through, and what a full table costs.

The bars, for a trivial flow: type server sync p50 of at most 5 ms with one caller; type api sync at
most 25 ms embedded and 12 ms on Redis; async on Redis and PostgreSQL with two workers at least 300
runs a second accepted and 100 finished; with 100,000 finished runs in the table, trigger, poll and
list p50 within 1.3 times that of an almost empty one.

    python -m benchmarks.runs
    python -m benchmarks.runs --ground embedded --rows 20000 --output runs.json

Redis and PostgreSQL are those of this machine. The table is filled with copies of a run that was
made; before that it holds a few hundred runs, so that a page of the list is full in both cases.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.bars import Bar, least, most
from benchmarks.forms import Call
from benchmarks.grounds import EMBEDDED, GROUNDS, GROWN_UP, POSTGRESQL, REDIS, Ground, ground
from benchmarks.load import Load, drive
from benchmarks.model import Model, tiny_model
from benchmarks.options import count
from benchmarks.run_calls import RunCalls, deployment_of
from benchmarks.run_rows import fill
from benchmarks.scenario import Stage, Verdict, play
from benchmarks.sites import Site

SERVER, API = "server", "api"

_MOST_SERVER_MS = 5.0
_MOST_API_MS = {EMBEDDED: 25.0, GROWN_UP: 12.0}
_LEAST_ACCEPTED, _LEAST_FINISHED = 300.0, 100.0
_MOST_SLOWER = 1.3

_WORKERS = 2
_ACCEPTING_CONNECTIONS = 4
_FEW_RUNS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """What async calls gave."""

    accepted: Load
    runs: int
    finished_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """p50 in milliseconds, with so many runs added to the table."""

    rows: int
    trigger: float
    poll: float
    page: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was measured on one ground."""

    ground: str
    server_ms: float
    api_ms: float
    """p50 of sync calls, one caller."""
    throughput: Throughput
    few: Look
    many: Look


@dataclass(frozen=True, slots=True, kw_only=True)
class _Runner:
    calls: RunCalls
    port: int
    options: argparse.Namespace

    def sync_ms(self, kind: str) -> float:
        request = self.calls.trigger(self.calls.deploy("sync", kind))
        return self._p50(request)

    def throughput(self) -> Throughput:
        asked = self.calls.deploy("async", API)
        accepted = drive(
            asked, self.port, connections=_ACCEPTING_CONNECTIONS, seconds=self.options.seconds
        )
        ended = self.calls.ended(deployment_of(asked))
        rate = (len(ended) - 1) / (ended[-1] - ended[0])
        return Throughput(accepted=accepted, runs=len(ended), finished_per_second=rate)

    def look(self, asked: Call, run_id: str, rows: int) -> Look:
        page = f"/node/flow-runs/?deployment={deployment_of(asked)}"
        return Look(
            rows=rows,
            trigger=self._p50(self.calls.trigger(asked)),
            poll=self._p50(self.calls.get(f"/node/flow-runs/{run_id}/")),
            page=self._p50(self.calls.get(page)),
        )

    def _p50(self, request: bytes) -> float:
        rounds = range(self.options.rounds)
        return median(self.calls.p50_ms([request], self.options.seconds) for _ in rounds)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run."""
    return play("runs", __doc__, _add_options, _measure, arguments)


def _add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--ground", choices=GROUNDS, action="append", help="can be repeated (all)")
    add("--rounds", type=count, default=3, help="of each latency (%(default)s)")
    add("--seconds", type=count, default=4, help="of each load (%(default)s)")
    add("--rows", type=count, default=100_000, help="finished runs in the table (%(default)s)")
    add("--redis", default=REDIS, metavar="URL", help="(%(default)s)")
    add("--postgresql", default=POSTGRESQL, metavar="URL", help="server (%(default)s)")


def _measure(options: argparse.Namespace, stage: Stage) -> Verdict:
    names = options.ground or GROUNDS
    stage.expect(len(names) * 5)
    model = tiny_model(stage.folder)
    found = []
    for name in names:
        with ground(name, redis=options.redis, postgresql=options.postgresql) as under:
            found.append(_on(under, model, options, stage))
    return _verdict(found)


def _on(under: Ground, model: Model, options: argparse.Namespace, stage: Stage) -> Found:
    folder = stage.folder / under.name
    folder.mkdir()
    stage.say(f"{under.name}: starting")
    settings = {**under.settings, "SLIPSTREAM_WORKER_CONCURRENCY": str(_WORKERS)}
    with Site(folder, model, settings) as site:
        runner = _Runner(calls=RunCalls(site), port=site.port, options=options)
        stage.say(f"{under.name}: sync, type server")
        server_ms = runner.sync_ms(SERVER)
        stage.step()
        stage.say(f"{under.name}: sync, type api")
        api_ms = runner.sync_ms(API)
        stage.step()
        stage.say(f"{under.name}: async")
        throughput = runner.throughput()
        stage.step()
        few, many = _table(runner, under, folder / "state", stage)
    return Found(
        ground=under.name,
        server_ms=server_ms,
        api_ms=api_ms,
        throughput=throughput,
        few=few,
        many=many,
    )


def _table(runner: _Runner, under: Ground, state: Path, stage: Stage) -> tuple[Look, Look]:
    """Return what it takes before and after so many rows have come."""
    url = under.settings.get("SLIPSTREAM_DATABASE_URL") or f"sqlite:///{state / 'slipstream.db'}"
    asked = runner.calls.deploy("sync", SERVER)
    run_id = runner.calls.once(asked)["flow_run_id"]
    stage.say(f"{under.name}: a small table")
    fill(url, run_id, _FEW_RUNS)
    few = runner.look(asked, run_id, _FEW_RUNS)
    stage.step()
    rows = runner.options.rows
    stage.say(f"{under.name}: {rows:,} more runs")
    fill(url, run_id, rows)
    many = runner.look(asked, run_id, rows)
    stage.step()
    return few, many


def _verdict(found: Sequence[Found]) -> Verdict:
    return Verdict(
        headings=(
            *("ground", "sync server ms", "sync api ms", "accepted/s", "finished/s"),
            *("trigger ms", "with rows", "poll ms", "with rows", "list ms", "with rows"),
        ),
        rows=[_cells(one) for one in found],
        bars=[bar for one in found for bar in _bars(one)],
        measured=found,
        notes=(
            "p50, one caller; async: "
            f"{_ACCEPTING_CONNECTIONS} connections accept, {_WORKERS} workers finish meanwhile and "
            "afterwards, all on this machine with the load generator",
            "list: the first page of 50 runs of one deployment; where it is PostgreSQL, its "
            "statistics are up to date, as autovacuum has them within a minute",
        ),
    )


def _bars(found: Found) -> Iterator[Bar]:
    name, few, many = found.ground, found.few, found.many
    yield most(f"sync, type server, {name}: p50 ms", _MOST_SERVER_MS, found.server_ms)
    yield most(f"sync, type api, {name}: p50 ms", _MOST_API_MS[name], found.api_ms)
    if name == GROWN_UP:
        accepted = found.throughput.accepted.good_per_second
        finished = found.throughput.finished_per_second
        yield least(f"async, {name}: accepted/s", _LEAST_ACCEPTED, accepted)
        yield least(f"async, {name}: finished/s", _LEAST_FINISHED, finished)
    for what in ("trigger", "poll", "page"):
        ratio = getattr(many, what) / getattr(few, what)
        text = f"{what}, {name}: p50 with {many.rows:,} runs / with few"
        yield most(text, _MOST_SLOWER, ratio)


def _cells(found: Found) -> tuple[str, ...]:
    few, many = found.few, found.many
    return (
        found.ground,
        f"{found.server_ms:.2f}",
        f"{found.api_ms:.2f}",
        f"{found.throughput.accepted.good_per_second:,.0f}",
        f"{found.throughput.finished_per_second:,.0f}",
        *(f"{value:.2f}" for value in (few.trigger, many.trigger)),
        *(f"{value:.2f}" for value in (few.poll, many.poll)),
        *(f"{value:.2f}" for value in (few.page, many.page)),
    )


if __name__ == "__main__":
    sys.exit(main())
