"""Runs: the latency of sync calls, the throughput of async ones, and the cost of a full table.

The bars, for a trivial flow: type server sync p50 of at most 5 ms with one caller; type api sync at
most 25 ms embedded and 12 ms on Redis; async on Redis and PostgreSQL with two workers at least 300
runs a second accepted and 100 finished; with 100,000 finished runs in the table, trigger, poll and
list p50 within 1.3 times that of an almost empty one.

    python -m benchmarks.runs
    python -m benchmarks.runs --backend embedded --rows 20000 --output runs.json

Redis and PostgreSQL are those of this machine. The table is filled with copies of a finished run;
before that it holds a few hundred runs, so that a page of the list is full in both cases.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any

import orjson
from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from benchmarks import services
from benchmarks.calls import HttpCall, get_call
from benchmarks.installation import Installation, Json, SetupError
from benchmarks.load import WrkResult, p50_us, run_wrk
from benchmarks.models import WrongAnswerError, tiny_model
from benchmarks.scenario import (
    Bar,
    Context,
    Findings,
    at_least,
    at_most,
    positive,
    run_scenario,
)
from benchmarks.services import new_database
from gateway.ids import new_run_id
from gateway.storage.database import Database
from gateway.storage.run_tables import RunPayload, RunRow
from gateway.storage.tables import Table

EMBEDDED, SERVICES = "embedded", "redis+postgresql"
BACKENDS = (EMBEDDED, SERVICES)
OPTIONS: dict[str, dict[str, Any]] = {
    "--backend": {"choices": BACKENDS, "action": "append", "help": "can be repeated (all)"},
    "--rounds": {"type": positive, "default": 3, "help": "of each latency (%(default)s)"},
    "--seconds": {"type": positive, "default": 4, "help": "of each load (%(default)s)"},
    "--rows": {"type": positive, "default": 100_000, "help": "finished runs (%(default)s)"},
    **services.OPTIONS,
}

_MAX_API_MS = {EMBEDDED: 25.0, SERVICES: 12.0}
_WORKERS = 2
_ACCEPTING_CONNECTIONS = 4
_FEW_RUNS = 300
_DRAIN_SECONDS = 600.0
_POLL_SECONDS = 0.2
_PAGE_SIZE = 200
_INSERT_ROWS = 2_000
_ROW_INTERVAL = timedelta(milliseconds=50)
"""Between the creation of two copies: 100,000 are those of an hour and a half."""

_INPUT: Json = {"input_data": {"x": 21}}
_FLOW: Json = {
    "name": "trivial",
    "nodes": [
        {"id": "input", "type": "api_input", "config": {}},
        {"id": "twice", "type": "transform", "config": {"fields": {"y": "input.x * 2"}}},
        {"id": "output", "type": "api_output", "config": {"fields": {"y": "twice.y"}}},
    ],
    "edges": [
        {"source": "input", "target": "twice"},
        {"source": "twice", "target": "output"},
    ],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TableLatency:
    """p50 in milliseconds, with so many runs added to the table."""

    rows: int
    trigger: float
    poll: float
    page: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendFigures:
    """What was measured on one backend."""

    backend: str
    server_ms: float
    """p50 of sync calls with one caller, type server."""
    api_ms: float
    """The same for type api."""
    accepted: WrkResult
    finished_per_second: float
    few: TableLatency
    many: TableLatency


def measure(context: Context) -> Findings:
    """Measure each backend."""
    figures = []
    for name in context.options.backend or BACKENDS:
        with _backend(name, context) as settings:
            figures.append(_measure_backend(name, settings, context))
    return Findings(
        headings=(
            *("backend", "sync server ms", "sync api ms", "accepted/s", "finished/s"),
            *("trigger ms", "with rows", "poll ms", "with rows", "list ms", "with rows"),
        ),
        rows=[_cells(one) for one in figures],
        bars=[bar for one in figures for bar in _bars(one)],
        figures=figures,
        notes=(
            f"p50, one caller; async: {_ACCEPTING_CONNECTIONS} connections accept, {_WORKERS} "
            "workers finish meanwhile and afterwards, all on this machine with the generator",
            "list: the first page of 50 runs of one deployment; on PostgreSQL with up-to-date "
            "statistics, as autovacuum has them within a minute",
        ),
    )


@contextmanager
def _backend(name: str, context: Context) -> Iterator[Mapping[str, str]]:
    """Yield the settings of a backend."""
    if name == EMBEDDED:
        yield {}
        return
    with new_database(context.options) as settings:
        yield settings


def _measure_backend(name: str, settings: Mapping[str, str], context: Context) -> BackendFigures:
    options, folder = context.options, context.folder / name
    context.say(f"{name}: starting")
    settings = {
        **settings,
        "SLIPSTREAM_WORKER_CONCURRENCY": str(_WORKERS),
        "SLIPSTREAM_KEY_POLLS_PER_MINUTE": "0",  # runs are read as fast as possible
    }
    with Installation(folder, tiny_model(context.folder), settings) as installation:
        flow_id = installation.post("/node/flows/", _FLOW)["id"]

        def deploy(mode: str, kind: str) -> HttpCall:
            path = installation.deploy_saved(flow_id, execution_mode=mode, deployment_type=kind)
            headers = {"Content-Type": "application/json", **installation.headers}
            return HttpCall(path=path, body=orjson.dumps(_INPUT), headers=headers, check=_check)

        def p50_ms(call: HttpCall) -> float:
            rounds = range(options.rounds)
            return median(p50_us([call], installation.port, options.seconds) for _ in rounds) / 1e3

        context.say(f"{name}: sync, type server")
        server_call = deploy("sync", "server")
        installation.server.check(server_call)
        server_ms = p50_ms(server_call)
        context.say(f"{name}: sync, type api")
        api_call = deploy("sync", "api")
        installation.post(api_call.path, _INPUT)  # the first run starts a worker process
        api_ms = p50_ms(api_call)
        context.say(f"{name}: async")
        async_call = deploy("async", "api")
        accepted = run_wrk(
            async_call,
            installation.port,
            connections=_ACCEPTING_CONNECTIONS,
            seconds=options.seconds,
        )
        finished = _finish_times(installation, _deployment_id(async_call))

        url = settings.get("SLIPSTREAM_DATABASE_URL")
        url = url or f"sqlite:///{folder / 'state' / 'slipstream.db'}"
        table_call = deploy("sync", "server")
        run_id = installation.post(table_call.path, _INPUT)["flow_run_id"]
        list_path = f"/node/flow-runs/?deployment={_deployment_id(table_call)}"
        latencies = []
        for rows in (_FEW_RUNS, options.rows):
            context.say(f"{name}: {rows:,} more runs in the table")
            asyncio.run(_copy_run(url, run_id, rows))
            poll = get_call(f"/node/flow-runs/{run_id}/", installation.headers)
            latencies.append(
                TableLatency(
                    rows=rows,
                    trigger=p50_ms(table_call),
                    poll=p50_ms(poll),
                    page=p50_ms(get_call(list_path, installation.headers)),
                )
            )
    return BackendFigures(
        backend=name,
        server_ms=server_ms,
        api_ms=api_ms,
        accepted=accepted,
        finished_per_second=(len(finished) - 1) / (finished[-1] - finished[0]),
        few=latencies[0],
        many=latencies[1],
    )


def _check(content: bytes) -> None:
    if orjson.loads(content).get("output_data") != {"y": 42}:
        raise WrongAnswerError(f"expected 42, got {content[:300]!r}")


def _deployment_id(call: HttpCall) -> str:
    return call.path.strip("/").rpartition("/")[2]


def _finish_times(installation: Installation, deployment_id: str) -> Sequence[float]:
    """Wait until every run of a deployment has completed; return when, ascending, in seconds."""

    def runs(**query: str | int) -> Json:
        return installation.get("/node/flow-runs/", deployment=deployment_id, **query)

    end = time.monotonic() + _DRAIN_SECONDS
    while any(runs(status=status, limit=1)["items"] for status in ("queued", "running")):
        if time.monotonic() > end:
            raise SetupError(f"runs have not finished after {_DRAIN_SECONDS:.0f} s")
        time.sleep(_POLL_SECONDS)
    times: list[float] = []
    query: dict[str, str | int] = {"limit": _PAGE_SIZE}
    while True:
        page = runs(**query)
        for run in page["items"]:
            if run["status"] != "completed":
                raise SetupError(f"a run did not complete: {run}")
            times.append(datetime.fromisoformat(run["finished_at"]).timestamp())
        if page["next_cursor"] is None:
            return sorted(times)
        query["cursor"] = page["next_cursor"]


async def _copy_run(url: str, run_id: str, count: int) -> None:
    """Insert so many copies of a finished run, each a bit older than the one before."""
    db = Database(url)
    try:
        async with db.read() as session:
            row = await _columns(session, RunRow, RunRow.id == run_id)
            payload = await _columns(session, RunPayload, RunPayload.run_id == run_id)
        for first in range(0, count, _INSERT_ROWS):
            ids = [new_run_id() for _ in range(min(_INSERT_ROWS, count - first))]
            rows = [_older_copy(row, one, first + at + 1) for at, one in enumerate(ids)]
            async with db.write() as session:
                await session.execute(insert(RunRow), rows)
                payloads = [{**payload, "run_id": one} for one in ids]
                await session.execute(insert(RunPayload), payloads)
        if db.dialect == "postgresql":
            # As autovacuum does within a minute of rows being inserted; these take seconds.
            async with db.write() as session:
                await session.execute(text("ANALYZE runs, run_payloads"))
    finally:
        await db.close()


async def _columns(session: AsyncSession, table: type[Table], which: Any) -> dict[str, Any]:
    """Return the columns of the one row. Any: a condition, and values of any type."""
    (found,) = (await session.execute(select(table.__table__).where(which))).mappings()
    return dict(found)


def _older_copy(row: dict[str, Any], run_id: str, steps: int) -> dict[str, Any]:
    moved = {
        name: row[name] - steps * _ROW_INTERVAL
        for name in ("created_at", "started_at", "finished_at")
    }
    return {**row, **moved, "idempotency_key": None, "fingerprint": None, "id": run_id}


def _bars(found: BackendFigures) -> Iterator[Bar]:
    name, few, many = found.backend, found.few, found.many
    yield at_most(f"sync, type server, {name}: p50 ms", 5.0, found.server_ms)
    yield at_most(f"sync, type api, {name}: p50 ms", _MAX_API_MS[name], found.api_ms)
    if name == SERVICES:
        yield at_least(f"async, {name}: accepted/s", 300.0, found.accepted.good_per_second)
        yield at_least(f"async, {name}: finished/s", 100.0, found.finished_per_second)
    for what in ("trigger", "poll", "page"):
        ratio = getattr(many, what) / getattr(few, what)
        yield at_most(f"{what}, {name}: p50 with {many.rows:,} runs / with few", 1.3, ratio)


def _cells(found: BackendFigures) -> tuple[str, ...]:
    few, many = found.few, found.many
    times = (few.trigger, many.trigger, few.poll, many.poll, few.page, many.page)
    return (
        found.backend,
        f"{found.server_ms:.2f}",
        f"{found.api_ms:.2f}",
        f"{found.accepted.good_per_second:,.0f}",
        f"{found.finished_per_second:,.0f}",
        *(f"{value:.2f}" for value in times),
    )


if __name__ == "__main__":
    sys.exit(run_scenario(__doc__, measure, OPTIONS))
