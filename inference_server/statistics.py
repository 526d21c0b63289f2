"""Triton's statistics of a model version, from the instruments that there are anyway.

A successful call counts from its arrival in the queue to the end of its run. Nobody times the
reading of inputs and the writing of outputs apart: `compute_input` and `compute_output` took 0 ns,
and are counted, since clients insist on as many as there are of `compute_infer`. Failed calls are
counted, too, and took 0 ns.
"""

from __future__ import annotations

from inference_server.metrics import ModelMetrics
from inference_server.run_statistics import BatchSizeTotals
from protos import open_inference_pb2 as pb


def model_statistics(name: str, version: str, metrics: ModelMetrics) -> pb.ModelStatistics:
    """Return what has been counted and timed since the process began."""
    runs = metrics.runs
    parts = runs.all()
    return pb.ModelStatistics(
        name=name,
        version=version,
        last_inference=runs.last_milliseconds(),
        inference_count=sum([part.rows for part in parts]),
        execution_count=sum([part.runs for part in parts]),
        inference_stats=_of_calls(metrics, parts),
        batch_stats=[_of_size(rows, totals) for rows, totals in sorted(runs.by_rows.items())],
    )


def _of_calls(metrics: ModelMetrics, parts: list[BatchSizeTotals]) -> pb.InferStatistics:
    calls = sum([part.calls for part in parts])
    infer_seconds = sum([part.call_seconds for part in parts])
    queue = metrics.queue_seconds
    return pb.InferStatistics(
        success=_duration(metrics.succeeded, queue.total + infer_seconds),
        fail=_duration(metrics.failed, 0.0),
        queue=_duration(sum(queue.counts), queue.total),
        compute_input=_duration(calls, 0.0),
        compute_infer=_duration(calls, infer_seconds),
        compute_output=_duration(calls, 0.0),
        cache_hit=_duration(0, 0.0),
        cache_miss=_duration(0, 0.0),
    )


def _of_size(rows: int, totals: BatchSizeTotals) -> pb.InferBatchStatistics:
    return pb.InferBatchStatistics(
        batch_size=rows,
        compute_input=_duration(totals.runs, 0.0),
        compute_infer=_duration(totals.runs, totals.seconds),
        compute_output=_duration(totals.runs, 0.0),
    )


def _duration(count: int, seconds: float) -> pb.StatisticDuration:
    return pb.StatisticDuration(count=count, ns=int(seconds * 1e9))
