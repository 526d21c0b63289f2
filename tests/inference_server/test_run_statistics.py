"""What is counted of runs by their batch size."""

from __future__ import annotations

from inference_server.metrics import RunStatistics


def test_a_shared_run_counts_once_and_its_time_for_each_call() -> None:
    runs = RunStatistics()
    runs.add(10.0, 0.5, rows=4, calls=2)
    counted = runs.by_rows[4]
    assert (counted.runs, counted.calls, counted.rows) == (1, 2, 4)
    assert (counted.seconds, counted.call_seconds) == (0.5, 1.0)


def test_without_a_run_there_is_no_last_one() -> None:
    assert RunStatistics().last_milliseconds() == 0


def test_clients_cannot_fill_the_memory_with_batch_sizes() -> None:
    runs = RunStatistics()
    sizes = range(1, 3001)
    for rows in sizes:
        runs.add(10.0, 0.5, rows=rows, calls=1)
    assert len(runs.by_rows) < 2000
    assert sum(part.rows for part in runs.all()) == sum(sizes)
    assert sum(part.runs for part in runs.all()) == len(sizes)
