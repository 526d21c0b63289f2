"""What a host writes of the calls that its replicas have."""

from __future__ import annotations

import pytest

from gateway.fleet.states import NeededBy
from gateway.storage.tables import InferenceServer
from slipstream.supervisor.loads import ReplicaLoad

SCALES = InferenceServer(min_replicas=1, max_replicas=4, generation=1, replicas=[])
SLEEPS = InferenceServer(
    min_replicas=1, max_replicas=4, idle_timeout_seconds=40, generation=1, replicas=[]
)


class Replica:
    """A process that sends heartbeats once a second."""

    def __init__(self) -> None:
        self.now = 100.0
        self.load = ReplicaLoad(now=self.now)
        self.answered = 0
        self.call_seconds = 0.0

    def beat(self, times: int = 1, *, calls: int = 0, seconds: float = 0.0, now: int = 0) -> None:
        """Send heartbeats: `calls` were answered in each second, and took `seconds` each."""
        for _ in range(times):
            self.now += 1.0
            self.answered += calls
            self.call_seconds += calls * seconds
            line = {
                "event": "heartbeat",
                "at": self.now,
                "answered": self.answered,
                "outstanding": now,
                "call_seconds": self.call_seconds,
            }
            self.load.heard(line)

    def quiet(self, server: InferenceServer) -> float | None:
        """Return for how long there was no call, as it is written."""
        measured = self.load.news("r", server, self.now)
        assert measured is not None
        return measured.quiet_seconds


def test_the_load_is_how_many_calls_there_are_at_a_time() -> None:
    replica = Replica()
    replica.beat(8, calls=50, seconds=0.04)
    assert replica.load.load == pytest.approx(2.0)
    replica.beat(5)
    assert replica.load.load == 0.0


def test_calls_that_take_longer_than_the_average_is_made_of_count() -> None:
    replica = Replica()
    replica.beat(3, now=4)
    assert replica.load.load == 4.0
    replica.beat(now=0)
    assert replica.load.load == 0.0, "a moment with calls is none that lasts"


def test_a_new_process_has_no_load_yet() -> None:
    replica = Replica()
    assert replica.load.load == 0.0
    replica.beat(2, now=9)
    assert replica.load.load == 0.0


def test_small_changes_are_not_written() -> None:
    replica = Replica()
    replica.beat(8, calls=50, seconds=0.04)
    assert replica.load.news("r", SCALES, replica.now) is not None
    assert replica.load.news("r", SCALES, replica.now) is None
    replica.beat(8, calls=51, seconds=0.04)
    assert replica.load.news("r", SCALES, replica.now) is None
    replica.beat(8, calls=60, seconds=0.04)
    measured = replica.load.news("r", SCALES, replica.now)
    assert measured is not None
    assert (measured.replica_id, measured.load, measured.quiet_seconds) == ("r", 2.4, None)


def test_a_replica_is_idle_some_time_after_its_last_call() -> None:
    replica = Replica()
    replica.beat(3, calls=1, seconds=0.001)
    assert replica.quiet(SLEEPS) is None
    replica.beat(9)
    assert replica.load.news("r", SLEEPS, replica.now) is None, "a pause is no news"
    replica.beat(3)
    assert replica.quiet(SLEEPS) == 12.0
    replica.beat(20)
    assert replica.load.news("r", SLEEPS, replica.now) is None, "it is written once"
    replica.beat(calls=1)
    assert replica.quiet(SLEEPS) is None


def test_heartbeats_that_are_read_together_count_when_they_were_sent() -> None:
    replica = Replica()
    replica.beat(8, calls=50, seconds=0.04)
    adopted = ReplicaLoad(now=replica.now)
    for beat in replica.load._heartbeats:
        adopted.heard({"event": "heartbeat", **beat._asdict()})
    assert adopted.load == pytest.approx(2.0)


def test_a_replica_that_was_woken_while_it_ran_waits_for_its_first_call() -> None:
    replica = Replica()
    replica.beat(3, calls=1)
    replica.beat(20)
    assert replica.quiet(SLEEPS) == 20.0
    assert replica.load.news("r", SLEEPS, replica.now) is None
    woken = InferenceServer(min_replicas=1, max_replicas=4, idle_timeout_seconds=40, generation=2)
    assert replica.quiet(woken) is None, "the client that has woken it is to find it"
    replica.beat(65)
    assert replica.quiet(woken) == 15.0


def test_a_replica_may_sleep_after_its_idle_timeout() -> None:
    replica = Replica()
    replica.beat(3, calls=1)
    replica.beat(39)
    assert not replica.load.may_sleep(40, replica.now)
    assert not replica.load.may_sleep(None, replica.now)
    replica.beat(1)
    assert replica.load.may_sleep(40, replica.now)


def test_a_call_that_runs_is_no_pause() -> None:
    replica = Replica()
    replica.beat(60, now=1)
    assert replica.quiet(SLEEPS) is None


def test_a_woken_replica_waits_for_its_first_call() -> None:
    replica = Replica()
    replica.beat(55)
    assert replica.quiet(SLEEPS) is None
    replica.beat(10)
    assert replica.quiet(SLEEPS) == 15.0, "50 s later than after a call: 90 in all"


def test_a_replica_without_an_idle_timeout_is_never_idle() -> None:
    replica = Replica()
    replica.beat(500)
    assert replica.quiet(SCALES) is None


@pytest.mark.parametrize("wrong", ["many", None, float("nan"), float("inf")])
@pytest.mark.parametrize("field", ["at", "answered", "outstanding", "call_seconds"])
def test_a_heartbeat_without_numbers_is_refused(field: str, wrong: object) -> None:
    line = {"event": "heartbeat", "at": 1.0, "answered": 1, "outstanding": 0, "call_seconds": 1.0}
    load = ReplicaLoad(now=0.0)
    with pytest.raises((TypeError, ValueError)):
        load.heard({**line, field: wrong})
    for _ in range(3):
        load.heard(line)
    assert load.load == 0.0, "heartbeats of one moment say nothing"


def test_heartbeats_of_an_older_release_say_nothing() -> None:
    replica = Replica()
    replica.load.heard({"event": "heartbeat"})
    assert replica.load.load == 0.0
    assert replica.quiet(SLEEPS) is None


def test_since_when_a_server_is_idle_that_nothing_needs_is_written() -> None:
    replica = Replica()
    unneeded = InferenceServer(needed_by=NeededBy.NOTHING, generation=1, replicas=[])
    assert unneeded.sleeps
    replica.beat(2, calls=1)
    replica.beat(30)
    assert replica.quiet(unneeded) == pytest.approx(30.0)
