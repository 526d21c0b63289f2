"""Measures servers in turn, and summarises the rounds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import psutil

from benchmarks.calls import HttpCall
from benchmarks.load import LoadError, WrkResult, run_wrk
from benchmarks.models import OnnxModel, WrongAnswerError
from benchmarks.processes import RunningServer, ServerFailedError
from benchmarks.scenario import Bar, at_least, at_most
from benchmarks.servers import ECHO, PEERS, PYTRITON, SLIPSTREAM, TUNED, HttpServer

CONNECTIONS = FEW, SOME, MANY = (1, 16, 64)
UNDISTURBED_CORES = 0.15
"""Cores that other processes may use during a load."""

_WARMUP_SECONDS = 1
_ATTEMPTS = 3
_SIZE_TOLERANCE = 32
"""Bytes by which answers may differ in size: a field with a time, the mark of a chunk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSample:
    """One load at one concurrency."""

    connections: int
    load: WrkResult
    cpu_us: float
    """CPU time of all the server's processes per request, in microseconds."""
    other_cores: float
    """Cores that neither the server nor the generator used, on average."""
    expected_size: bool
    """Whether the answers were as long as the one that was checked."""


@dataclass(slots=True, kw_only=True)
class RoundResult:
    """One round of one server; `failure` says why it may be incomplete."""

    server: str
    round: int
    boot_seconds: float = 0.0
    pss_bytes: int = 0
    processes: int = 0
    samples: list[LoadSample] = field(default_factory=list)
    failure: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcurrencySummary:
    """One server at one concurrency, medians over the rounds."""

    good_per_second: float
    slowest_round: float
    fastest_round: float
    p50_us: float
    p99_us: float
    cpu_us: float
    latency: tuple[tuple[float, float], ...]
    """(percentile, microseconds)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSummary:
    """One server, medians over the rounds."""

    server: str
    levels: Mapping[int, ConcurrencySummary]
    """By connections; complete."""
    boot_seconds: float
    pss_bytes: float
    processes: int
    requests: int
    errors: int
    other_cores: float
    """Cores that other processes used during the most disturbed load."""
    remarks: tuple[str, ...]


def measure_round(
    server: HttpServer,
    number: int,
    *,
    model: OnnxModel,
    python: Path,
    work: Path,
    seconds: int,
    attempts: int,
    say: Callable[[str], None],
) -> RoundResult:
    """Start a server, check its answer, load it at each concurrency, check again, and stop it.

    A load is repeated up to `attempts` times while other processes disturb it. Failures of the
    server are part of the result.
    """
    result = RoundResult(server=server.name, round=number)
    say(f"round {number}: {server.name}: starting")
    running = RunningServer(server, model, python, work)
    call = server.call(model)
    try:
        size = running.wait(call)
        result.boot_seconds = running.boot_seconds
        for connections in CONNECTIONS:
            say(f"round {number}: {server.name}, {connections} connections")
            run_wrk(call, running.port, connections=connections, seconds=_WARMUP_SECONDS)
            samples: list[LoadSample] = []
            while len(samples) < attempts:
                samples.append(_sample(running, call, connections, size, seconds))
                if samples[-1].other_cores < UNDISTURBED_CORES:
                    break
            result.samples.append(min(samples, key=lambda sample: sample.other_cores))
        memory = running.memory()
        result.pss_bytes, result.processes = memory.pss, len(memory.processes)
        running.check(call)
    except (ServerFailedError, WrongAnswerError, OSError, LoadError) as error:
        result.failure = f"{type(error).__name__}: {error}"
    finally:
        running.stop()
    return result


def _sample(
    running: RunningServer, call: HttpCall, connections: int, size: int, seconds: int
) -> LoadSample:
    machine, server = _machine_cpu_seconds(), running.cpu_seconds()
    load = run_wrk(call, running.port, connections=connections, seconds=seconds)
    server = running.cpu_seconds() - server
    other = _machine_cpu_seconds() - machine - server - load.generator_cpu_seconds
    return LoadSample(
        connections=connections,
        load=load,
        cpu_us=server / max(load.requests, 1) * 1e6,
        other_cores=max(0.0, other) / load.seconds,
        expected_size=abs(load.bytes_per_answer - size) <= _SIZE_TOLERANCE,
    )


def _machine_cpu_seconds() -> float:
    times = psutil.cpu_times()
    return float(sum(times[:8]) - times.idle - times.iowait)


def summarize(servers: Iterable[str], rounds: Sequence[RoundResult]) -> list[ServerSummary]:
    """Return a summary of each server with at least one complete round, in the given order."""
    summaries = []
    for name in servers:
        own = [one for one in rounds if one.server == name]
        if any(len(one.samples) == len(CONNECTIONS) for one in own):
            summaries.append(_summary(own))
    return summaries


def _summary(rounds: Sequence[RoundResult]) -> ServerSummary:
    complete = [one for one in rounds if len(one.samples) == len(CONNECTIONS)]
    samples = [sample for one in complete for sample in one.samples]
    remarks = [f"round {one.round}: {one.failure}" for one in rounds if one.failure]
    if not all(sample.expected_size for sample in samples):
        remarks.append("some answers under load differed in size from the one that was checked")
    return ServerSummary(
        server=rounds[0].server,
        levels={n: _level([s for s in samples if s.connections == n]) for n in CONNECTIONS},
        boot_seconds=median(one.boot_seconds for one in complete),
        pss_bytes=median(one.pss_bytes for one in complete),
        processes=max(one.processes for one in complete),
        requests=sum(sample.load.requests for sample in samples),
        errors=sum(sample.load.errors for sample in samples),
        other_cores=max(sample.other_cores for sample in samples),
        remarks=tuple(remarks),
    )


def _level(samples: Sequence[LoadSample]) -> ConcurrencySummary:
    rates = [sample.load.good_per_second for sample in samples]
    latency = {
        percentile: median(sample.load.at(percentile) for sample in samples)
        for percentile, _ in samples[0].load.latency
    }
    return ConcurrencySummary(
        good_per_second=median(rates),
        slowest_round=min(rates),
        fastest_round=max(rates),
        p50_us=latency[50],
        p99_us=latency[99],
        cpu_us=median(sample.cpu_us for sample in samples),
        latency=tuple(latency.items()),
    )


def bars(summaries: Sequence[ServerSummary]) -> list[Bar]:
    """Return each bar whose servers were measured; none without Slipstream."""
    by_name = {summary.server: summary for summary in summaries}
    ours = by_name.get(SLIPSTREAM)
    if ours is None:
        return []
    found = [*_baseline_bars(ours, by_name.get(ECHO), by_name.get(TUNED))]
    for peer in PEERS:
        if peer.name in by_name:
            found += _peer_bars(ours, by_name[peer.name])
    return found


def _baseline_bars(
    ours: ServerSummary, echo: ServerSummary | None, tuned: ServerSummary | None
) -> Iterator[Bar]:
    p50, many = ours.levels[FEW].p50_us, ours.levels[MANY]
    if echo:
        ratio = p50 / echo.levels[FEW].p50_us
        yield at_most(f"p50 at {FEW} connection / {ECHO}'s", 3.0, ratio)
    if tuned:
        extra = p50 - tuned.levels[FEW].p50_us
        yield at_most(f"p50 at {FEW} connection - {TUNED}'s, µs", 30.0, extra)
    if echo:
        yield at_least(f"req/s at {MANY} connections / {ECHO}'s", 0.75, _faster(ours, echo, MANY))
    if tuned:
        yield at_least(f"req/s at {MANY} connections / {TUNED}'s", 3.0, _faster(ours, tuned, MANY))
    yield at_most(f"p99 / p50 at {MANY} connections", 3.0, many.p99_us / many.p50_us)


def _peer_bars(ours: ServerSummary, peer: ServerSummary) -> Iterator[Bar]:
    limit = 4.0 if peer.server == PYTRITON else 5.0
    for connections in (SOME, MANY):
        what = f"req/s at {connections} connections / {peer.server}'s"
        yield at_least(what, limit, _faster(ours, peer, connections))
    ratio = ours.levels[FEW].p50_us / peer.levels[FEW].p50_us
    yield at_most(f"p50 at {FEW} connection / {peer.server}'s", 1.0, ratio)


def _faster(one: ServerSummary, other: ServerSummary, connections: int) -> float:
    rate = other.levels[connections].good_per_second
    return one.levels[connections].good_per_second / max(rate, 1e-9)
