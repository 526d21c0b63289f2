"""How many replicas a server has, and when several sleep: decided by the load that hosts record.

The host of a server's first replica decides, so that each server has one that does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from math import ceil
from time import monotonic

from sqlalchemy import Float, Label, and_, case, exists, or_, select, type_coerce
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.fleet.spread import surplus
from gateway.fleet.states import Desired, NeededBy, State
from gateway.fleet.store import set_count
from gateway.storage.changes import ChangeKind, record_change
from gateway.storage.database import Database
from gateway.storage.sql import seconds_from_now
from gateway.storage.tables import UNNEEDED_IDLE_SECONDS, InferenceServer, Replica

DEFAULT_TARGET_QUEUE = 2.0
"""One call runs and one waits: the next run begins as soon as one ends."""
_TOLERANCE = 0.1
"""By this part of a replica's target the load may exceed it before there is one more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was decided of a server: its number of replicas, 0 for sleep, and why."""

    server: InferenceServer
    before: int
    after: int
    load: float


@dataclass(slots=True)
class _Past:
    """What a server has needed: when, and how many; and how many it had at the last look."""

    needed: deque[tuple[float, int]] = field(default_factory=deque)
    count: int = 0


class Scaling:
    """Adapts the servers whose first replica one host runs. Call `decide` once a second."""

    def __init__(
        self,
        db: Database,
        host_id: str,
        *,
        down_seconds: float,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Decide for `host_id`; a number shrinks to the most that `down_seconds` have needed."""
        self._db = db
        self._host_id = host_id
        self._down_seconds = down_seconds
        self._clock = clock
        self._past: dict[str, _Past] = {}

    async def decide(self, server_ids: Collection[str]) -> list[Decision]:
        """Adapt those of the servers that need it; return what was decided."""
        statement = (
            select(InferenceServer, _is_idle())
            .where(InferenceServer.id.in_(server_ids), InferenceServer.desired == Desired.RUNNING)
            .order_by(InferenceServer.id)
        )
        async with self._db.read() as session:
            found = (await session.execute(statement)).all()
        decided = []
        seen = set()
        for server, is_idle in found:
            if not self._decides(server):
                continue
            seen.add(server.id)
            load = sum(replica.load or 0.0 for replica in server.hosted)
            wanted = self._wanted(server, load) if server.scales else server.replica_count
            sleeps = server.sleeps and is_idle
            if sleeps or wanted != server.replica_count:
                decision = Decision(
                    server=server,
                    before=server.replica_count,
                    after=0 if sleeps else wanted,
                    load=load,
                )
                if await self._apply(decision):
                    decided.append(decision)
                    if server.id in self._past:
                        self._past[server.id].count = decision.after
        for gone in self._past.keys() - seen:
            del self._past[gone]
        return decided

    def _decides(self, server: InferenceServer) -> bool:
        hosts = [replica.host_id for replica in server.hosted if replica.host_id is not None]
        return bool(hosts) and hosts[0] == self._host_id

    def _wanted(self, server: InferenceServer, load: float) -> int:
        """Return the number for a load: more at once, fewer after a while that needs no more."""
        past, now = self._past.setdefault(server.id, _Past()), self._clock()
        needed = past.needed
        count = wanted_replicas(server, load)
        if server.replica_count > past.count:  # others have raised it: assume that all are needed
            needed.clear()
            needed.append((now, server.replica_count))
        past.count = server.replica_count
        while needed and needed[-1][1] <= count:  # smaller ones that came before never matter again
            needed.pop()
        needed.append((now, count))
        while len(needed) > 1 and needed[0][0] <= now - self._down_seconds:
            needed.popleft()
        if count >= server.replica_count:
            return count
        wanted = min(server.replica_count, needed[0][1])
        gone = surplus(server.hosted, wanted)
        stay = [replica for replica in server.hosted if replica not in gone]
        are_ready = all(replica.state == State.READY for replica in stay)
        return wanted if are_ready else server.replica_count

    async def _apply(self, decision: Decision) -> bool:
        """Write it, unless the server has been changed meanwhile."""
        seen = decision.server
        locked = select(InferenceServer).where(InferenceServer.id == seen.id).with_for_update()
        async with self._db.write() as session:
            server = (await session.execute(locked)).scalar_one_or_none()
            if (
                server is None
                or (server.desired, server.generation) != (Desired.RUNNING, seen.generation)
                or (server.min_replicas, server.max_replicas)
                != (seen.min_replicas, seen.max_replicas)
                or server.idle_seconds != seen.idle_seconds
                or server.replica_count != decision.before
                or not self._decides(server)
            ):
                return False
            if decision.after:
                await set_count(session, server, decision.after)
            elif await _still_idle(session, server.id):
                server.desired = Desired.ASLEEP
                await set_count(session, server, server.min_replicas or decision.before)
                for replica in server.hosted:  # a call may wake it before its processes have ended
                    replica.idle_since = None
            else:
                return False
            record_change(session, ChangeKind.INFERENCE_SERVER, server.id)
        return True


def wanted_replicas(server: InferenceServer, load: float) -> int:
    """Return how many replicas a load needs, within the server's range.

    `load` is how many calls wait or run in all replicas together, on average: the calls of a second
    times the seconds that each takes, with its wait (Little's law).
    """
    target = server.target_queue or DEFAULT_TARGET_QUEUE
    needed = ceil(load / target - _TOLERANCE)
    assert server.min_replicas is not None, "the server scales"
    assert server.max_replicas is not None, "the server scales"
    return min(max(needed, server.min_replicas), server.max_replicas)


def _is_idle() -> Label[bool]:
    """Return the condition that a server answers, and none of its replicas has had a call."""
    of_server = Replica.server_id == InferenceServer.id
    seconds = case(
        (InferenceServer.needed_by == NeededBy.NOTHING, UNNEEDED_IDLE_SECONDS),
        else_=InferenceServer.idle_timeout_seconds,
    )
    timeout = seconds_from_now(type_coerce(-seconds, Float))
    has_no_process = Replica.state.in_([State.STOPPED, State.FAILED])
    called = or_(Replica.idle_since.is_(None), Replica.idle_since > timeout)
    return and_(
        exists().where(of_server, Replica.state == State.READY),
        ~exists().where(of_server, ~has_no_process, called),
    ).label("is_idle")


async def _still_idle(session: AsyncSession, server_id: str) -> bool:
    statement = select(_is_idle()).where(InferenceServer.id == server_id)
    return bool(await session.scalar(statement))
