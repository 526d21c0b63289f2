"""One visit to one server: start, check, load at each concurrency, check again, stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.forms import Call, call
from benchmarks.load import GeneratorError, Load, drive
from benchmarks.model import Model, WrongAnswerError
from benchmarks.processes import ServerFailedError, Started
from benchmarks.servers import Server

CONNECTIONS = (1, 16, 64)

QUIET_CORES = 0.15
"""Other processes may take so many cores during a load that counts as undisturbed."""

_WARM_SECONDS = 1
_TRIES = 3
_SIZE_SLACK = 32
"""Bytes by which answers may differ in size: a field with a time in it, a mark of a chunk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One load at one concurrency."""

    connections: int
    load: Load
    cpu_us: float
    """User and system time of the server's whole process tree for one request, microseconds."""
    other_cores: float
    """Cores that neither the server nor the generator used, on average."""
    right_size: bool
    """The answers were as long as the one that was checked."""

    @property
    def errors(self) -> int:
        """Return how many requests went wrong."""
        return self.load.refused + self.load.broken


@dataclass(slots=True, kw_only=True)
class Visit:
    """What one visit to a server gave; `failure` says why there may be less than everything."""

    server: str
    round: int
    boot_seconds: float = 0.0
    pss_bytes: int = 0
    processes: int = 0
    samples: list[Sample] = field(default_factory=list)
    failure: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How every server is measured. `said` is told what is going on."""

    model: Model
    seconds: int
    patient: bool
    """Repeat a load during which other processes took CPU time."""
    said: Callable[[str], None]
    stepped: Callable[[], None]


STEPS = len(CONNECTIONS) + 1
"""How often a visit calls `stepped`."""


def visit(server: Server, number: int, python: Path, work: Path, plan: Plan) -> Visit:
    """Measure one server once. Its failures are part of the result."""
    result = Visit(server=server.name, round=number)
    steps = 0
    plan.said(f"{server.name}: starting")
    started = Started(server, plan.model, python, work)
    try:
        request = call(server.form, plan.model, server.path, server.headers)
        size = started.wait(request)
        result.boot_seconds = started.boot_seconds
        plan.stepped()
        steps += 1
        for connections in CONNECTIONS:
            plan.said(f"{server.name}: {connections} connection{'s' * (connections > 1)}")
            drive(request, started.port, connections=connections, seconds=_WARM_SECONDS)
            result.samples.append(_quiet_sample(started, request, connections, size, plan))
            plan.stepped()
            steps += 1
        result.pss_bytes = started.memory_bytes()
        result.processes = started.process_count()
        started.ask(request)
    except (ServerFailedError, WrongAnswerError, OSError, GeneratorError) as error:
        result.failure = f"{type(error).__name__}: {error}"
    finally:
        started.stop()
        for _ in range(STEPS - steps):
            plan.stepped()
    return result


def _quiet_sample(
    started: Started, request: Call, connections: int, size: int, plan: Plan
) -> Sample:
    """Return a sample that nobody disturbed, or else the least disturbed one."""
    samples: list[Sample] = []
    for _ in range(_TRIES if plan.patient else 1):
        samples.append(_sample(started, request, connections, size, plan.seconds))
        if samples[-1].other_cores < QUIET_CORES:
            break
    return min(samples, key=lambda sample: sample.other_cores)


def _sample(started: Started, request: Call, connections: int, size: int, seconds: int) -> Sample:
    machine, server = _busy_seconds(), started.cpu_seconds()
    load = drive(request, started.port, connections=connections, seconds=seconds)
    server = started.cpu_seconds() - server
    other = _busy_seconds() - machine - server - load.generator_cpu_seconds
    return Sample(
        connections=connections,
        load=load,
        cpu_us=server / max(load.requests, 1) * 1e6,
        other_cores=max(0.0, other) / load.seconds,
        right_size=abs(load.bytes_per_answer - size) <= _SIZE_SLACK,
    )


def _busy_seconds() -> float:
    """Return the CPU time that all processes of this machine have used so far."""
    times = psutil.cpu_times()
    return float(sum(times[:8]) - times.idle - times.iowait)
