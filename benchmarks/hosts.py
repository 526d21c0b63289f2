"""What hosts cost each other: the database's work, and the time until a dead one is replaced.

    python -m benchmarks.hosts
    python -m benchmarks.hosts --hosts 1,5 --seconds 30 --output hosts.json

For each number of hosts, a new installation on PostgreSQL and Redis of this machine: all hosts run
here, each with a state folder, a gateway, workers and one replica of a tiny model. While nothing is
called, it is measured how many transactions the database makes, and what everything uses; then the
p50 of fast calls of the first host; then the last host is killed, and the time is taken until
another one serves its replica. There is no bar: the hosts share this machine. PostgreSQL's usual
100 connections are not enough for more than five.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import psutil

from benchmarks import services
from benchmarks.calls import FLOW, json_call
from benchmarks.installation import (
    ONE_THREAD,
    Installation,
    Json,
    SetupError,
    inference_flow,
    run_command,
)
from benchmarks.load import p50_us
from benchmarks.models import OnnxModel, tiny_model
from benchmarks.plots import draw_hosts
from benchmarks.processes import MIB, RunningServer, ServerFailedError
from benchmarks.scenario import Context, Findings, positive, run_scenario
from benchmarks.servers import slipstream

OPTIONS = {
    "--hosts": {"default": "1,2,4", "help": "numbers of hosts (%(default)s)"},
    "--seconds": {"type": positive, "default": 20, "help": "without calls (%(default)s)"},
    **services.OPTIONS,
}
_MODEL = "tiny"
_SETTLE_SECONDS = 5.0
"""After the last replica is ready: statistics of PostgreSQL come late, and caches are filled."""
_CALL_SECONDS = 3
_POLL_SECONDS = 0.05
_TIMEOUT_SECONDS = 60.0
_TRANSACTIONS = (
    "SELECT sum(xact_commit + xact_rollback)::float FROM pg_stat_database"
    " WHERE datname = current_database()"
)
_CONNECTIONS = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What an installation of one size takes."""

    hosts: int
    transactions_per_second: float
    connections: int
    """To the database."""
    database_cores: float
    """0 if PostgreSQL is on another machine."""
    cores: float
    """Of the processes of all hosts."""
    memory_mib: float
    """Of one host, on average (PSS)."""
    p50_us: float
    replaced_seconds: float | None
    """From the end of a host until another one serves its replica; None: there is no other."""


def measure(context: Context) -> Findings:
    """Measure one installation after the other."""
    model = tiny_model(context.folder)
    sizes = [_measure(int(hosts), model, context) for hosts in context.options.hosts.split(",")]
    return Findings(
        headings=(
            *("hosts", "transactions/s", "connections", "PostgreSQL cores", "cores", "MiB a host"),
            *("p50 µs", "replaced s"),
        ),
        rows=[
            (
                str(size.hosts),
                f"{size.transactions_per_second:.1f}",
                str(size.connections),
                f"{size.database_cores:.3f}",
                f"{size.cores:.2f}",
                f"{size.memory_mib:,.0f}",
                f"{size.p50_us:,.0f}",
                "" if size.replaced_seconds is None else f"{size.replaced_seconds:.1f}",
            )
            for size in sizes
        ],
        bars=[],
        figures=sizes,
        notes=("all on one machine, with PostgreSQL, Redis and the load generator",),
        draw=partial(
            draw_hosts,
            hosts=[size.hosts for size in sizes],
            transactions=[size.transactions_per_second for size in sizes],
            cores={
                "all hosts": [size.cores for size in sizes],
                "PostgreSQL": [size.database_cores for size in sizes],
            },
        ),
    )


