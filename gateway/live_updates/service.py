"""Live updates of one process: its streams, and what they are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

from gateway.auth.identity import Identity
from gateway.live_updates.channel import Stream
from gateway.live_updates.channels import Channels
from gateway.live_updates.entity_changes import EntityChanges
from gateway.live_updates.event_stream import stream_changes
from gateway.live_updates.listeners import Listeners
from gateway.live_updates.polled_changes import PolledChanges
from gateway.live_updates.topics import Topic
from gateway.storage.change_feed import ChangeFeed
from gateway.storage.database import Database


class LiveUpdates:
    """Opens streams. Without streams it asks the database nothing. For one event loop."""

    def __init__(self, db: Database, feed: ChangeFeed, *, session_idle: timedelta) -> None:
        """`session_idle` is how long a console session may be idle."""
        self._channels = Channels()
        self._entities = EntityChanges(db, feed, self._channels)
        self._polled = {
            topic: PolledChanges(db, self._channels, topic)
            for topic in (Topic.RUNS, Topic.DELIVERIES)
        }
        self._listeners = Listeners(db, feed, self._channels, idle=session_idle)
        self._parts: tuple[EntityChanges | PolledChanges | Listeners, ...] = (
            self._entities,
            *self._polled.values(),
            self._listeners,
        )

    def start(self) -> None:
        """Begin to tell streams of changes."""
        for part in self._parts:
            part.start()

    def drain(self) -> None:
        """End all streams, now and from now on: the process shuts down."""
        self._channels.drain()

    async def stop(self) -> None:
        """Stop telling."""
        await asyncio.gather(*(part.stop() for part in self._parts))

    def open(
        self, identity: Identity, topics: frozenset[Topic], last_event_id: str | None
    ) -> Stream:
        """Open a stream of a user after the event with this id; `close` it in any case.

        Raises:
            GatewayError: TOO_MANY_STREAMS; SHUTTING_DOWN.
        """
        stream = self._channels.open(identity, topics, last_event_id)
        for topic in topics & self._polled.keys():
            self._polled[topic].wake()
        if Topic.CALLS in topics:
            self._entities.read_calls(identity.profile_id)
        return stream

    def close(self, stream: Stream) -> None:
        """Give up the place of a stream."""
        self._channels.close(stream)

    def events(self, stream: Stream, *, is_new: bool, seconds: float) -> AsyncIterator[bytes]:
        """Return the events of a stream, see `stream_changes`."""
        return stream_changes(stream, is_new=is_new, seconds=seconds)
