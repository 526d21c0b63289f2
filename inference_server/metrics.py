"""What one model version counts and times: Prometheus instruments, and Triton's statistics."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter, time

from inference_server.lifecycle import BootPhase, Lifecycle, LifecycleState
from protos.errors import ErrorCode
from telemetry.instruments import BATCH_SIZES, Counter, Registry

_OK = "ok"
_MAX_BATCH_SIZES = 1024
"""Clients choose batch sizes: so many are counted separately, all further ones together."""


class BatchSizeTotals:
    """All the runs of one batch size."""

    __slots__ = ("call_seconds", "calls", "rows", "runs", "seconds")

    def __init__(self) -> None:
        self.runs = 0
        self.calls = 0
        self.rows = 0
        self.seconds = 0.0
        """The time of the runs, each counted once."""
        self.call_seconds = 0.0
        """The time of the runs, each counted once for every call that shared it."""


class RunStatistics:
    """What runs took by batch size, which Triton's statistics report and histograms cannot."""

    def __init__(self) -> None:
        self.by_rows: dict[int, BatchSizeTotals] = {}
        self._others = BatchSizeTotals()
        self._last_end: float | None = None

    def add(self, started_at: float, seconds: float, *, rows: int, calls: int) -> None:
        """Count a run of `rows` rows that `calls` calls shared."""
        self._last_end = started_at + seconds
        totals = self.by_rows.get(rows) or self._new_size(rows)
        totals.runs += 1
        totals.calls += calls
        totals.rows += rows
        totals.seconds += seconds
        totals.call_seconds += seconds * calls

    def all(self) -> list[BatchSizeTotals]:
        """Return the totals of all sizes, to be summed up."""
        return [*self.by_rows.values(), self._others]

    def last_milliseconds(self) -> int:
        """Return when the latest run ended, in milliseconds since 1970; 0 if there was none."""
        if self._last_end is None:
            return 0
        return int((time() - (perf_counter() - self._last_end)) * 1e3)

    def _new_size(self, rows: int) -> BatchSizeTotals:
        if len(self.by_rows) >= _MAX_BATCH_SIZES:
            return self._others
        self.by_rows[rows] = BatchSizeTotals()
        return self.by_rows[rows]


class ModelMetrics:
    """The instruments, each with the labels of the model resolved once."""

    def __init__(self, registry: Registry, model: str, version: int) -> None:
        labels = (model, str(version))
        names = ("model", "version")
        self._labels = labels
        self._requests = registry.counter(
            "inference_requests_total",
            "Inference calls answered, by outcome: ok, or the error code.",
            (*names, "code"),
        )
        self._ok = self._requests.child(*labels, _OK)
        self._failed: dict[ErrorCode, Counter] = {}
        self.runs = RunStatistics()
        self.run_seconds = registry.histogram(
            "inference_seconds", "Time of a run in ONNX Runtime.", names
        ).child(*labels)
        self.queue_seconds = registry.histogram(
            "inference_queue_seconds", "Time that a call waited for its run to begin.", names
        ).child(*labels)
        self.batch_size = registry.histogram(
            "inference_batch_size", "Rows of a run.", names, bounds=BATCH_SIZES
        ).child(*labels)
        self.queue_depth = registry.gauge(
            "inference_queue_depth", "Calls that wait for their run to begin.", names
        ).child(*labels)
        self.dropped_spans = registry.counter(
            "trace_spans_dropped_total",
            "Spans that the collector did not take, or for which there was no room until it did.",
            names,
        ).child(*labels)
        self._state = registry.gauge(
            "inference_server_state",
            "1 for the state that the inference server is in, 0 for the others.",
            (*names, "state"),
        )
        self._boot_seconds = registry.gauge(
            "inference_server_boot_seconds", "Time of each phase of the boot.", (*names, "phase")
        )
        self.queue_depth.set(0)
        self._instances = registry.gauge(
            "inference_instances",
            "Runs that may go on at a time: the limit of the rate of inference_seconds_sum.",
            names,
        )
        self._queue_limit = registry.gauge(
            "inference_queue_limit", "Calls that may wait for their run to begin.", names
        )

    @property
    def succeeded(self) -> int:
        """How many calls were answered with outputs."""
        return int(self._ok.value)

    @property
    def failed(self) -> int:
        """How many calls were answered with an error, or cancelled by their clients."""
        return int(sum([counter.value for counter in self._failed.values()]))

    @property
    def call_seconds(self) -> float:
        """The time that calls have waited and run, added up over all calls."""
        runs = sum([totals.call_seconds for totals in self.runs.all()])
        return self.queue_seconds.total + runs

    def record_successes(self, calls: int) -> None:
        """Count calls that were answered with outputs."""
        self._ok.add(calls)

    def record_error(self, code: ErrorCode) -> None:
        """Count a call that was answered with an error, or cancelled."""
        if code not in self._failed:
            self._failed[code] = self._requests.child(*self._labels, code)
        self._failed[code].add()

    def record_run(
        self, started_at: float, seconds: float, rows: int, queue_seconds: Sequence[float]
    ) -> None:
        """Count a run that succeeded; `queue_seconds` is what each of its calls had waited."""
        self.runs.add(started_at, seconds, rows=rows, calls=len(queue_seconds))
        self.run_seconds.observe(seconds)
        self.batch_size.observe(rows)
        observe = self.queue_seconds.observe
        for waited in queue_seconds:
            observe(waited)

    def record_state(self, lifecycle: Lifecycle) -> None:
        """Show the state that the server is in now."""
        for state in LifecycleState:
            self._state.child(*self._labels, state).set(float(state == lifecycle.state))

    def record_limits(self, *, instances: int, queue_calls: int) -> None:
        """Show how many runs may go on, and how many calls may wait."""
        self._instances.child(*self._labels).set(instances)
        self._queue_limit.child(*self._labels).set(queue_calls)

    def record_phase(self, phase: BootPhase, seconds: float) -> None:
        """Record how long a phase of the boot took."""
        self._boot_seconds.child(*self._labels, phase).set(seconds)
