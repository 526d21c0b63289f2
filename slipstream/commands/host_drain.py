"""Waits until all replicas have moved away from a host that is cordoned, and shows which have."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from time import monotonic

from gateway.errors import GatewayError
from gateway.fleet.hosts import HostStore, SeenHost
from gateway.fleet.spread import LiveHost
from gateway.fleet.states import Desired
from gateway.storage.tables import InferenceServer
from protos.errors import ErrorCode
from slipstream.session import CommandSession
from slipstream.supervisor.process_manager import SWITCH_SECONDS

_POLL_SECONDS = 0.5
_STAYS = "stays: no other host that lives may run it"


def find_host(hosts: Sequence[SeenHost], given: str) -> SeenHost:
    """Return the host of a name or an id; of several of a name, the one that lives.

    Raises:
        GatewayError: NOT_FOUND if there is none, VALIDATION_FAILED if there are several.
    """
    found = [host for host in hosts if given in (host.row.name, host.row.id)]
    living = [host for host in found if host.is_alive] or found
    if len(living) == 1:
        return living[0]
    if not found:
        known = ", ".join(sorted({host.row.name for host in hosts})) or "none"
        message = f"unknown host '{given}': expected one of {known}"
        raise GatewayError(ErrorCode.NOT_FOUND, message)
    ids = ", ".join(host.row.id for host in living)
    message = f"host: expected one host, {len(living)} have the name '{given}': give an id, {ids}"
    raise GatewayError(ErrorCode.VALIDATION_FAILED, message)


def remaining(
    servers: Sequence[InferenceServer], hosts: Sequence[SeenHost], host_id: str
) -> Mapping[str, tuple[str, str]]:
    """Return the model version of each replica that a host still has, and what it waits for."""
    names = {host.row.id: host.row.name for host in hosts}
    takers = [
        LiveHost(labels=it.row.labels or {}, is_cordoned=it.row.cordoned_at is not None)
        for it in hosts
        if it.is_alive
    ]
    found = {}
    for server in servers:
        new = {it.replaces: it for it in server.successors}
        for replica in server.replicas:
            if replica.host_id != host_id:
                continue
            title = f"{server.model} {server.version}"
            if replica.id in new:
                where = names.get(new[replica.id].host_id or "", "another host")
                why = f"boots on {where}"
            elif server.desired != Desired.RUNNING:
                why = "ends"
            elif replica in server.successors:
                why = "boots here, and moves then"
            elif not any(taker.may_run(server) for taker in takers):
                why = _STAYS
            else:
                why = "waits for a host that takes it"
            found[replica.id] = (title, why)
    return found


def drain(session: CommandSession, host_id: str, *, timeout: float) -> None:
    """Wait until nothing runs on a host, and show what moves.

    Raises:
        GatewayError: CONFLICT if that takes longer than `timeout` seconds, or only what no other
            host may run is left.
    """
    deadline = monotonic() + timeout
    shown: Mapping[str, tuple[str, str]] = {}
    while True:
        servers = session.run(session.services.fleet.store.all())
        hosts = session.run(HostStore(session.workspace.db).all())
        left = remaining(servers, hosts, host_id)
        for replica_id in shown.keys() - left.keys():
            session.terminal.note(f"{shown[replica_id][0]} is gone")
        for replica_id, (title, why) in left.items():
            if shown.get(replica_id) != (title, why):
                session.terminal.note(f"{title} {why}")
        shown = left
        if not left:
            session.run(asyncio.sleep(SWITCH_SECONDS))  # in which gateways let go of the processes
            return
        if monotonic() > deadline or all(why == _STAYS for _, why in left.values()):
            listed = "; ".join(f"{title} {why}" for title, why in left.values())
            message = f"the host may not be stopped, replicas are left: {listed}"
            raise GatewayError(ErrorCode.CONFLICT, message)
        session.run(asyncio.sleep(_POLL_SECONDS))