def _measure(hosts: int, model: OnnxModel, context: Context) -> Size:
    folder = context.folder / str(hosts)
    folder.mkdir()
    tokens = folder / "tokens"
    tokens.write_text(f"{uuid4().hex}\n")
    own = {**ONE_THREAD, "SLIPSTREAM_INFERENCE_TCP": "127.0.0.1:0", "SLIPSTREAM_NO_DEMO": "1"}
    with ExitStack() as stack:
        settings = stack.enter_context(services.new_database(context.options))
        server, _, database = settings["SLIPSTREAM_DATABASE_URL"].rpartition("/")
        shared = {
            **settings,
            "SLIPSTREAM_MODEL_STORE": (folder / "models").as_uri(),
            "SLIPSTREAM_INFERENCE_TOKEN_FILE": str(tokens),
            "SLIPSTREAM_UPSTREAM_TOKEN_FILE": str(tokens),
        }
        context.say(f"{hosts} hosts: starting")
        first = stack.enter_context(Installation(folder / "1", model, {**own, **shared}))
        state = str(folder / "1" / "state")
        token = folder / "join-token"  # a secret, which a command line would show
        token.write_text(run_command("hosts", "token", "--state", state, "--json")["token"])
        running = [first.server]
        for number in range(2, hosts + 1):
            running.append(_join(folder / str(number), token, model, own))
            stack.callback(running[-1].stop)
        first.publish(_MODEL, model.path)
        first.serve(_MODEL, replicas=hosts)
        time.sleep(_SETTLE_SECONDS)
        context.say(f"{hosts} hosts: nothing is called")
        transactions = services.execute(server, database, _TRANSACTIONS)
        postgres = _postgres_seconds(server)
        cpu_before = [host.cpu_seconds() for host in running]
        began = time.perf_counter()
        time.sleep(context.options.seconds)
        seconds = time.perf_counter() - began
        used = _postgres_seconds(server)
        # Of those that live on: a backend or an autovacuum that has ended meanwhile does not count.
        database_seconds = sum(used[pid] - postgres[pid] for pid in used.keys() & postgres.keys())
        transactions = services.execute(server, database, _TRANSACTIONS) - transactions
        connections = services.execute(server, database, _CONNECTIONS)
        cpu = sum(host.cpu_seconds() for host in running) - sum(cpu_before)
        memory = sum(host.memory().pss for host in running) / MIB / hosts
        context.say(f"{hosts} hosts: calls")
        path = first.deploy(inference_flow(_MODEL))
        call = json_call(FLOW, model, path, first.headers)
        first.server.check(call)
        p50 = p50_us([call], first.port, _CALL_SECONDS)
        context.say(f"{hosts} hosts: one is killed")
        replaced = None if hosts == 1 else _until_replaced(first, running[-1])
    return Size(
        hosts=hosts,
        transactions_per_second=transactions / seconds,
        connections=connections,
        database_cores=database_seconds / seconds,
        cores=cpu / seconds,
        memory_mib=memory,
        p50_us=p50,
        replaced_seconds=replaced,
    )


def _join(folder: Path, token: Path, model: OnnxModel, settings: dict[str, str]) -> RunningServer:
    """Start a further host, and wait until its gateway is ready."""
    state = str(folder / "state")
    program = replace(
        slipstream(state=state, path="", key="", settings=settings),
        command=(
            *(sys.executable, "-m", "slipstream", "join", str(token), "--workers", "1"),
            *("--state", state, "--port", "{port}", "--grpc-port", "{second_port}"),
        ),
    )
    host = RunningServer(program, model, Path(sys.executable), folder / "up")

    def check_ready() -> None:
        try:
            answer = httpx.get(f"http://127.0.0.1:{host.port}/readyz")
        except httpx.TransportError as error:
            raise ServerFailedError(str(error)) from error
        if not answer.is_success:
            raise ServerFailedError(answer.text[:300])

    try:
        host.wait_for(check_ready)
    except BaseException:
        host.stop()
        raise
    return host


def _until_replaced(first: Installation, victim: RunningServer) -> float:
    """Kill a host; return the seconds until its replica is served by another."""
    pids = {process.pid for process in victim.processes()}
    slots = [each["slot"] for each in _replicas(first) if each["pid"] in pids]
    if len(slots) != 1:
        raise SetupError(f"expected one replica on the last host, it has {len(slots)}")
    (slot,) = slots
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    began = time.monotonic()
    while time.monotonic() - began < _TIMEOUT_SECONDS:
        (replica,) = [each for each in _replicas(first) if each["slot"] == slot]
        if replica["state"] == "ready" and replica["pid"] not in pids:
            return time.monotonic() - began
        time.sleep(_POLL_SECONDS)
    raise SetupError(f"the replica is not served elsewhere after {_TIMEOUT_SECONDS:.0f} s")


def _replicas(first: Installation) -> list[Json]:
    (server,) = first.servers()
    found: list[Json] = server["processes"]
    return found


def _postgres_seconds(server: str) -> dict[int, float]:
    """Return the CPU time of each of PostgreSQL's processes, if they are on this machine."""
    if urlsplit(server).hostname not in {"127.0.0.1", "localhost", "::1"}:
        return {}
    found = {}
    for process in psutil.process_iter(["name", "cpu_times"]):
        if process.info["name"] == "postgres" and process.info["cpu_times"]:
            times = process.info["cpu_times"]
            found[process.pid] = times.user + times.system
    return found


if __name__ == "__main__":
    sys.exit(run_scenario(__doc__, measure, OPTIONS))
