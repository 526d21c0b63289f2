"""What is counted of runs: shared ones, ones of their own, and of more sizes than anybody has."""

from __future__ import annotations

from inference_server.data_plane.batching import BaseCall, BatchResult, Feeds, Outcome
from inference_server.errors import InferenceError
from inference_server.run_statistics import RunStatistics
from protos.errors import ErrorCode

FAILURE = InferenceError(ErrorCode.INFERENCE_FAILED, "no")


class Call(BaseCall):
    """A call of so many rows."""

    def __init__(self, rows: int) -> None:
        super().__init__(outputs=(), input_bytes=0, key=None, rows=rows, timeout=None)

    def feeds(self) -> Feeds:
        return {}

    def ran(self, run: BatchResult, start: int) -> None:  # noqa: ARG002 - the base class has them
        raise AssertionError("nobody runs it")

    def failed(self, error: InferenceError) -> None:  # noqa: ARG002
        raise AssertionError("nobody runs it")


def alone(seconds: float) -> Outcome:
    """Return the outcome of a run with one call."""
    return BatchResult([], 10.0, seconds, shared=False), 0


def test_a_shared_run_counts_once_and_its_time_for_each_call() -> None:
    totals = RunStatistics()
    run = BatchResult([], 10.0, 0.5, shared=True)
    totals.add([Call(1), Call(3)], [(run, 0), (run, 1)])
    counted = totals.by_rows[4]
    assert (counted.runs, counted.calls, counted.rows) == (1, 2, 4)
    assert (counted.seconds, counted.call_seconds) == (0.5, 1.0)


def test_calls_that_were_run_again_alone_count_each_for_itself() -> None:
    totals = RunStatistics()
    totals.add([Call(1), Call(2), Call(1)], [FAILURE, alone(0.25), alone(0.5)])
    assert totals.by_rows.keys() == {1, 2}
    one, two = totals.by_rows[1], totals.by_rows[2]
    assert (one.runs, one.calls, one.rows, one.seconds) == (1, 1, 1, 0.5)
    assert (two.runs, two.calls, two.rows, two.seconds) == (1, 1, 2, 0.25)


def test_what_failed_is_not_counted() -> None:
    totals = RunStatistics()
    totals.add([Call(1)], [FAILURE])
    assert not totals.by_rows
    assert totals.last_milliseconds() == 0


def test_callers_cannot_fill_the_memory_with_sizes() -> None:
    totals = RunStatistics()
    sizes = range(1, 3001)
    for rows in sizes:
        totals.add([Call(rows)], [alone(0.5)])
    assert len(totals.by_rows) < 2000
    assert sum(part.rows for part in totals.all()) == sum(sizes)
    assert sum(part.runs for part in totals.all()) == len(sizes)
