"""The fleet for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.fleet.states import Desired, State
from gateway.upstream.servers import InferenceServers, ServerStatus

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
