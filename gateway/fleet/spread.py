"""How the replicas of one server are spread over hosts: decisions, without a database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from gateway.fleet.labels import Labels, fits
from gateway.fleet.states import Desired, State
from gateway.storage.tables import InferenceServer, Replica

CROWDED = 2
"""A host has so many replicas more than another one before one of them moves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveHost:
    """A host whose lease lasts.

    Attributes:
        labels: of the machine.
        is_cordoned: whether it takes no replicas, and those that it has move away.
    """

    labels: Labels
    is_cordoned: bool = False

    def may_run(self, server: InferenceServer) -> bool:
        """Whether it may take replicas of a server."""
        return not self.is_cordoned and fits(self.labels, server.host_labels or {})


LiveHosts = Mapping[str, LiveHost]
"""Those that live, by id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one host does now for a move of a replica.

    Attributes:
        kind: `begin`: it makes a successor of the replica, and runs it. `end`: the successor takes
            the place of what it replaces. `cancel`: the successor is deleted.
        replica_id: of what is to move, or of the successor.
        is_forced: whether the replica has to leave its host.
        has_fewest: whether no other host that may run it has fewer of the server.
    """

    kind: Literal["begin", "end", "cancel"]
    replica_id: str
    is_forced: bool = False
    has_fewest: bool = True


def surplus(hosted: Sequence[Replica], count: int) -> list[Replica]:
    """Return which of the replicas of a server go, so that `count` stay.

    First what no host runs, then from the host that has most; there what does not answer, then the
    last one: the host of the first one decides how many there are.
    """
    stay, gone = list(hosted), []
    while len(stay) > count:
        on = Counter(replica.host_id for replica in stay)
        last = max(
            stay,
            key=lambda it: (it.host_id is None, on[it.host_id], it.state != State.READY, it.slot),
        )
        stay.remove(last)
        gone.append(last)
    return gone


def may_add(
    host_id: str, counts: Mapping[str, int], eligible: Collection[str], wanted: int
) -> bool:
    """Whether a host takes one more replica of a server before the others do.

    Args:
        host_id: of the host.
        counts: how many of the server each host has.
        eligible: the hosts that may run it, with this one.
        wanted: how many the server has, or is to have.
    """
    mine = counts.get(host_id, 0)
    if mine < wanted // max(1, len(eligible)):
        return True  # each of them gets so many
    return all(mine <= counts.get(each, 0) for each in eligible)


def next_step(
    host_id: str, server: InferenceServer, hosts: LiveHosts, *, sees_ends: bool
) -> Step | None:
    """Return what a host does for a move of a replica of a server; None: nothing.

    At most one replica of a server moves at a time. It moves to a host that has none of the server,
    or at least two fewer, from one that has most, once all of them answer calls; and from one that
    is cordoned, at once.

    Args:
        host_id: of the host that asks.
        server: with its replicas.
        hosts: those that live.
        sees_ends: whether a host that is not among them has ended: else the database was away.
    """
    for successor in server.successors:
        return _continue(host_id, server, successor, hosts, sees_ends=sees_ends)
    me = hosts.get(host_id)
    if server.desired != Desired.RUNNING or me is None or not me.may_run(server):
        return None
    hosted = server.hosted
    counts = Counter(replica.host_id for replica in hosted if replica.host_id is not None)
    eligible = [each for each, host in hosts.items() if host.may_run(server)]
    has_fewest = may_add(host_id, counts, eligible, 0)
    for replica in hosted:
        source = hosts.get(replica.host_id or "")
        if source is not None and source.is_cordoned and replica.state == State.READY:
            return Step(kind="begin", replica_id=replica.id, is_forced=True, has_fewest=has_fewest)
    crowded = max((each for each in counts if each in hosts), key=counts.__getitem__, default=None)
    if (
        crowded is None
        or not has_fewest
        or counts[crowded] < counts[host_id] + CROWDED
        or any(replica.state != State.READY for replica in hosted)
    ):
        return None
    last = [replica for replica in hosted if replica.host_id == crowded][-1]
    return Step(kind="begin", replica_id=last.id)


def _continue(
    host_id: str,
    server: InferenceServer,
    successor: Replica,
    hosts: LiveHosts,
    *,
    sees_ends: bool,
) -> Step | None:
    cancel = Step(kind="cancel", replica_id=successor.id)
    if server.desired != Desired.RUNNING:
        return cancel
    if successor.host_id != host_id:
        is_orphan = successor.host_id not in hosts and (successor.host_id is None or sees_ends)
        return cancel if is_orphan else None
    if successor.state == State.FAILED or successor.restarts:
        return cancel
    before = next(each for each in server.replicas if each.id == successor.replaces)
    is_gone = before.host_id not in hosts and (before.host_id is None or sees_ends)
    if successor.state == State.READY or is_gone:
        return Step(kind="end", replica_id=successor.id)
    return None
