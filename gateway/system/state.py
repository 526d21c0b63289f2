"""The parts of an installation, as they are at one moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.fleet.service_process import ProcessKind


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessState:
    """A gateway or a queue worker."""

    id: str
    kind: ProcessKind
    name: str
    host: str
    state: str
    """As of an inference server, or `gone`: its lease has ended."""
    reason: str | None
    version: str
    slots: int | None
    """How many runs a queue worker executes at a time."""
    heartbeat_age_seconds: float | None
    """Since it, or the host that looks after it, has renewed its lease."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostState:
    """A machine."""

    id: str
    name: str
    state: str
    """`alive` or `gone`."""
    replicas: int
    used_memory_bytes: int
    memory_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueState:
    """Runs that wait."""

    name: str
    """`sync` and `async` are of workers; `gateway` is of runs in the gateways' own processes."""
    depth: int
    oldest_seconds: float | None
    """For how long the oldest one waits; None: none does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseState:
    """The database."""

    kind: str
    answer_seconds: float
    """How long it took for a small question."""
    problem: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerState:
    """The broker."""

    kind: str
    address: str
    """Without its password."""
    connected: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreState:
    """The model store."""

    remote: bool
    """Whether it is a bucket."""
    bytes: int | None
    """Of all versions. None: it does not answer."""
    limit_bytes: int | None
    free_bytes: int
    """On the disk where it is, or where uploads are received."""
    room_bytes: int
    """What of these may be used: some of the disk stays free. Negative: less than that is free."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerState:
    """An inference server that is to run and does not answer calls."""

    id: str
    model: str
    version: int
    state: str
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServersState:
    """The inference servers."""

    by_state: Mapping[str, int]
    """State, or `asleep` → how many there are."""
    memory_bytes: int
    waiting: Sequence[ServerState]
    """Those that are to run and are not ready; up to 50."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemState:
    """All of it."""

    hosts: Sequence[HostState]
    processes: Sequence[ProcessState]
    busy: Mapping[str, int]
    """Host → how many runs its workers execute."""
    queues: Sequence[QueueState]
    database: DatabaseState
    broker: BrokerState
    store: StoreState
    servers: ServersState
