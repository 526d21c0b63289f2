"""What a channel keeps."""

from __future__ import annotations

import pytest

from gateway.live_updates import channel as channels
from gateway.live_updates.channel import MAX_ITEMS, Channel
from gateway.live_updates.topics import Item, Topic

FLOWS = frozenset({Topic.FLOWS})


@pytest.fixture
def channel() -> Channel:
    """A channel of flows and runs."""
    opened = Channel("ada", administers=False)
    opened.collect([Topic.FLOWS, Topic.RUNS])
    return opened


def flow(item_id: str | None) -> Item:
    """Return a change of a flow."""
    return Item(topic=Topic.FLOWS, id=item_id)


def ids(items: list[Item] | None) -> list[str | None]:
    """Return the ids of changes, all of which are known."""
    assert items is not None
    return [item.id for item in items]


def test_a_resource_is_kept_once_with_its_last_change(channel: Channel) -> None:
    for item_id in ("a", "b", "a"):
        channel.add(flow(item_id))
    assert ids(channel.since(0, FLOWS)) == ["b", "a"]
    assert ids(channel.since(2, FLOWS)) == ["a"]
    assert ids(channel.since(3, FLOWS)) == []


def test_only_topics_that_are_listened_to_are_kept_and_told(channel: Channel) -> None:
    channel.add(Item(topic=Topic.KEYS, id="k"))
    channel.add(Item(topic=Topic.RUNS, id="r"))
    assert channel.last == 1
    assert ids(channel.since(0, FLOWS)) == []
    assert channel.can_resume(0, FLOWS)
    assert not channel.can_resume(0, {Topic.KEYS})


def test_many_changes_are_told_as_one_of_the_topic(channel: Channel) -> None:
    for number in range(101):
        channel.add(flow(str(number)))
    channel.add(Item(topic=Topic.RUNS, id="r"))
    assert ids(channel.since(0, FLOWS | {Topic.RUNS})) == ["r", None]


def test_what_is_no_longer_kept_is_not_known(
    channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(MAX_ITEMS + 1):
        channel.add(flow(str(number)))
    assert channel.since(0, FLOWS) is None
    assert channel.since(1, FLOWS) is not None
    assert not channel.can_resume(0, FLOWS)
    monkeypatch.setattr(channels, "KEPT_SECONDS", -1.0)
    assert not channel.can_resume(1, FLOWS)
    assert channel.can_resume(channel.last, FLOWS)
