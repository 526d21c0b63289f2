"""Ids of runs, which begin with the time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from gateway.ids import is_id, min_run_id, new_id, new_run_id, run_id_time
from gateway.storage.clock import now


def test_an_id_of_a_run_is_a_uuid_that_tells_when_it_was_made() -> None:
    before = now() - timedelta(milliseconds=1)
    ids = [new_run_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    for run_id in ids:
        assert is_id(run_id)
        assert str(UUID(run_id)) == run_id
        assert UUID(run_id).variant == "specified in RFC 4122"
        made = run_id_time(run_id)
        assert made is not None
        assert before <= made <= now()


def test_ids_made_before_a_time_are_less_than_the_first_of_it() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC)
    assert min_run_id(moment) == "019b7ca9-8f2e-7000-8000-000000000000"
    assert run_id_time(min_run_id(moment)) == moment
    assert min_run_id(moment) < min_run_id(moment + timedelta(milliseconds=1))
    assert min_run_id(now() - timedelta(seconds=1)) < new_run_id()
    assert new_run_id() < min_run_id(now() + timedelta(seconds=1))


def test_other_ids_do_not_tell_their_age() -> None:
    assert run_id_time(new_id()) is None
    assert run_id_time("nonsense") is None
    assert run_id_time("ffffffff-ffff-7fff-bfff-ffffffffffff") is None, "after the year 9999"
