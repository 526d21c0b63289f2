"""The fleet for Prometheus: metrics, and scrape targets."""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.fleet.service_process import ProcessKind
from gateway.fleet.states import Desired, State
from gateway.storage.tables import ServiceProcess
from gateway.upstream.servers import InferenceServers, ReplicaStatus, ServerStatus
from telemetry.options import TcpAddress

_LABELS = ("model", "version")
_STATES = (*State, Desired.ASLEEP)
"""The values of the label. A server that is asleep has no process, but is not stopped."""


class FleetCollector(Collector):
    """State, boot time and restarts of every inference server, as the gateway knows them."""

    def __init__(self, servers: InferenceServers) -> None:
        self._servers = servers

    def collect(self) -> Iterator[Metric]:
        """Yield the fleet's metrics."""
        states = GaugeMetricFamily(
            "inference_server_state",
            "1 for the state that the inference server is in, 0 for the others.",
            labels=(*_LABELS, "state"),
        )
        boots = GaugeMetricFamily(
            "inference_server_boot_seconds",
            "Time of the inference server's last boot.",
            labels=_LABELS,
        )
        restarts = CounterMetricFamily(
            "inference_server_restarts",
            "How often the inference server was restarted after it had died.",
            labels=_LABELS,
        )
        replicas = GaugeMetricFamily(
            "inference_server_replicas",
            "How many processes hosts are to run of the inference server: 0 while it is stopped or "
            "asleep. Those that register themselves do not count.",
            labels=_LABELS,
        )
        connected = GaugeMetricFamily(
            "inference_server_connected_replicas",
            "How many of its processes take calls of this process.",
            labels=_LABELS,
        )
        slow = GaugeMetricFamily(
            "inference_server_slow_replicas",
            "How many of these are so much slower than the others that this process avoids them.",
            labels=_LABELS,
        )
        for status in self._servers.statuses():
            labels = (status.model, str(status.version))
            shown = self._state(status)
            for state in _STATES:
                states.add_metric((*labels, state), float(shown == state))
            if status.boot_seconds is not None:
                boots.add_metric(labels, status.boot_seconds)
            restarts.add_metric(labels, status.restarts)
            replicas.add_metric(labels, status.hosted * status.wanted)
            streams = self._servers.streams(status.model, status.version)
            connected.add_metric(labels, len(streams))
            slow.add_metric(labels, self._servers.slow_streams(status.model, status.version))
        yield from (states, boots, restarts, replicas, connected, slow)

    def _state(self, status: ServerStatus) -> str:
        if status.asleep:
            return Desired.ASLEEP
        return self._servers.current_state(status.model, status.version, status.state)


def scrape_targets(
    servers: InferenceServers, hosts_here: Collection[str] | None
) -> list[dict[str, object]]:
    """Return the servers' /metrics in the format of Prometheus' HTTP service discovery.

    Addresses of loopback are those of another machine, or of this one: the former are left out, and
    the latter, too, unless `hosts_here` has the ids of the hosts on the machine of the reader.

    No label has the name of a label of the series: Prometheus would rename the series' own to
    `exported_…`. `up` has only the labels that are given here.
    """
    return [
        _target(status, replica.slot, replica.metrics_address)
        for status in servers.statuses()
        for replica in status.replicas
        if replica.metrics_address and _is_reachable(replica, hosts_here)
    ]


def worker_targets(
    processes: Sequence[tuple[ServiceProcess, bool]], *, is_local: bool
) -> list[dict[str, object]]:
    """Return the workers that have a /metrics (`slipstream worker --metrics`), in that format.

    Each has an address once, whatever number of queue workers it has. Those that listen on loopback
    are left out unless they, and the reader (`is_local`), are on this machine.
    """
    found: dict[str, dict[str, object]] = {}
    for row, is_alive in processes:
        if row.kind != ProcessKind.WORKER or not row.address or not is_alive:
            continue
        scheme, _, address = row.address.rpartition("://")
        is_here = is_local and row.host == socket.gethostname()
        if is_here or not _is_loopback(row.address):
            labels = {"worker_host": row.host, "__scheme__": scheme or "http"}
            found[address] = {"targets": [address], "labels": labels}
    return list(found.values())


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


def _target(status: ServerStatus, slot: int, metrics_address: str) -> dict[str, object]:
    labels = {
        "served_model": status.model,
        "served_version": str(status.version),
        "replica": str(slot),
    }
    scheme, _, address = metrics_address.rpartition("://")
    if scheme:
        labels["__scheme__"] = scheme
    return {"targets": [address], "labels": labels}
