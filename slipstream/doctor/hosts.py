"""Checks of the hosts: what one host's death would take down, and hosts that take nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from gateway.fleet.hosts import SeenHost
from gateway.fleet.spread import LiveHost
from gateway.fleet.states import Desired
from gateway.storage.tables import InferenceServer
from slipstream.doctor.finding import Finding, good, warning

_LONG = timedelta(days=1)
"""After which a host that is cordoned may have been forgotten."""


def check_hosts(
    servers: Sequence[InferenceServer], hosts: Sequence[SeenHost], now: datetime
) -> Iterator[Finding]:
    """Check how servers are spread over the hosts that live."""
    alive = {
        it.row.id: LiveHost(labels=it.row.labels or {}, is_cordoned=it.row.cordoned_at is not None)
        for it in hosts
        if it.is_alive
    }
    names = {it.row.id: it.row.name for it in hosts}
    if len(alive) > 1:
        yield good("hosts", f"{len(alive)} hosts live: {', '.join(names[it] for it in alive)}")
        for server in servers:
            host_id = _only_host(server)
            others = [it for it, host in alive.items() if host.may_run(server) and it != host_id]
            if host_id in alive and others:
                logs = ", ".join(names[it] for it in others)
                yield warning(
                    "hosts",
                    f"{server.model} {server.version} has {server.replica_count} replicas, all on "
                    f"{names[host_id]}: none is left if that host dies",
                    "they spread within seconds by themselves, where model and memory permit; see "
                    f"`slipstream hosts list` and the log of {logs}",
                )
    for it in hosts:
        since = it.row.cordoned_at
        if since is not None and now - since > _LONG:
            yield warning(
                "hosts",
                f"{it.row.name} is cordoned since {since:%Y-%m-%d %H:%M} UTC: it takes no "
                "inference servers",
                f"slipstream hosts uncordon {it.row.name}",
            )


def _only_host(server: InferenceServer) -> str | None:
    """Return the host that has all replicas of a server, if it is to have several."""
    if server.desired != Desired.RUNNING or server.replica_count < 2:  # noqa: PLR2004 - several
        return None
    places = {replica.host_id for replica in server.replicas}
    return places.pop() if len(places) == 1 else None
