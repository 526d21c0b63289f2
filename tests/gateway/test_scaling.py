"""How many replicas a server has, and when several sleep."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from gateway.fleet.deployed_servers import lock_servers, release
from gateway.fleet.scaling import Scaling, wanted_replicas
from gateway.fleet.states import Desired, NeededBy, State
from gateway.fleet.store import (
    FleetStore,
    Measured,
    Observed,
    ServerSettings,
)
from gateway.storage.database import Database
from gateway.storage.tables import Host, InferenceServer, Replica
from tests.gateway.private_model import PRIVATE, SERVERS, PrivateModel
from tests.gateway.test_fleet import revision
from tests.gateway.test_placement import claim, host
from tests.timing import Clock

pytestmark = pytest.mark.databases("sqlite", "postgresql")


@pytest.fixture
def store(database: Database) -> FleetStore:
    """The rows of inference servers."""
    return FleetStore(database)


async def measure(
    store: FleetStore, server_id: str, *loads: float, quiet: float | None = None
) -> None:
    """Record that the replicas are ready, and what they have to do."""
    server = await store.get(server_id)
    for replica, load in zip(server.replicas, loads, strict=True):
        events = [Measured(replica_id=replica.id, load=load, quiet_seconds=quiet)]
        if replica.state != State.READY:
            states = (State.BOOTING, State.READY)
            booted = [Observed(replica_id=replica.id, seen={"state": state}) for state in states]
            await store.record(booted, host_id=replica.host_id)
        assert await store.record(events, host_id=replica.host_id) == 1


@pytest.mark.parametrize(
    ("load", "target", "expected"),
    [
        (0.0, 2.0, 1),
        (2.0, 2.0, 1),
        (2.1, 2.0, 1),
        (2.3, 2.0, 2),
        (7.0, 2.0, 4),
        (7.0, None, 4),
        (7.0, 0.5, 8),
        (7.0, 10.0, 1),
        (100.0, 2.0, 8),
    ],
)
def test_the_number_follows_the_load_within_the_range(
    load: float, target: float | None, expected: int
) -> None:
    server = InferenceServer(min_replicas=1, max_replicas=8, target_queue=target)
    assert wanted_replicas(server, load) == expected


async def test_a_server_grows_at_once_and_shrinks_after_a_while(
    database: Database, store: FleetStore
) -> None:
    a = await host(database, "a")
    server = await store.ensure_running("m", 1, replica_range=(1, 4))
    assert server.replica_count == 1
    await claim(a)
    clock = Clock()
    scaling = Scaling(database, a._host_id, down_seconds=60, clock=clock)
    await measure(store, server.id, 5.0)
    (decision,) = await scaling.decide([server.id])
    assert (decision.before, decision.after, decision.load) == (1, 3, 5.0)
    await claim(a)
    await measure(store, server.id, 0.2, 0.2, 0.1)
    assert not await scaling.decide([server.id]), "it needed three just now"
    clock.advance(60)
    (decision,) = await scaling.decide([server.id])
    assert (decision.before, decision.after) == (3, 1)
    assert (await store.get(server.id)).replica_count == 1


async def test_replicas_that_a_promotion_has_added_stay_for_a_while(
    database: Database, store: FleetStore
) -> None:
    a = await host(database, "a")
    server = await store.ensure_running("m", 1, replica_range=(1, 4))
    await claim(a)
    clock = Clock()
    scaling = Scaling(database, a._host_id, down_seconds=60, clock=clock)
    await measure(store, server.id, 0.1)
    assert not await scaling.decide([server.id])
    assert (await store.ensure_running("m", 1, at_least=6)).replica_count == 4, "the range"
    await claim(a)
    await measure(store, server.id, 0.1, 0.1, 0.1, 0.1)
    assert not await scaling.decide([server.id])
    clock.advance(60)
    (decision,) = await scaling.decide([server.id])
    assert (decision.before, decision.after) == (4, 1)


async def test_the_host_of_the_first_replica_decides(database: Database, store: FleetStore) -> None:
    a, b = await host(database, "a"), await host(database, "b")
    server = await store.ensure_running("m", 1, replica_range=(2, 8))
    await claim(a, b)
    await measure(store, server.id, 3.0, 5.0)
    assert [each.host_id for each in (await store.get(server.id)).replicas] == [
        a._host_id,
        b._host_id,
    ]
    others = Scaling(database, b._host_id, down_seconds=60)
    assert not await others.decide([server.id])
    (decision,) = await Scaling(database, a._host_id, down_seconds=60).decide([server.id])
    assert (decision.after, decision.load) == (4, 8.0)


async def test_a_number_that_is_set_stays(database: Database, store: FleetStore) -> None:
    a = await host(database, "a")
    server = await store.ensure_running("m", 1, replica_range=(1, 4), target_queue=1.0)
    await claim(a)
    changed = await store.change(server.id, replicas=2)
    assert (changed.replica_count, changed.replica_range) == (2, None)
    await claim(a)
    await measure(store, server.id, 9.0, 9.0)
    scaling = Scaling(database, a._host_id, down_seconds=60)
    assert not await scaling.decide([server.id])
    within = await store.change(server.id, replica_range=(1, 8))
    assert within.replica_count == 2, "it begins with what it has"
    await store.change(server.id, replica_range=(3, 8))
    assert (await store.get(server.id)).replica_count == 3


async def test_a_change_meanwhile_is_not_overwritten(
    database: Database, store: FleetStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = await host(database, "a")
    server = await store.ensure_running("m", 1, replica_range=(1, 4))
    await claim(a)
    await measure(store, server.id, 9.0)
    scaling = Scaling(database, a._host_id, down_seconds=60)
    apply = scaling._apply

    async def late(decision: object) -> bool:
        await store.change(server.id, replicas=1)
        return await apply(decision)  # type: ignore[arg-type]

    monkeypatch.setattr(scaling, "_apply", late)
    assert not await scaling.decide([server.id])
    assert (await store.get(server.id)).replica_count == 1


@pytest.mark.parametrize("scales", [False, True])
async def test_several_replicas_sleep_when_none_has_had_a_call(
    database: Database, store: FleetStore, scales: bool
) -> None:
    a, b = await host(database, "a"), await host(database, "b")
    server = await store.ensure_running("m", 1, replicas=2, idle_timeout_seconds=60)
    if scales:
        await store.change(server.id, replica_range=(1, 2))
    await claim(a, b)
    scaling = Scaling(database, a._host_id, down_seconds=60)
    await measure(store, server.id, 0.0, 0.0, quiet=61)
    _, second = (await store.get(server.id)).replicas
    called = Measured(replica_id=second.id, load=0.0, quiet_seconds=None)
    await store.record([called], host_id=b._host_id)
    assert not await scaling.decide([server.id]), "one has had a call"
    paused = Measured(replica_id=second.id, load=0.0, quiet_seconds=50)
    await store.record([paused], host_id=b._host_id)
    assert not await scaling.decide([server.id]), "the time has not passed for both"
    await measure(store, server.id, 0.0, 0.0, quiet=61)
    (decision,) = await scaling.decide([server.id])
    assert decision.after == 0
    row = await store.get(server.id)
    assert (row.desired, row.replica_count) == (Desired.ASLEEP, 1 if scales else 2)
    assert await store.wake("m", 1)
    assert (await store.get(server.id)).desired == Desired.RUNNING
    assert not await scaling.decide([server.id])


async def test_a_server_that_nothing_needs_sleeps_without_an_idle_timeout(
    database: Database, store: FleetStore
) -> None:
    a = await host(database, "a")
    server = await store.ensure_running("m", 1, by=NeededBy.DEPLOYMENT)
    await claim(a)
    scaling = Scaling(database, a._host_id, down_seconds=60.0)
    await measure(store, server.id, 0.0, quiet=61)
    assert not await scaling.decide([server.id])
    async with database.write() as session:
        for each in await lock_servers(session, [("m", 1), ("other", 1)]):
            release(session, each)
    assert (await store.get(server.id)).idle_seconds == 60
    await measure(store, server.id, 0.0, quiet=50)
    assert not await scaling.decide([server.id]), "it may still be called"
    await measure(store, server.id, 0.0, quiet=61)
    (decision,) = await scaling.decide([server.id])
    assert decision.after == 0
    assert (await store.get(server.id)).desired == Desired.ASLEEP
    assert (await store.ensure_running("m", 1)).idle_seconds is None, "a person asks for it"
    async with database.write() as session:
        for each in await lock_servers(session, [("m", 1)]):
            release(session, each)
    assert (await store.get(server.id)).needed_by == NeededBy.PERSON


async def test_a_number_shrinks_only_to_replicas_that_answer(
    database: Database, store: FleetStore
) -> None:
    a = await host(database, "a")
    server = await store.ensure_running("m", 1, replicas=2)
    await store.change(server.id, replica_range=(1, 4))
    await claim(a)
    await measure(store, server.id, 0.1, 0.1)
    both = (await store.get(server.id)).replicas
    crashed = [Observed(replica_id=it.id, seen={"state": State.BOOTING}) for it in both]
    await store.record(crashed, host_id=a._host_id)
    scaling = Scaling(database, a._host_id, down_seconds=0.0)
    for _ in range(2):
        assert not await scaling.decide([server.id]), "none answers"
    ready = Observed(replica_id=both[1].id, seen={"state": State.READY})
    await store.record([ready], host_id=a._host_id)
    (decision,) = await scaling.decide([server.id])
    assert (decision.before, decision.after) == (2, 1)
    (left,) = (await store.get(server.id)).replicas
    assert (left.id, left.slot) == (both[1].id, 0), "the one that answers stays"


async def test_a_number_shrinks_where_most_replicas_are(
    database: Database, store: FleetStore
) -> None:
    a = await host(database, "a")
    server = await store.ensure_running("m", 1, replicas=2)
    await claim(a)
    b = await host(database, "b")
    await store.change(server.id, replicas=4)
    await claim(a, b)
    found = await store.get(server.id)
    assert [it.host_id for it in found.replicas] == [*(a._host_id,) * 2, *(b._host_id,) * 2]
    await store.change(server.id, replicas=2)
    left = await store.get(server.id)
    assert [(it.slot, it.host_id) for it in left.replicas] == [(0, a._host_id), (1, b._host_id)]


async def test_a_replica_may_become_idle_and_end_in_one_batch(
    database: Database, store: FleetStore
) -> None:
    a = await host(database, "a")
    server = await store.ensure_running("m", 1, replicas=2, idle_timeout_seconds=60)
    await claim(a)
    await measure(store, server.id, 1.0, 1.0)
    lead = (await store.get(server.id)).lead
    events = [
        Measured(replica_id=lead.id, load=0.0, quiet_seconds=61),
        Observed(replica_id=lead.id, seen={"state": State.STOPPED}),
    ]
    assert await store.record(events, host_id=a._host_id) == 2
    after = (await store.get(server.id)).replicas[0]
    assert (after.state, after.load, after.idle_since) == (State.STOPPED, None, None)


async def test_a_server_that_has_ended_starts_where_there_is_room_then(
    database: Database, store: FleetStore
) -> None:
    a, b = [await host(database, name, memory_bytes=1000) for name in "ab"]
    first = await store.ensure_running("first", 1, idle_timeout_seconds=60)
    await claim(a)
    lead = first.lead
    await store.record(
        [Observed(replica_id=lead.id, seen={"state": State.BOOTING})], host_id=a._host_id
    )
    await store.stop(first.id)
    stopped = Observed(replica_id=lead.id, seen={"state": State.STOPPED})
    await store.record([stopped], host_id=a._host_id)
    second = await store.ensure_running("second", 1)
    await claim(a)
    assert (await store.get(second.id)).lead.host_id == a._host_id
    await store.start(first.id)
    await claim(a, b)
    assert (await store.get(first.id)).lead.host_id == b._host_id


async def test_a_replica_that_begins_again_is_not_idle(
    database: Database, store: FleetStore
) -> None:
    a = await host(database, "a")
    server = await store.ensure_running("m", 1, replicas=2, idle_timeout_seconds=60)
    await claim(a)
    await measure(store, server.id, 1.0, 1.0, quiet=61)
    lead = (await store.get(server.id)).replicas[0]
    again = Observed(replica_id=lead.id, seen={"state": State.STOPPED})
    await store.record([again], host_id=a._host_id)
    after = (await store.get(server.id)).replicas[0]
    assert (after.load, after.idle_since) == (None, None)
    booting = Observed(replica_id=lead.id, seen={"state": State.BOOTING})
    await store.record([booting], host_id=a._host_id)
    assert not await Scaling(database, a._host_id, down_seconds=60).decide([server.id])


async def test_what_is_measured_is_no_news_for_gateways(
    database: Database, store: FleetStore
) -> None:
    a = await host(database, "a")
    server = await store.ensure_running("m", 1, replica_range=(1, 4))
    await claim(a)
    await measure(store, server.id, 1.0)
    before = await revision(database)
    await measure(store, server.id, 1.5, quiet=3)
    assert await revision(database) == before


@pytest.mark.parametrize("given", [{"replica_range": (1, 4)}, {"replicas": 2}])
async def test_a_range_and_a_number_may_sleep(store: FleetStore, given: ServerSettings) -> None:
    server = await store.ensure_running("m", 1, idle_timeout_seconds=60, **given)
    assert server.sleeps


async def test_the_server_of_the_next_version_is_like_that_of_the_last(store: FleetStore) -> None:
    labels = {"accelerator": "gpu"}
    first = await store.ensure_running(
        "m", 1, replica_range=(2, 8), target_queue=4.0, idle_timeout_seconds=60, host_labels=labels
    )
    await store.ensure_running("m", 3, replicas=5)
    await store.ensure_running("other", 1)
    second = await store.ensure_running("m", 2)
    assert (second.replica_count, second.replica_range) == (2, first.replica_range)
    assert (second.target_queue, second.idle_timeout_seconds) == (4.0, 60)
    assert second.host_labels == labels
    fourth = await store.ensure_running("m", 4, idle_timeout_seconds=None)
    assert (fourth.replica_count, fourth.replica_range) == (5, None)
    assert (fourth.idle_timeout_seconds, fourth.host_labels) == (None, labels)
    fifth = await store.ensure_running("m", 5, replica_range=(1, 3))
    assert (fifth.replica_count, fifth.replica_range) == (1, {"min": 1, "max": 3})


async def test_rows_of_an_older_release_stay_as_they_are(
    database: Database, store: FleetStore
) -> None:
    a = await host(database, "a")
    server = await store.ensure_running("m", 1)
    async with database.write() as session:
        await session.execute(update(Host).values(labels=None, memory_bytes=None))
        await session.execute(update(Replica).values(load=None))
    await claim(a)
    assert (await store.get(server.id)).lead.host_id == a._host_id
    assert not await Scaling(database, a._host_id, down_seconds=60).decide([server.id])


REFUSED: tuple[tuple[dict[str, Any], str], ...] = (
    ({"replica_range": {"min": 3, "max": 2}}, "expected `min` up to `max`"),
    ({"replica_range": {"min": 0, "max": 2}}, "#/replica_range/min"),
    ({"replica_range": {"min": 1, "max": 1000}}, "#/replica_range/max"),
    ({"replica_range": {"min": 1, "max": 2}, "replicas": 2}, "expected either `replicas` or"),
    ({"replicas": 0}, "#/replicas"),
    ({"replicas": 17}, "#/replicas"),
    ({"replicas": "two"}, "#/replicas"),
    ({"target_queue": 0}, "target_queue"),
    ({"host_labels": {"a b": "c"}}, "host_labels"),
    ({"host_labels": {"a": "c,d"}}, "host_labels"),
    ({"host_labels": {f"n{number}": "x" for number in range(17)}}, "host_labels"),
)


async def test_what_is_no_number_range_or_label_is_refused(private_model: PrivateModel) -> None:
    owner = private_model.owner.client
    for body, expected in REFUSED:
        made = await owner.post(SERVERS, json={"model": PRIVATE, **body})
        changed = await owner.patch(f"{SERVERS}{private_model.server_id}/", json=body)
        for answer in (made, changed):
            assert answer.status_code == 422, (body, answer.text)
            assert expected in answer.text
    unset = await owner.patch(f"{SERVERS}{private_model.server_id}/", json={"replicas": None})
    assert unset.status_code == 422
