"""The channels of all users who listen at one process, and their streams."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic

from gateway.auth.identity import Identity
from gateway.errors import GatewayError
from gateway.live_updates.channel import KEPT_SECONDS, Channel, Stream
from gateway.live_updates.event_stream import read_last_event_id
from gateway.live_updates.topics import Item, Topic
from protos.errors import ErrorCode

MAX_STREAMS = 256
"""Of one process."""
MAX_STREAMS_PER_USER = 16
_RETRY_SECONDS = 15


class Channels:
    """Opens and ends streams within their limits. For one event loop."""

    def __init__(self) -> None:
        self.draining = False
        self._channels: dict[str, Channel] = {}

    def open(
        self, identity: Identity, topics: frozenset[Topic], last_event_id: str | None
    ) -> Stream:
        """Open a stream of a user after the event with this id; `close` it in any case.

        Raises:
            GatewayError: TOO_MANY_STREAMS; SHUTTING_DOWN.
        """
        if self.draining:
            message = "the gateway shuts down: connect again"
            raise GatewayError(ErrorCode.SHUTTING_DOWN, message, retry_after=1)
        channel = self._channels.get(identity.profile_id)
        if channel is not None and len(channel.streams) >= MAX_STREAMS_PER_USER:
            raise _too_many(f"you have {MAX_STREAMS_PER_USER} streams at this gateway")
        if sum(len(each.streams) for each in self._channels.values()) >= MAX_STREAMS:
            raise _too_many(f"this gateway has {MAX_STREAMS} streams")
        if channel is None:
            channel = self._new(identity)
        channel.administers = identity.administers
        after = read_last_event_id(channel, last_event_id)
        stream = Stream(channel, identity, topics, after)
        channel.collect(topics)
        channel.streams.add(stream)
        return stream

    def close(self, stream: Stream) -> None:
        """Give up the place of a stream; what its user is told of is kept for a moment."""
        stream.channel.streams.discard(stream)
        stream.channel.idle_since = monotonic()

    def drain(self) -> None:
        """End all streams, now and from now on: the process shuts down."""
        self.draining = True
        for stream in self.streams():
            stream.end()

    def streams(self) -> list[Stream]:
        """Return all open streams."""
        return [stream for channel in self._channels.values() for stream in channel.streams]

    def about(self, topic: Topic) -> list[Channel]:
        """Return the channels that keep changes of a topic."""
        return [channel for channel in self._kept() if topic in channel.topics]

    def of_user(self, profile_id: str) -> Channel | None:
        """Return the channel of a user, if there is one."""
        return self._channels.get(profile_id)

    def tell_all(self, topic: Topic) -> None:
        """Tell everyone who listens that something of a topic may have changed."""
        for channel in self.about(topic):
            channel.add(Item(topic=topic, id=None))

    def _kept(self) -> Iterator[Channel]:
        oldest = monotonic() - KEPT_SECONDS
        for profile_id, channel in list(self._channels.items()):
            if channel.streams or channel.idle_since >= oldest:
                yield channel
            else:
                del self._channels[profile_id]

    def _new(self, identity: Identity) -> Channel:
        kept = list(self._kept())
        if len(kept) >= MAX_STREAMS:
            idle = [channel for channel in kept if not channel.streams]
            first = min(idle, key=lambda channel: channel.idle_since)
            del self._channels[first.profile_id]
        channel = Channel(identity.profile_id, administers=identity.administers)
        self._channels[identity.profile_id] = channel
        return channel


def _too_many(what: str) -> GatewayError:
    message = f"{what}, as many as it may have: close some, or try again later"
    return GatewayError(ErrorCode.TOO_MANY_STREAMS, message, retry_after=_RETRY_SECONDS)
