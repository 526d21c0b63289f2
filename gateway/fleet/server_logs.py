"""The last lines of the logs of replicas: the host that runs one writes them, any gateway reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import or_, select

from gateway.storage.database import Database
from gateway.storage.sql import dialect_insert
from gateway.storage.tables import Replica, ReplicaLog

MAX_LINES = 200
"""Of a replica."""


class LogLine(NamedTuple):
    """A line of the log of a replica."""

    at: int
    """Microseconds since the epoch; no two lines of a replica have the same."""
    level: str
    text: str


ReplicaLines = tuple[int, Sequence[LogLine]]
"""The slot of a replica, and its lines, the newest last."""


class ServerLogStore:
    """The lines, a row for each replica."""

    def __init__(self, db: Database) -> None:
        self._db = db
        insert = dialect_insert(ReplicaLog, db.dialect)
        self._replace = insert.on_conflict_do_update(
            index_elements=["replica_id"], set_={"lines": insert.excluded.lines}
        )

    async def write(self, host_id: str | None, logs: Mapping[str, Sequence[LogLine]]) -> None:
        """Write the lines of replicas, by their ids, in one transaction, without reading any.

        A host that has lost a replica to another one no longer writes its lines.
        """
        ours = (
            select(Replica.id)
            .where(Replica.id.in_(logs.keys()))
            .where(or_(Replica.host_id == host_id, Replica.host_id.is_(None)))
            .with_for_update(read=True, key_share=True)
        )
        async with self._db.write() as session:
            for replica_id in (await session.execute(ours)).scalars().all():
                lines = [list(line) for line in logs[replica_id]]
                values = {"replica_id": replica_id, "lines": lines}
                await session.execute(self._replace, values)

    async def read(self, server_id: str) -> Sequence[ReplicaLines]:
        """Return the lines of all replicas of a server, by slot."""
        statement = (
            select(Replica.slot, ReplicaLog.lines)
            .join(ReplicaLog, ReplicaLog.replica_id == Replica.id)
            .where(Replica.server_id == server_id)
            .order_by(Replica.slot)
        )
        async with self._db.read() as session:
            return [
                (slot, [LogLine(*line) for line in lines])
                for slot, lines in await session.execute(statement)
            ]
