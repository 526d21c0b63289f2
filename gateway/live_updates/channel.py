"""What one user has been told of, for a moment: streams read it, and can read on after a break."""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Collection, Iterable
from time import monotonic

from gateway.auth.identity import Identity
from gateway.live_updates.topics import Item, Topic

MAX_ITEMS = 1024
KEPT_SECONDS = 60.0
"""How long an item is kept, and a channel or a topic without streams."""
_MAX_NAMED = 100
"""Resources of one topic that a message names; of more it says that something has changed."""


class Stream:
    """One listener."""

    def __init__(
        self, channel: Channel, identity: Identity, topics: frozenset[Topic], after: int | None
    ) -> None:
        """Listen to changes after the item with the number `after`; None: from now on."""
        self.channel = channel
        self.identity = identity
        self.topics = topics
        self.resumes = after is not None and channel.can_resume(after, topics)
        """Whether everything since `after` is known."""
        self.position = after if after is not None and self.resumes else channel.last
        """The number of the last item that its client has."""
        self.ended = False
        self.wake = asyncio.Event()

    def end(self) -> None:
        """Have it end as soon as it can."""
        self.ended = True
        self.wake.set()


class Channel:
    """The changes of one user's resources. For one event loop.

    A resource is kept once, with its last change: a client that is slow gets less, not older.
    """

    def __init__(self, profile_id: str, *, administers: bool) -> None:
        self.name = secrets.token_hex(6)
        """What its event ids begin with: another process has other numbers."""
        self.profile_id = profile_id
        self.administers = administers
        self.streams: set[Stream] = set()
        self.idle_since = monotonic()
        """When the last stream ended."""
        self.last = 0
        """The number of the last item."""
        self._forgotten = 0
        """The number of the last item that is no longer kept."""
        self._collected: dict[Topic, int] = {}
        """By topic: the number after which every change is known."""
        self._listened: dict[Topic, float] = {}
        """By topic: when it was last known to have a stream."""
        self._items: OrderedDict[tuple[Topic, str | None], tuple[int, float, Item]] = OrderedDict()

    @property
    def topics(self) -> Collection[Topic]:
        """What is listened to, or was a moment ago."""
        moment = monotonic()
        for topic in frozenset[Topic]().union(*(stream.topics for stream in self.streams)):
            self._listened[topic] = moment
        for topic in [each for each, at in self._listened.items() if at < moment - KEPT_SECONDS]:
            del self._listened[topic], self._collected[topic]
        return self._collected.keys()

    def collect(self, topics: Iterable[Topic]) -> None:
        """Keep changes of these topics from now on."""
        for topic in topics:
            self._listened[topic] = monotonic()
            self._collected.setdefault(topic, self.last)

    def can_resume(self, after: int, topics: Iterable[Topic]) -> bool:
        """Whether everything of these topics after the item with this number is known."""
        self._forget_old()
        return self._forgotten <= after <= self.last and all(
            self._collected.get(topic, self.last + 1) <= after for topic in topics
        )

    def add(self, item: Item) -> None:
        """Take a change, if its topic is listened to."""
        if item.topic not in self._collected:
            return
        self.last += 1
        self._items.pop((item.topic, item.id), None)
        self._items[item.topic, item.id] = self.last, monotonic(), item
        if len(self._items) > MAX_ITEMS:
            self._forget_first()
        for stream in self.streams:
            if item.topic in stream.topics:
                stream.wake.set()

    def holds(self, topic: Topic, item_id: str) -> bool:
        """Whether a change of this resource is kept."""
        return (topic, item_id) in self._items

    def since(self, after: int, topics: Collection[Topic]) -> list[Item] | None:
        """Return the changes after the item with this number; None: some are not known."""
        self._forget_old()
        if after < self._forgotten:
            return None
        found: dict[Topic, list[Item]] = {}
        for number, _, item in reversed(self._items.values()):
            if number <= after:
                break
            if item.topic in topics:
                found.setdefault(item.topic, []).append(item)
        return [item for topic, items in found.items() for item in _named(topic, items[::-1])]

    def _forget_old(self) -> None:
        oldest = monotonic() - KEPT_SECONDS
        while self._items and next(iter(self._items.values()))[1] < oldest:
            self._forget_first()

    def _forget_first(self) -> None:
        _, (number, _, _) = self._items.popitem(last=False)
        self._forgotten = number


def _named(topic: Topic, items: list[Item]) -> list[Item]:
    if len(items) > _MAX_NAMED or any(item.id is None for item in items):
        return [Item(topic=topic, id=None)]
    return items
