"""The parts of an installation, as they are at one moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.fleet.service_process import ProcessKind


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessState:
    """A gateway or a worker."""

    id: str
    """Id of the process in `/node/processes/`."""
    kind: ProcessKind
    """`gateway`, or `worker`: it executes runs of the queues."""
    name: str
    """What tells it from the others of its machine."""
    host: str
    """The name of its machine."""
    state: str
    """As of an inference server, or `gone`: its lease has ended."""
    reason: str | None
    """Why it is in this state, such as an error; null: there is nothing to say."""
    version: str
    """Version of Slipstream that it runs."""
    slots: int | None
    """How many runs a worker executes at a time."""
    heartbeat_age_seconds: float | None
    """Since it, or the host that looks after it, has renewed its lease."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostState:
    """A machine."""

    id: str
    """Id of the host, which replicas and processes name as `host_id`."""
    name: str
    """The name of the machine, for people."""
    state: str
    """`alive` or `gone`."""
    replicas: int
    """How many replicas of inference servers it runs."""
    used_memory_bytes: int
    """Memory that its replicas use, as last measured."""
    memory_bytes: int | None
    """What its replicas may use together; null: a host of an older release does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueState:
    """Runs that wait."""

    name: str
    """`sync` and `async` are of workers; `gateway` is of runs in the gateways' own processes."""
    depth: int
    """How many runs wait."""
    oldest_seconds: float | None
    """For how long the oldest one waits; null: none does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseState:
    """The database."""

    kind: str
    """`sqlite` or `postgresql`."""
    answer_seconds: float
    """How long it took for a small question."""
    problem: str | None
    """What is wrong with its disk, for people; null: nothing is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerState:
    """The broker."""

    kind: str
    """`folder`, `redis` or `amqp`."""
    address: str
    """Without its password."""
    connected: bool
    """Whether the gateway that answers is connected to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreState:
    """The model store."""

    remote: bool
    """Whether it is a bucket."""
    bytes: int | None
    """Of all versions. Null: it does not answer."""
    limit_bytes: int | None
    """What all versions may take, as the operator has set it; null: what the disk holds."""
    free_bytes: int
    """On the disk where it is, or where uploads are received."""
    room_bytes: int
    """What of these may be used: some of the disk stays free. Negative: less than that is free."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerState:
    """An inference server that is to run and does not answer calls."""

    id: str
    """Id of the inference server, as its routes take it."""
    model: str
    """Name of the model."""
    version: int
    """Number of the model version."""
    state: str
    """`booting`, `draining`, `unresponsive`, `failed` or `stopped`."""
    reason: str | None
    """Why it is in this state, such as an error; null: there is nothing to say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServersState:
    """The inference servers."""

    by_state: Mapping[str, int]
    """State, or `asleep` → how many there are."""
    memory_bytes: int
    """Memory that their replicas use, as last measured."""
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
