"""How the replicas of one server are spread over hosts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from gateway.fleet.spread import LiveHost, LiveHosts, Step, may_add, next_step, surplus
from gateway.fleet.states import Desired, State
from gateway.storage.tables import InferenceServer, Replica

THREE = {name: LiveHost(labels={}) for name in "abc"}


def server(places: str, **columns: object) -> InferenceServer:
    """A server with a replica on each host in `places`; `-`: on none, capital: it is not ready."""
    replicas = [
        Replica(
            id=str(slot),
            slot=slot,
            host_id=None if place == "-" else place.lower(),
            state=State.READY if place.islower() else State.BOOTING,
            restarts=0,
        )
        for slot, place in enumerate(places)
    ]
    return InferenceServer(desired=Desired.RUNNING, replicas=replicas, **columns)


def moving(places: str, replaces: str, host: str, state: State) -> InferenceServer:
    """The same, with a successor on its way to `host`."""
    found = server(places)
    found.replicas.append(
        Replica(id="new", slot=9, host_id=host, state=state, replaces=replaces, restarts=0)
    )
    return found


def steps(
    given: InferenceServer, hosts: LiveHosts = THREE, *, sees_ends: bool = True
) -> dict[str, Step]:
    """What each host does."""
    found = {each: next_step(each, given, hosts, sees_ends=sees_ends) for each in hosts}
    return {each: step for each, step in found.items() if step is not None}


@pytest.mark.parametrize(
    ("places", "count", "left"),
    [
        ("aaa", 2, "aa"),
        ("abca", 3, "abc"),
        ("aacc", 2, "ac"),
        ("aabc", 2, "ab"),
        ("abbb", 2, "ab"),
        ("aab-", 3, "aab"),
        ("aabB", 3, "aab"),
        ("aAb", 2, "ab"),
        ("abc", 0, ""),
        ("ab", 2, "ab"),
    ],
)
def test_what_goes_is_on_the_host_that_has_most(places: str, count: int, left: str) -> None:
    hosted = server(places).hosted
    gone = surplus(hosted, count)
    stay = [replica for replica in hosted if replica not in gone]
    assert "".join(places[replica.slot] for replica in stay) == left


def claim_in_turn(hosts: Sequence[str], wanted: int) -> Counter[str]:
    """Let hosts take what they may, until all is taken."""
    counts: Counter[str] = Counter()
    while counts.total() < wanted:
        for each in hosts:
            while counts.total() < wanted and may_add(each, counts, hosts, wanted):
                counts[each] += 1
    return counts


@pytest.mark.parametrize("wanted", range(1, 17))
@pytest.mark.parametrize("hosts", ["a", "ab", "abc", "abcd"])
def test_claims_differ_by_one_at_most(hosts: str, wanted: int) -> None:
    counts = claim_in_turn(hosts, wanted)
    of_each = [counts[each] for each in hosts]
    assert max(of_each) - min(of_each) <= 1


def test_a_host_leaves_the_second_one_to_another_that_has_none() -> None:
    assert may_add("c", {"a": 2}, "abc", 4)
    assert not may_add("c", {"a": 2, "c": 1}, "abc", 4)
    assert may_add("b", {"a": 2, "c": 1}, "abc", 4)


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ("aa", {"b": "1", "c": "1"}),
        ("aaa", {"b": "2", "c": "2"}),
        ("aab", {"c": "1"}),
        ("abca", {}),
        ("aaaab", {"c": "3"}),
        ("ab", {}),
        ("a", {}),
        ("aA", {}),
        ("a-", {}),
        ("xx", {}),
    ],
)
def test_a_replica_moves_from_a_crowded_host_to_one_without(
    places: str, expected: dict[str, str]
) -> None:
    found = steps(server(places))
    assert {each: step.replica_id for each, step in found.items()} == expected
    assert all(step.kind == "begin" for step in found.values())


def test_a_replica_moves_only_where_it_may_run() -> None:
    hosts = {
        "a": LiveHost(labels={"zone": "a"}),
        "b": LiveHost(labels={"zone": "b"}),
        "c": LiveHost(labels={"zone": "a"}, is_cordoned=True),
    }
    assert not steps(server("aa", host_labels={"zone": "a"}), hosts)
    assert steps(server("aa"), hosts).keys() == {"b"}


def test_what_answers_moves_from_a_host_that_is_cordoned() -> None:
    hosts = {**THREE, "a": LiveHost(labels={}, is_cordoned=True)}
    found = steps(server("a"), hosts)
    assert found.keys() == {"b", "c"}
    assert all(step.is_forced and step.has_fewest for step in found.values())
    found = steps(server("ab"), hosts)
    assert (found["b"].has_fewest, found["c"].has_fewest) == (False, True)
    assert not steps(server("A"), hosts), "it is given up instead"
    everywhere = {each: LiveHost(labels={}, is_cordoned=True) for each in "abc"}
    assert not steps(server("aa"), everywhere)


@pytest.mark.parametrize(
    ("state", "expected"),
    [(State.BOOTING, {}), (State.READY, {"b": "end"}), (State.FAILED, {"b": "cancel"})],
)
def test_a_move_ends_when_its_successor_is_ready(state: State, expected: dict[str, str]) -> None:
    found = steps(moving("aaa", "1", "b", state))
    assert {each: step.kind for each, step in found.items()} == expected, "and no other begins"


def test_a_move_is_cancelled_where_nothing_comes_of_it() -> None:
    crashed = moving("aa", "1", "b", State.BOOTING)
    crashed.successors[0].restarts = 1
    assert steps(crashed)["b"].kind == "cancel"
    stopped = moving("aa", "1", "b", State.BOOTING)
    stopped.desired = Desired.ASLEEP
    assert {step.kind for step in steps(stopped).values()} == {"cancel"}
    orphan = moving("aa", "1", "x", State.BOOTING)
    assert {step.kind for step in steps(orphan).values()} == {"cancel"}
    assert not steps(orphan, sees_ends=False), "the database was away"


def test_a_successor_takes_the_place_of_one_whose_host_is_gone() -> None:
    given = moving("xc", "0", "b", State.BOOTING)
    assert {each: step.kind for each, step in steps(given).items()} == {"b": "end"}
    assert not steps(given, sees_ends=False)


def test_a_successor_of_what_is_gone_is_a_replica_like_others() -> None:
    given = moving("ab", "deleted", "a", State.READY)
    assert not given.successors
    assert given.replica_count == 3
