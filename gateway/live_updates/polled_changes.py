"""Tells streams of changes of runs and deliveries, for which it asks the database.

They change too often to be announced by the change feed: a row there for each would cost every run.
So while a user listens, and only then, queries find what of that user is not finished or is new.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.live_updates import store
from gateway.live_updates.channel import Channel
from gateway.live_updates.channels import Channels
from gateway.live_updates.store import Changeable, Found
from gateway.live_updates.topics import Item, Topic
from gateway.storage.background_step import BackgroundStep
from gateway.storage.database import Database

_SECONDS = 0.5
"""Between two queries."""
_IDLE_FACTOR = 4
"""After a query, the next one waits at least this multiple of its duration."""

_UNFINISHED = frozenset({"queued", "running", "cancelling"})

Known = Mapping[str, Changeable]
"""By id: runs or deliveries as they were last seen."""


class PolledChanges:
    """Follows one topic. For one event loop."""

    def __init__(self, db: Database, channels: Channels, topic: Topic) -> None:
        self._db = db
        self._channels = channels
        self._topic = topic
        self._known: dict[str, Known] = {}
        self._step = BackgroundStep(f"live {topic}", self._follow)
        self.start = self._step.start
        self.wake = self._step.wake
        self.stop = self._step.stop

    async def _follow(self) -> float | None:
        channels = {each.profile_id: each for each in self._channels.about(self._topic)}
        if not channels:
            self._known.clear()
            return None
        began = monotonic()
        await self._poll(channels)
        return max(_SECONDS, _IDLE_FACTOR * (monotonic() - began))

    async def _poll(self, channels: Mapping[str, Channel]) -> None:
        # A new listener is told of all: what it has read may be older than these queries.
        before, self._known = self._known, {}
        async with self._db.read() as session:
            for profile_id, channel in channels.items():
                known = before.get(profile_id, {})
                found = await self._find(session, profile_id, known)
                if found.is_full:  # not all are known
                    channel.add(Item(topic=self._topic, id=None))
                else:
                    self._tell(channel, known, found.rows)
                    self._known[profile_id] = found.rows

    async def _find(self, session: AsyncSession, profile_id: str, before: Known) -> Found:
        if self._topic is Topic.DELIVERIES:
            return await store.changing_deliveries(session, [profile_id])
        found = await store.changing_runs(session, [profile_id])
        ended = [
            row.id
            for row in before.values()
            if row.id not in found.rows and row.status in _UNFINISHED
        ]
        if found.is_full or not ended:
            return found
        return found.with_rows(await store.runs_with(session, ended))

    def _tell(self, channel: Channel, before: Known, rows: Known) -> None:
        for row in rows.values():
            if before.get(row.id) == row:
                continue
            fields = {"deployment_id": row.deployment_id, "status": row.status}
            channel.add(Item(topic=self._topic, id=row.id, fields=fields))
