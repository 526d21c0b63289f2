"""Response bodies of hosts, and of the gateways and workers."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict

from gateway.fleet.hosts import SeenHost
from gateway.fleet.service_process import ProcessKind
from gateway.fleet.states import State
from gateway.storage.tables import ServiceProcess


class HostOut(BaseModel):
    """A machine whose supervisor runs inference servers."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    """Id of the host, which replicas and processes name as `host_id`."""
    name: str
    """The name of the machine, for people."""
    state: Literal["alive", "gone"]
    """`gone`: its lease has ended, and others take its replicas."""
    joined: bool
    """Whether it runs `slipstream join`."""
    version: str | None
    """Version of Slipstream that its supervisor runs; null: not known."""
    labels: dict[str, str]
    """Which inference servers can require."""
    replicas: int
    """Of inference servers."""
    used_memory_bytes: int
    """By these."""
    memory_bytes: int | None
    """What they may use together; null: a host of an older release does not say."""
    cordoned_at: datetime | None
    """Since when it takes no replicas, and those that it has move to others (UTC); null: it takes
    some."""
    created_at: datetime
    """When it was first seen (UTC)."""

    @classmethod
    def of(cls, seen: SeenHost) -> Self:
        """Return the response body."""
        host = seen.row
        return cls(
            id=host.id,
            name=host.name,
            state="alive" if seen.is_alive else "gone",
            joined=host.joined,
            version=host.version,
            labels=host.labels or {},
            replicas=seen.replicas,
            used_memory_bytes=seen.used_memory_bytes,
            memory_bytes=host.memory_bytes,
            cordoned_at=host.cordoned_at,
            created_at=host.created_at,
        )


class HostList(BaseModel):
    """All of them, oldest first."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    items: list[HostOut]
    """The hosts, the oldest first."""

    @classmethod
    def of(cls, hosts: Iterable[SeenHost]) -> Self:
        """Return the response body."""
        return cls(items=[HostOut.of(host) for host in hosts])


class ProcessOut(BaseModel):
    """A gateway or a worker."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    """Id of the process in this list."""
    kind: ProcessKind
    """`gateway`, or `worker`: it executes runs of the queues."""
    name: str
    """What tells it from the others of its machine."""
    host: str
    """The name of its machine."""
    host_id: str | None
    """The host that looks after it; null: it runs alone."""
    state: Literal["booting", "ready", "unresponsive", "draining", "failed", "stopped", "gone"]
    """`stopped`: it sleeps. `gone`: its lease, or that of its host, has ended."""
    reason: str | None
    """Why it is in this state, such as an error; null: there is nothing to say."""
    address: str | None
    """The URL of its REST port, or of its probes and metrics."""
    version: str
    """Version of Slipstream that it runs."""
    concurrency: int | None
    """How many runs a worker executes at a time."""
    pid: int | None
    """Id of the process on its machine; null: there is none."""
    started_at: datetime | None
    """When the process was first seen."""

    @classmethod
    def of(cls, row: ServiceProcess, *, is_alive: bool) -> Self:
        """Return the response body."""
        return cls(
            id=row.id,
            kind=ProcessKind(row.kind),
            name=row.name,
            host=row.host,
            host_id=row.host_id,
            state=State(row.state).value if is_alive else "gone",
            reason=row.reason,
            address=row.address,
            version=row.version,
            concurrency=row.concurrency,
            pid=row.pid,
            started_at=row.started_at,
        )


class ProcessList(BaseModel):
    """All of them: the gateways first, by their machines."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    items: list[ProcessOut]
    """The gateways, then the workers, each by their machines."""

    @classmethod
    def of(cls, found: Iterable[tuple[ServiceProcess, bool]]) -> Self:
        """Return the response body."""
        return cls(items=[ProcessOut.of(row, is_alive=is_alive) for row, is_alive in found])
