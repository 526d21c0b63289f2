"""What is wrong with an installation, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from gateway.fleet.processes import GONE
from gateway.fleet.service_process import ProcessKind
from gateway.fleet.states import State
from gateway.system.state import SystemState

_LONG_SECONDS = 60.0
"""That a run waits before it is a problem."""
_SLOW_SECONDS = 0.5
"""Of a small question to the database."""


class Area(StrEnum):
    """What a problem is about."""

    HOSTS = "hosts"
    GATEWAYS = "gateways"
    WORKERS = "workers"
    QUEUES = "queues"
    DATABASE = "database"
    BROKER = "broker"
    STORE = "store"
    SERVERS = "servers"


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemProblem:
    """One problem."""

    area: Area
    """The part of the installation that is concerned."""
    subject: str
    """The name of the part."""
    text: str
    """What is wrong, for people."""
    advice: str
    """What to do."""


def problems_of(system: SystemState) -> Iterator[SystemProblem]:
    """Yield the problems, by area."""
    yield from _of_hosts(system)
    yield from _of_processes(system)
    yield from _of_queues(system)
    yield from _of_storage(system)
    for server in system.servers.waiting:
        if server.state != State.BOOTING:
            yield SystemProblem(
                area=Area.SERVERS,
                subject=f"{server.model} {server.version}",
                text=f"{server.state}: {server.reason or 'no process runs it'}",
                advice=f"See its log: slipstream models logs {server.model} --version "
                f"{server.version}. Fix the cause, then start it again.",
            )


def _of_hosts(system: SystemState) -> Iterator[SystemProblem]:
    for host in system.hosts:
        if host.state == GONE:
            yield SystemProblem(
                area=Area.HOSTS,
                subject=host.name,
                text="its lease has ended: the machine or its supervisor is down",
                advice="Start it again, or leave it: others run its replicas, and it is forgotten "
                "after a week.",
            )


def _of_processes(system: SystemState) -> Iterator[SystemProblem]:
    if all(it.kind is not ProcessKind.GATEWAY or it.state == GONE for it in system.processes):
        yield SystemProblem(
            area=Area.GATEWAYS,
            subject="gateway",
            text="none is running: calls are not answered",
            advice="Start one with `slipstream up` or `slipstream gateway`.",
        )
    for process in system.processes:
        if process.state not in (GONE, State.FAILED, State.UNRESPONSIVE):
            continue
        is_gateway = process.kind is ProcessKind.GATEWAY
        reason = process.reason or "its lease has ended"
        yield SystemProblem(
            area=Area.GATEWAYS if is_gateway else Area.WORKERS,
            subject=f"{process.name} on {process.host}",
            text=f"{process.state}: {reason}",
            advice="Look at its log there; its supervisor starts it again if it can.",
        )


def _of_queues(system: SystemState) -> Iterator[SystemProblem]:
    slots = sum(process.slots or 0 for process in system.processes if process.state != GONE)
    for queue in system.queues:
        if (queue.oldest_seconds or 0.0) < _LONG_SECONDS:
            continue
        advice = "Add workers, or raise --worker-concurrency: all of them are busy."
        if not slots:
            advice = "No worker runs: start one with `slipstream up` or `slipstream worker`."
        yield SystemProblem(
            area=Area.QUEUES,
            subject=queue.name,
            text=f"{queue.depth} runs wait, the oldest for {queue.oldest_seconds:.0f} s",
            advice=advice,
        )


def _of_storage(system: SystemState) -> Iterator[SystemProblem]:
    database, broker, store = system.database, system.broker, system.store
    if database.problem is not None or database.answer_seconds > _SLOW_SECONDS:
        slow = f"it took {database.answer_seconds:.2f} s to answer a small question"
        yield SystemProblem(
            area=Area.DATABASE,
            subject=database.kind,
            text=database.problem or slow,
            advice="Free space on its disk, or look for what keeps it busy.",
        )
    if not broker.connected:
        yield SystemProblem(
            area=Area.BROKER,
            subject=broker.address,
            text="not connected: runs of type api wait",
            advice="Start the broker, or correct SLIPSTREAM_BROKER_URL. No run is lost meanwhile.",
        )
    if store.bytes is None:
        yield SystemProblem(
            area=Area.STORE,
            subject="model store",
            text="it does not answer",
            advice="Check SLIPSTREAM_MODEL_STORE, its credentials and the network. Models that are "
            "loaded go on.",
        )
    if store.room_bytes <= 0:
        yield SystemProblem(
            area=Area.STORE,
            subject="model store",
            text="its disk is nearly full: uploads are refused",
            advice="Delete model versions that are not needed, or free space on the disk.",
        )
    elif store.bytes and store.limit_bytes and store.bytes >= 0.9 * store.limit_bytes:
        yield SystemProblem(
            area=Area.STORE,
            subject="model store",
            text="it has used more than 90 % of SLIPSTREAM_MODEL_STORE_BYTES",
            advice="Delete model versions that are not needed, or raise the limit.",
        )
