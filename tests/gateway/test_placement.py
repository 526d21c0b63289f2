"""Which host runs a replica."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from sqlalchemy import update

from gateway.fleet import moves, placement
from gateway.fleet.hosts import HostLease, HostStore
from gateway.fleet.placement import Placement
from gateway.fleet.states import Desired, State
from gateway.fleet.store import FellAsleep, FleetStore, Observed
from gateway.storage.database import Database
from gateway.storage.sql import seconds_from_now
from gateway.storage.tables import Host, InferenceServer
from model_store.errors import StoreError
from protos.errors import ErrorCode
from tests.gateway.test_fleet import revision
from tests.timing import TIMEOUT_SECONDS

pytestmark = pytest.mark.databases("sqlite", "postgresql")


@pytest.fixture
def store(database: Database) -> FleetStore:
    """The rows of inference servers."""
    return FleetStore(database)


async def host(
    database: Database,
    name: str,
    *,
    lacks: Sequence[str] = (),
    may_take_over: Callable[[], bool] = lambda: True,
    memory_bytes: int = 1_000_000,
    is_limited: bool = True,
    **labels: str,
) -> Placement:
    """Let a host join; it has all models but those in `lacks`, each of 1,000 bytes."""
    lease = await HostStore(database).claim(
        name=name,
        owner=name,
        has_ended=lambda _: False,
        joined=True,
        labels=labels,
        memory_bytes=memory_bytes,
    )
    assert isinstance(lease, HostLease)
    return Placement(
        database,
        lease.host_id,
        model_size=lambda model, _: None if model in lacks else 1000,
        may_take_over=may_take_over,
        labels=labels,
        memory_bytes=memory_bytes,
        is_limited=is_limited,
    )


async def end(database: Database, which: Placement) -> None:
    """Let the lease of a host end."""
    async with database.write() as session:
        ended = update(Host).where(Host.id == which._host_id)
        await session.execute(ended.values(lease_until=seconds_from_now(-0.001)))


async def places(store: FleetStore) -> dict[str, list[str | None]]:
    """Return the hosts of the replicas, by model."""
    return {
        server.model: [replica.host_id for replica in server.replicas]
        for server in await store.all()
    }


async def claim(*hosts: Placement) -> None:
    """Let each host claim once, in this order."""
    for each in hosts:
        await each.claim()


async def test_the_only_host_takes_everything_that_should_run(
    database: Database, store: FleetStore
) -> None:
    await store.ensure_running("one", 1, replicas=3)
    await store.stop((await store.ensure_running("stopped", 1)).id)
    only = await host(database, "only", lacks=["one"])
    await claim(only)
    assert await places(store) == {"one": [only._host_id] * 3, "stopped": [None]}
    assert not only.has_open


async def test_several_share_them(database: Database, store: FleetStore) -> None:
    a, b, c = [await host(database, name) for name in "abc"]
    await store.ensure_running("spread", 1, replicas=3)
    for number in range(3):
        await store.ensure_running(f"single {number}", 1)
    await claim(a, a, a)
    assert a.has_open
    await claim(b, c, a)
    found = await places(store)
    assert {*found["spread"]} == {each._host_id for each in (a, b, c)}
    assert {*Counter(each for hosts in found.values() for each in hosts).values()} == {2}


async def test_claims_at_once_take_each_replica_once(
    database: Database, store: FleetStore, url: str
) -> None:
    others = [Database(url) for _ in range(3)]
    hosts = [await host(each, str(number)) for number, each in enumerate(others)]
    for number in range(12):
        await store.ensure_running(f"m{number}", 1)
    for _ in range(2):
        await asyncio.gather(*(each.claim() for each in hosts))
    found = Counter(each for (each,) in (await places(store)).values())
    assert found == {each._host_id: 4 for each in hosts}
    for each in others:
        await each.close()


async def test_a_host_leaves_a_model_that_it_does_not_have_to_one_that_has_it(
    database: Database, store: FleetStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = await host(database, "a", lacks=["big"]), await host(database, "b")
    await store.ensure_running("big", 1)
    await claim(a, a)
    assert await places(store) == {"big": [None]}
    monkeypatch.setattr(placement, "PATIENCE_SECONDS", 0.0)
    await claim(a)
    assert await places(store) == {"big": [a._host_id]}, "no other takes it: it says why it fails"
    await claim(b)
    assert await places(store) == {"big": [a._host_id]}


async def test_after_a_while_a_host_with_the_model_takes_more_than_its_share(
    database: Database, store: FleetStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = await host(database, "a"), await host(database, "b", lacks=["m"])
    await store.ensure_running("m", 1, replicas=2)
    await claim(a, b)
    assert await places(store) == {"m": [a._host_id, None]}
    monkeypatch.setattr(placement, "PATIENCE_SECONDS", 1.0)  # after twice that, it does not matter
    await asyncio.sleep(1.05)
    await claim(b, a)
    assert await places(store) == {"m": [a._host_id, a._host_id]}


@pytest.mark.parametrize(
    "error",
    [PermissionError("models"), StoreError(ErrorCode.MODEL_STORE_UNAVAILABLE, "it is away")],
    ids=["folder", "bucket"],
)
async def test_a_store_that_cannot_be_read_has_no_models(
    database: Database, store: FleetStore, error: Exception
) -> None:
    def fail(_model: str, _version: int) -> int:
        raise error

    a, b = await host(database, "a"), await host(database, "b")
    a._model_size = fail
    await store.ensure_running("m", 1)
    await claim(a)
    assert await places(store) == {"m": [None]}
    await claim(b)
    assert await places(store) == {"m": [b._host_id]}


async def test_a_store_that_does_not_answer_has_no_models(
    database: Database, store: FleetStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placement, "_STORE_SECONDS", 0.05)
    answering = threading.Event()
    a, _ = await host(database, "a"), await host(database, "b")
    a._model_size = lambda _model, _version: int(answering.wait(TIMEOUT_SECONDS))
    await store.ensure_running("m", 1)
    await claim(a, a)
    assert await places(store) == {"m": [None]}
    assert a.has_open
    answering.set()
    await claim(a, a)
    assert await places(store) == {"m": [a._host_id]}


async def test_a_replica_whose_process_still_runs_here_stays_open(
    database: Database, store: FleetStore
) -> None:
    a = await host(database, "a")
    replica = (await store.ensure_running("m", 1)).lead
    assert not await a.claim(skip=[replica.id])
    assert await places(store) == {"m": [None]}
    assert a.has_open
    assert await a.claim()
    assert await places(store) == {"m": [a._host_id]}


async def test_the_replicas_of_a_host_that_is_gone_are_taken(
    database: Database, store: FleetStore
) -> None:
    steady: list[bool] = []
    a = await host(database, "a")
    b = await host(database, "b", may_take_over=lambda: steady.pop(0) if steady else True)
    server = await store.ensure_running("m", 1, replicas=2)
    await claim(a, b)
    first, second = (await store.get(server.id)).replicas
    for replica in (first, second):
        booted = Observed(replica_id=replica.id, seen={"state": State.BOOTING, "pid": 7})
        assert await store.record([booted], host_id=replica.host_id) == 1
    await end(database, a)
    steady[:] = [False]
    await claim(b)
    assert (await places(store))["m"] == [a._host_id, b._host_id], "its own lease may have ended"
    steady[:] = [True, False]
    await claim(b)
    assert (await places(store))["m"] == [a._host_id, b._host_id], "it has ended meanwhile"
    await claim(b)
    taken, own = (await store.get(server.id)).replicas
    assert (taken.host_id, taken.state, taken.pid) == (b._host_id, State.STOPPED, None)
    assert (own.host_id, own.state, own.pid) == (b._host_id, State.BOOTING, 7)
    ready = Observed(replica_id=taken.id, seen={"state": State.BOOTING})
    assert await store.record([ready], host_id=a._host_id) == 0, "only its host writes a row"
    await claim(a)
    assert (await places(store))["m"] == [b._host_id] * 2, "it stays where it is"


async def test_what_no_host_runs_is_recorded_as_stopped(
    database: Database, store: FleetStore
) -> None:
    a, b = [await host(database, name) for name in "ab"]
    server = await store.ensure_running("m", 1)
    await claim(a)
    booted = Observed(replica_id=server.lead.id, seen={"state": State.BOOTING, "pid": 7})
    await store.record([booted], host_id=a._host_id)
    await store.stop(server.id)
    await end(database, a)
    await claim(b)
    row: InferenceServer = await store.get(server.id)
    assert (row.state, row.lead.pid) == (State.STOPPED, None)


async def test_processes_from_before_a_reload_stay_as_they_are(
    database: Database, store: FleetStore
) -> None:
    ours, theirs = [await store.ensure_running(name, 1) for name in ("ours", "theirs")]
    await store.observe(ours.lead.id, state=State.BOOTING, pid=7)
    a, b = [await host(database, name) for name in "ab"]
    await b.keep([theirs.lead.id])
    await a.keep([ours.lead.id, theirs.lead.id])
    await claim(a)
    assert await places(store) == {"ours": [a._host_id], "theirs": [b._host_id]}
    row = await store.get(ours.id)
    assert (row.state, row.lead.pid) == (State.BOOTING, 7)


async def test_a_server_runs_where_its_labels_are(database: Database, store: FleetStore) -> None:
    plain = await host(database, "plain", zone="a")
    gpu = await host(database, "gpu", zone="a", accelerator="gpu")
    labels = {"zone": "a", "accelerator": "gpu"}
    await store.ensure_running("big", 1, replicas=2, host_labels=labels)
    await store.ensure_running("small", 1)
    await claim(plain)
    assert await places(store) == {"big": [None, None], "small": [plain._host_id]}
    assert not plain.has_open, "there is nothing for it to wait for"
    await claim(gpu)
    assert (await places(store))["big"] == [gpu._host_id] * 2, "it is the only one that may"


async def test_what_no_host_may_run_says_so_and_starts_when_one_joins(
    database: Database, store: FleetStore
) -> None:
    a, b = await host(database, "a"), await host(database, "b", accelerator="tpu")
    server = await store.ensure_running("m", 1, host_labels={"accelerator": "gpu"})
    await claim(a)
    row = await store.get(server.id)
    assert row.state == State.STOPPED
    assert row.reason is not None
    assert "no host has the labels that it requires, accelerator=gpu" in row.reason
    assert not await a.claim(), "it is said once"
    assert not await b.claim()
    c = await host(database, "c", accelerator="gpu")
    await claim(a, b, c)
    row = await store.get(server.id)
    assert (row.lead.host_id, row.reason) == (c._host_id, None)


async def test_replicas_move_one_after_the_other_when_other_labels_are_required(
    database: Database, store: FleetStore
) -> None:
    a = await host(database, "a")
    server = await store.ensure_running("m", 1, replicas=2)
    await claim(a)
    for replica in (await store.get(server.id)).replicas:
        states = (State.BOOTING, State.READY)
        seen = [Observed(replica_id=replica.id, seen={"state": state}) for state in states]
        await store.record(seen, host_id=a._host_id)
    await store.change(server.id, host_labels={"accelerator": "gpu"})
    await claim(a)
    assert await places(store) == {"m": [a._host_id] * 2}, "no other may run it: it goes on"
    b = await host(database, "b", accelerator="gpu")
    both = [replica.id for replica in (await store.get(server.id)).replicas]
    assert await a.claim(skip=both), "also while its process runs here"
    assert await places(store) == {"m": [None, a._host_id]}
    assert not await a.claim(skip=both)
    await claim(a, b)
    assert await places(store) == {"m": [b._host_id, a._host_id]}, "its successor is not ready"
    first, _ = (await store.get(server.id)).replicas
    seen = [Observed(replica_id=first.id, seen={"state": s}) for s in (State.BOOTING, State.READY)]
    await store.record(seen, host_id=b._host_id)
    await claim(a, b)
    assert await places(store) == {"m": [b._host_id] * 2}


async def boot(store: FleetStore, server_id: str, *states: State) -> None:
    """Let the replicas that a host has taken, and that have no process, reach the last state."""
    for replica in (await store.get(server_id)).replicas:
        if replica.state == State.STOPPED and replica.host_id is not None:
            seen = [Observed(replica_id=replica.id, seen={"state": state}) for state in states]
            await store.record(seen, host_id=replica.host_id)


async def test_replicas_spread_by_themselves_over_hosts_that_start_later(
    database: Database, store: FleetStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = await host(database, "a")
    server = await store.ensure_running("m", 1, replicas=3)
    await claim(a)
    assert (await places(store))["m"] == [a._host_id] * 3
    b, c = [await host(database, name) for name in "bc"]
    monkeypatch.setattr(moves, "MOVE_SECONDS", 0.0)
    await claim(a, b, c)
    assert (await places(store))["m"] == [a._host_id] * 3, "what boots does not move"
    await boot(store, server.id, State.BOOTING, State.READY)
    monkeypatch.setattr(moves, "MOVE_SECONDS", 0.3)
    await claim(a, b, c)
    assert (await places(store))["m"] == [a._host_id] * 3, "it may change in a moment"
    assert b.has_open
    await asyncio.sleep(0.35)
    before = {replica.id for replica in (await store.get(server.id)).replicas}
    await claim(a, b, c)
    found = await store.get(server.id)
    assert found.replica_count == 3
    assert [it.host_id for it in found.replicas] == [a._host_id] * 3 + [b._host_id], "one at a time"
    monkeypatch.setattr(moves, "MOVE_SECONDS", 0.0)
    await claim(c, a)
    assert len((await store.get(server.id)).replicas) == 4, "its successor is not ready"
    await boot(store, server.id, State.BOOTING, State.READY)
    assert await b.claim() == {server.id}
    assert (await places(store))["m"] == [a._host_id, a._host_id, b._host_id]
    await claim(c)
    await boot(store, server.id, State.BOOTING, State.READY)
    await claim(c, a, b)
    found = await store.get(server.id)
    assert [it.host_id for it in found.replicas] == [a._host_id, c._host_id, b._host_id]
    assert [it.slot for it in found.replicas] == [0, 1, 2]
    assert {it.state for it in found.replicas} == {State.READY}
    assert len(before & {it.id for it in found.replicas}) == 1
    await claim(a, b, c)
    assert (await places(store))["m"] == [a._host_id, c._host_id, b._host_id], "and stays"


async def test_hosts_that_want_the_same_replica_move_it_once(
    database: Database, store: FleetStore, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moves, "MOVE_SECONDS", 0.0)
    a = await host(database, "a")
    server = await store.ensure_running("m", 1, replicas=2)
    await claim(a)
    await boot(store, server.id, State.BOOTING, State.READY)
    others = [Database(url) for _ in range(4)]
    hosts = [await host(each, str(number)) for number, each in enumerate(others)]
    await asyncio.gather(*(each.claim() for each in hosts))
    (successor,) = (await store.get(server.id)).successors
    assert successor.host_id in {each._host_id for each in hosts}
    for each in others:
        await each.close()


async def test_a_replica_does_not_move_where_it_does_not_fit(
    database: Database, store: FleetStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moves, "MOVE_SECONDS", 0.0)
    a = await host(database, "a")
    server = await store.ensure_running("m", 1, replicas=2)
    await claim(a)
    await boot(store, server.id, State.BOOTING, State.READY)
    small = await host(database, "small", memory_bytes=10, is_limited=False)
    without = await host(database, "without", lacks=["m"])
    await claim(small, without)
    assert not (await store.get(server.id)).successors


async def test_a_move_that_fails_is_cancelled_and_not_tried_again_at_once(
    database: Database, store: FleetStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moves, "MOVE_SECONDS", 0.0)
    a = await host(database, "a")
    server = await store.ensure_running("m", 1, replicas=2)
    await claim(a)
    await boot(store, server.id, State.BOOTING, State.READY)
    b = await host(database, "b")
    await claim(b)
    await boot(store, server.id, State.BOOTING, State.FAILED)
    await claim(b, b)
    assert (await places(store))["m"] == [a._host_id] * 2
    c = await host(database, "c")
    await claim(b, c)
    assert (await places(store))["m"] == [a._host_id, a._host_id, c._host_id], "elsewhere"
    await end(database, c)
    await claim(b)
    assert (await places(store))["m"] == [a._host_id] * 2, "its host is gone"


async def test_a_number_that_changes_meanwhile_ends_a_move(
    database: Database, store: FleetStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moves, "MOVE_SECONDS", 0.0)
    a = await host(database, "a")
    server = await store.ensure_running("m", 1, replicas=2)
    await claim(a)
    await boot(store, server.id, State.BOOTING, State.READY)
    b = await host(database, "b")
    await claim(b)
    changed = await store.change(server.id, replicas=4)
    assert (changed.replica_count, len(changed.replicas)) == (4, 4)
    assert [it.slot for it in (await store.get(server.id)).replicas] == [0, 1, 2, 3]
    await claim(b)
    assert Counter((await places(store))["m"]) == {a._host_id: 2, b._host_id: 2}


async def test_a_server_that_falls_asleep_during_a_move_sleeps(
    database: Database, store: FleetStore
) -> None:
    a, b = [await host(database, name) for name in "ab"]
    server = await store.ensure_running("m", 1)
    await claim(a)
    await boot(store, server.id, State.BOOTING, State.READY)
    await HostStore(database).cordon(a._host_id)
    await claim(b)
    (successor,) = (await store.get(server.id)).successors
    lead = (await store.get(server.id)).hosted[0]
    asleep = FellAsleep(replica_id=lead.id, generation=server.generation)
    assert await store.record([asleep], host_id=a._host_id) == 1
    assert (await store.get(server.id)).desired == Desired.ASLEEP
    await claim(b)
    assert successor.id not in {it.id for it in (await store.get(server.id)).replicas}


async def test_everything_moves_from_a_host_that_is_cordoned(
    database: Database, store: FleetStore
) -> None:
    a, b, c = [await host(database, name) for name in "abc"]
    single = await store.ensure_running("single", 1)
    booting = await store.ensure_running("booting", 1)
    await claim(a)
    await boot(store, single.id, State.BOOTING, State.READY)
    await boot(store, booting.id, State.BOOTING)
    await HostStore(database).cordon(a._host_id)
    await claim(a)
    assert await places(store) == {"single": [a._host_id], "booting": [None]}
    await claim(a, b, c)
    assert await places(store) == {"single": [a._host_id, b._host_id], "booting": [b._host_id]}
    await boot(store, single.id, State.BOOTING, State.READY)
    await claim(a, b, c)
    assert await places(store) == {"single": [b._host_id], "booting": [b._host_id]}
    await store.ensure_running("next", 1)
    await claim(a, c)
    assert (await places(store))["next"] == [c._host_id]
    await HostStore(database).uncordon(a._host_id)
    await store.ensure_running("last", 1)
    await claim(a)
    assert (await places(store))["last"] == [a._host_id]


async def test_a_host_that_is_cordoned_and_alone_says_why_nothing_starts(
    database: Database, store: FleetStore
) -> None:
    a = await host(database, "a")
    running = await store.ensure_running("running", 1)
    await claim(a)
    await boot(store, running.id, State.BOOTING, State.READY)
    await HostStore(database).cordon(a._host_id)
    await store.ensure_running("m", 1)
    await claim(a, a)
    assert await places(store) == {"running": [a._host_id], "m": [None]}
    reasons = {server.model: server.reason for server in await store.all()}
    assert reasons["m"] == "every host that could run it is cordoned: see `slipstream hosts list`"
    await HostStore(database).uncordon(a._host_id)
    await claim(a)
    assert (await places(store))["m"] == [a._host_id]


async def test_replicas_that_fail_move_at_once(database: Database, store: FleetStore) -> None:
    a = await host(database, "a")
    server = await store.ensure_running("m", 1, replicas=2)
    await claim(a)
    for replica in (await store.get(server.id)).replicas:
        states = (State.BOOTING, State.FAILED)
        seen = [Observed(replica_id=replica.id, seen={"state": state}) for state in states]
        await store.record(seen, host_id=a._host_id)
    b = await host(database, "b", accelerator="gpu")
    await store.change(server.id, host_labels={"accelerator": "gpu"})
    await claim(a, b)
    assert await places(store) == {"m": [b._host_id] * 2}


async def test_memory_is_no_limit_unless_it_is_set(
    database: Database, store: FleetStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = await host(database, "a", memory_bytes=10, is_limited=False)
    await store.ensure_running("one", 1)
    await claim(a)
    assert await places(store) == {"one": [a._host_id]}, "the system may swap, or map files"
    b = await host(database, "b", memory_bytes=10, is_limited=False)
    await store.ensure_running("two", 1)
    await claim(a, b)
    assert (await places(store))["two"] == [None], "another host may have room"
    monkeypatch.setattr(placement, "PATIENCE_SECONDS", 0.0)
    await claim(b)
    assert (await places(store))["two"] == [b._host_id]


async def test_what_cannot_be_placed_is_not_written_again_and_again(
    database: Database, store: FleetStore
) -> None:
    only = await host(database, "only", memory_bytes=10)
    await store.ensure_running("large", 1)
    assert await only.claim()
    before = await revision(database)
    for _ in range(3):
        assert not await only.claim()
    assert await revision(database) == before
    assert only.has_open, "room may become free"


async def test_a_stopped_server_starts_where_its_new_labels_are(
    database: Database, store: FleetStore
) -> None:
    a, b = await host(database, "a"), await host(database, "b", zone="b")
    server = await store.ensure_running("m", 1)
    await claim(a)
    await store.stop(server.id)
    await store.ensure_running("m", 1, host_labels={"zone": "b"})
    await claim(a, b)
    assert await places(store) == {"m": [b._host_id]}


async def test_labels_can_be_taken_back(database: Database, store: FleetStore) -> None:
    a = await host(database, "a")
    server = await store.ensure_running("m", 1, host_labels={"zone": "b"})
    await claim(a)
    assert (await store.get(server.id)).reason
    changed = await store.change(server.id, host_labels={})
    assert changed.host_labels is None
    await claim(a)
    assert await places(store) == {"m": [a._host_id]}


async def test_a_host_takes_what_fits_into_its_memory(
    database: Database, store: FleetStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, large = await host(database, "small", memory_bytes=999), await host(database, "large")
    server = await store.ensure_running("m", 1)
    await claim(small)
    assert await places(store) == {"m": [None]}
    assert (await store.get(server.id)).reason is None, "another one may have room"
    await claim(large)
    assert await places(store) == {"m": [large._host_id]}
    monkeypatch.setattr(placement, "PATIENCE_SECONDS", 0.0)
    await end(database, large)
    await claim(small)
    row = await store.get(server.id)
    assert row.reason == "no host has the memory left that it needs: see `slipstream hosts list`"
    assert not await small.claim(), "it is said once"


async def test_what_a_replica_has_been_measured_to_use_counts_for_the_next(
    database: Database, store: FleetStore
) -> None:
    a = await host(database, "a", memory_bytes=2500)
    server = await store.ensure_running("m", 1)
    await claim(a)
    await store.change(server.id, replicas=3)
    await claim(a)
    assert await places(store) == {"m": [a._host_id, a._host_id, None]}, "1,000 bytes for each"
    await store.change(server.id, replicas=1)
    lead = (await store.get(server.id)).lead
    seen = [
        Observed(replica_id=lead.id, seen={"state": State.BOOTING}),
        Observed(replica_id=lead.id, seen={"memory_bytes": 1300}),
    ]
    await store.record(seen, host_id=a._host_id)
    await store.change(server.id, replicas=2)
    await claim(a)
    assert await places(store) == {"m": [a._host_id, None]}
