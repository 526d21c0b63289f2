"""What Prometheus is to scrape, in the format of its HTTP service discovery."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from time import monotonic

from sqlalchemy.exc import SQLAlchemyError

from gateway.fleet.hosts import HostStore
from gateway.fleet.processes import ProcessStore
from gateway.fleet.service_process import ProcessKind
from gateway.storage.failures import log_failure
from gateway.storage.tables import ServiceProcess
from gateway.upstream.servers import InferenceServers, ReplicaStatus, ServerStatus
from telemetry.logs import logger
from telemetry.options import TcpAddress

_READ_SECONDS = 2.0
_MAX_AGE_SECONDS = 3600.0
"""How long what was read last is answered while the database does not answer."""

log = logger("gateway.fleet")

Target = dict[str, object]


class TargetKind(StrEnum):
    """What has a `/metrics`."""

    GATEWAY = "gateway"
    WORKER = "worker"
    INFERENCE_SERVER = "inference_server"


SERVERS = (TargetKind.WORKER, TargetKind.INFERENCE_SERVER)
"""What is listed by default: gateways ask Prometheus for a token of their own."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What was read from the database, and when."""

    hosts_here: frozenset[str]
    processes: Sequence[tuple[ServiceProcess, bool]]
    read_at: float


class ScrapeTargets:
    """Finds the targets; while the database is away, by what was read last.

    No label has the name of a label of the series: Prometheus would rename the series' own to
    `exported_…`. `up` has only the labels that are given here.
    """

    def __init__(
        self,
        servers: InferenceServers,
        hosts: HostStore,
        processes: ProcessStore,
        is_here: Callable[[str], bool],
    ) -> None:
        """`is_here` says of the owner of a host whether it is on this machine."""
        self._servers = servers
        self._hosts = hosts
        self._processes = processes
        self._is_here = is_here
        self._known: _Known | None = None

    async def find(self, kinds: Collection[TargetKind], *, is_local: bool) -> list[Target]:
        """Return the targets of some kinds.

        Addresses of loopback are those of another machine, or of this one: the former are left out,
        and the latter, too, unless the reader is on this machine (`is_local`).

        Raises:
            SQLAlchemyError, OSError: the database does not answer, and has not for an hour.
        """
        known = await self._read()
        found: list[Target] = []
        for kind, process, label in (
            (TargetKind.GATEWAY, ProcessKind.GATEWAY, "gateway_host"),
            (TargetKind.WORKER, ProcessKind.WORKER, "worker_host"),
        ):
            if kind in kinds:
                found += _process_targets(known.processes, process, label, is_local=is_local)
        if TargetKind.INFERENCE_SERVER in kinds:
            hosts_here = known.hosts_here if is_local else None
            found += _server_targets(self._servers, hosts_here)
        return found

    async def _read(self) -> _Known:
        try:
            async with asyncio.timeout(_READ_SECONDS):
                hosts_here = await self._hosts.ids(self._is_here)
                processes = await self._processes.all()
        except (SQLAlchemyError, OSError) as error:  # TimeoutError is an OSError
            known = self._known
            if known is None or monotonic() - known.read_at > _MAX_AGE_SECONDS:
                raise
            log_failure(log, "targets_not_read", error)
            return known
        self._known = _Known(hosts_here, processes, monotonic())
        return self._known


def _process_targets(
    processes: Sequence[tuple[ServiceProcess, bool]],
    kind: ProcessKind,
    label: str,
    *,
    is_local: bool,
) -> list[Target]:
    """Return each address once, however many processes it stands for."""
    found: dict[str, Target] = {}
    for row, is_alive in processes:
        if row.kind != kind or not row.address or not is_alive:
            continue
        scheme, _, address = row.address.rpartition("://")
        is_here = is_local and row.host == socket.gethostname()
        if is_here or not _is_loopback(row.address):
            labels = {label: row.host, "__scheme__": scheme or "http"}
            found[address] = {"targets": [address], "labels": labels}
    return list(found.values())


def _server_targets(servers: InferenceServers, hosts_here: Collection[str] | None) -> list[Target]:
    return [
        _server_target(status, replica.slot, replica.metrics_address)
        for status in servers.statuses()
        for replica in status.replicas
        if replica.metrics_address and _is_reachable(replica, hosts_here)
    ]


def _is_reachable(replica: ReplicaStatus, hosts_here: Collection[str] | None) -> bool:
    if not _is_loopback(replica.metrics_address):
        return True
    if hosts_here is None:
        return False
    if replica.is_hosted:
        return replica.host_id in hosts_here
    return _is_loopback(replica.tcp_address)  # gateways of other machines cannot use it


def _is_loopback(address: str | None) -> bool:
    return address is not None and TcpAddress.parse(address.rpartition("://")[2]).is_loopback


def _server_target(status: ServerStatus, slot: int, metrics_address: str) -> Target:
    labels = {
        "served_model": status.model,
        "served_version": str(status.version),
        "replica": str(slot),
    }
    scheme, _, address = metrics_address.rpartition("://")
    if scheme:
        labels["__scheme__"] = scheme
    return {"targets": [address], "labels": labels}
