"""Runs calls in batches: on the event loop if that takes microseconds, otherwise on threads.

A run on the event loop cannot be ended from outside. So only models whose work is bounded by the
shapes of their inputs run there, and of those only the shapes that were quick when measured.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from mmap import mmap
from time import perf_counter

from inference_server.data_plane.admission import AdmissionControl
from inference_server.data_plane.batching import (
    BatchQueue,
    BatchResult,
    Outcome,
    run_batch,
    shape_class,
)
from inference_server.data_plane.call_spans import CallSpans
from inference_server.data_plane.calls import Feeds, PendingCall, RunTimes
from inference_server.data_plane.responses import ResponseEncoder
from inference_server.data_plane.run_limit import RunLimit
from inference_server.data_plane.thread_runs import ThreadRun, ThreadRuns
from inference_server.data_plane.worker_threads import WorkerThreads
from inference_server.errors import InferenceError, as_inference_error
from inference_server.metrics import ModelMetrics
from inference_server.running_call import ID_BYTES, NO_CALL
from inference_server.runtime.session import ModelSession
from inference_server.runtime.warmup import WarmupResult
from protos.errors import ErrorCode
from telemetry.logs import logger

_QUICK_SECONDS = 300e-6
"""Handing a run to a thread and back takes about 100 µs; three times that may block the loop."""
_SMOOTHING = 0.2
"""Weight of the latest run in the moving average of a shape class."""
_PREEMPTIBLE_SECONDS = 0.01
"""A run of up to that long may have been slow because the kernel preempted it. It counts as at most
`_OUTLIER_FACTOR` times the average, so that one of them does not move a class to the threads."""
_OUTLIER_FACTOR = 4
_MAX_SHAPE_CLASSES = 1024
"""Callers choose shapes: further classes share no measurements between their requests."""


class BatchExecutor:
    """Queues calls and runs them on one session. For one event loop; all methods are called there.

    `submit` only queues: what a client sent in one read is submitted call by call, then runs
    together. `flush` or `flush_soon` starts it.
    """

    def __init__(
        self,
        session: ModelSession,
        warmup: WarmupResult,
        encoder: ResponseEncoder,
        metrics: ModelMetrics,
        *,
        threads: int,
        queue_calls: int,
        queue_bytes: int,
        bounded_by_shapes: bool,
        run_limit: RunLimit,
        run_grace_seconds: float,
        on_stuck: Callable[[float], None],
        running_call: mmap | None = None,
        spans: CallSpans | None = None,
    ) -> None:
        """Run up to `threads` batches at once; let `queue_calls` or `queue_bytes` of input wait.

        Args:
            session: the model.
            warmup: what its first runs found out.
            encoder: encodes the responses.
            metrics: count the calls and runs.
            threads: how many runs may go on at once.
            queue_calls: how many calls may wait.
            queue_bytes: how many bytes of input may wait.
            bounded_by_shapes: whether runs may go on the event loop; see the module.
            run_limit: how long a run on a thread may take.
            run_grace_seconds: how long a run may go on after its last caller has gone.
            on_stuck: called with the seconds that a run has gone on after it was told to end, when
                these are more than `run_grace_seconds`.
            running_call: where the id of the call that runs is written, see the module of that
                name; NO_CALL where several calls share the run.
            spans: record those of sampled calls; None: calls are not traced.
        """
        self._loop = asyncio.get_running_loop()
        self._log = logger(__name__)
        self._running_call = bytearray(ID_BYTES) if running_call is None else running_call
        self._session = session
        self._encoder = encoder
        self._metrics = metrics
        self._spans = spans
        self._worker_threads: WorkerThreads[Sequence[Outcome]] = WorkerThreads(threads)
        self._max_running = threads
        self._run_limit = run_limit
        self._runs = ThreadRuns(
            grace_seconds=run_grace_seconds,
            on_deadline=self._on_deadline,
            on_too_long=self._on_too_long,
            on_stuck=on_stuck,
        )
        self._queue = BatchQueue()
        self._flush_scheduled = False
        self._max_batch_rows = warmup.max_batch_size
        self._admission = AdmissionControl(
            threads=threads, max_calls=queue_calls, max_input_bytes=queue_bytes
        )
        self._bounded_by_shapes = bounded_by_shapes
        self._shape_classes: dict[Hashable, RunTimes] = {}
        run_times = self.run_times(warmup.feeds, by_rows=self.can_batch)
        for rows, seconds in warmup.samples:
            if rows == 1 or self.can_batch:
                self._update_run_times(run_times, rows, seconds)
        if warmup.samples:
            self._admission.record_run(1, warmup.samples[0][1])

    @property
    def can_batch(self) -> bool:
        """Whether calls can share runs."""
        return self._max_batch_rows > 1

    @property
    def outstanding(self) -> int:
        """How many calls wait or run."""
        return self._admission.waiting + sum([len(run.calls) for run in self._runs.active])

    def run_times(self, feeds: Feeds, *, by_rows: bool) -> RunTimes:
        """Return the measurements of the shape class of `feeds`; see `shape_class`."""
        key = (by_rows, shape_class(feeds, by_rows=by_rows))
        found = self._shape_classes.get(key)
        if found is None:
            found = {}
            if len(self._shape_classes) < _MAX_SHAPE_CLASSES:
                self._shape_classes[key] = found
        return found

    def submit(self, call: PendingCall) -> None:
        """Queue `call`.

        Raises:
            InferenceError: OVERLOADED where the queue is full, or the call would miss its deadline.
        """
        if not self._admission.admit(call):
            self.flush()  # calls of the same read may fill the queue while nothing runs yet
            if not self._admission.admit(call):
                raise self._admission.overloaded()
        self._queue.add(call)

    def flush(self) -> None:
        """Start as many batches as there are threads for; quick ones run here and now."""
        queue, admission = self._queue, self._admission
        while queue and len(self._runs.active) < self._max_running:
            taken = queue.take(self._max_batch_rows)
            now = perf_counter()
            calls: list[PendingCall] = []
            released = rows = input_bytes = expired_rows = expired_bytes = 0
            for call in taken:
                call.queued = False
                if call.cancelled:  # released by `cancel`
                    continue
                released += 1
                profile = call.profile
                if call.deadline is not None and call.deadline < now:
                    expired_rows += profile.rows
                    expired_bytes += profile.input_bytes
                    self._expire(call, now)
                else:
                    rows += profile.rows
                    input_bytes += profile.input_bytes
                    calls.append(call)
            admission.release(released, rows + expired_rows, input_bytes + expired_bytes)
            if not calls:
                continue
            # Not removed after the run: it costs as much, and only a run crashes
            call_id = calls[0].id
            is_known = len(calls) == 1 and len(call_id) == ID_BYTES
            self._running_call[:ID_BYTES] = call_id if is_known else NO_CALL
            if self.is_quick(calls[0].profile.run_times, rows):
                self._complete(calls, rows, run_batch(self._session, calls))
            else:
                self._run_on_thread(calls, rows, input_bytes)
        self._metrics.queue_depth.set(admission.waiting)

    def flush_soon(self) -> None:
        """Call `flush` in the next turn of the loop, after what else has arrived by now."""
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush_scheduled_now)

    def cancel(self, call: PendingCall) -> None:
        """Do not run `call` if it still waits, and send no response.

        A run that no other call waits for ends.
        """
        call.cancelled = True
        self._record_failure(call, ErrorCode.CANCELLED)
        if call.queued:
            self._admission.release(1, call.profile.rows, call.profile.input_bytes)
        else:
            self._runs.check_soon()

    def close(self) -> None:
        """End runs and threads; a run that does not end keeps its thread."""
        self._runs.close()
        self._worker_threads.close()

    def is_quick(self, run_times: RunTimes, rows: int) -> bool:
        """Whether runs of this shape class and about so many rows were measured as quick.

        False where none was measured: the first run is measured on a thread.
        """
        return run_times.get(rows.bit_length(), _QUICK_SECONDS) < _QUICK_SECONDS

    def _flush_scheduled_now(self) -> None:
        self._flush_scheduled = False
        self.flush()

    def _expire(self, call: PendingCall, now: float) -> None:
        waited = now - call.arrived_at
        message = f"the deadline passed after {waited:.3f} s in the queue"
        self._send_error(call, InferenceError(ErrorCode.DEADLINE_EXCEEDED, message))

    def _on_deadline(self, call: PendingCall, now: float) -> None:
        message = f"the deadline passed after {now - call.arrived_at:.3f} s, during the run"
        self._send_error(call, InferenceError(ErrorCode.DEADLINE_EXCEEDED, message))

    def _on_too_long(self, run: ThreadRun) -> None:
        seconds = run.max_seconds
        waiting = [call for call in run.calls if not call.cancelled]
        traces = [call.trace.trace_id_text for call in waiting if call.trace is not None]
        about = {"trace_id": traces[0]} if traces else {}
        self._log.warning("run_took_too_long", seconds=seconds, calls=len(waiting), **about)
        message = (
            f"the run took longer than {seconds:g} s, the most that this model may take for it: "
            "send an input that takes less, or ask the model's owner for a higher `max_run_seconds`"
        )
        for call in waiting:
            self._send_error(call, InferenceError(ErrorCode.RUN_TIME_EXCEEDED, message))

    def _run_on_thread(self, calls: list[PendingCall], rows: int, input_bytes: int) -> None:
        run = ThreadRun(calls, rows, self._run_limit.seconds(input_bytes))
        self._runs.add(run)
        self._admission.run_started(id(run), rows)
        self._worker_threads.run(
            partial(run_batch, self._session, calls, run.options),
            partial(self._on_thread_done, run),
        )

    def _on_thread_done(self, run: ThreadRun, outcomes: Sequence[Outcome] | Exception) -> None:
        calls = run.calls
        self._runs.remove(run)
        self._admission.run_ended(id(run))
        if isinstance(outcomes, Exception):  # a bug: `run_batch` returns what the model raises
            message = f"the run failed unexpectedly: {outcomes}"
            outcomes = [InferenceError(ErrorCode.INTERNAL, message)] * len(calls)
        self._complete(calls, run.rows, outcomes)
        self.flush()

    def _complete(
        self, calls: Sequence[PendingCall], rows: int, outcomes: Sequence[Outcome]
    ) -> None:
        """Send the responses of one batch; its run is counted later, when no client waits."""
        self._loop.call_soon(self._record, calls, rows, outcomes)
        encode = self._encoder.encode
        succeeded = 0
        for call, outcome in zip(calls, outcomes, strict=True):
            if call.cancelled:
                continue
            if isinstance(outcome, BatchResult):
                try:
                    message = encode(call, outcome)
                except Exception as error:  # noqa: BLE001 - becomes the call's error
                    self._send_error(call, as_inference_error(error))
                else:
                    succeeded += 1
                    call.responder.send_response(call, message)
            else:
                self._send_error(call, outcome)
        self._metrics.record_successes(succeeded)

    def _send_error(self, call: PendingCall, error: InferenceError) -> None:
        self._metrics.record_error(error.code)
        self._record_failure(call, error.code)
        call.responder.send_error(call, call.id_text, error)

    def _record_failure(self, call: PendingCall, code: ErrorCode) -> None:
        if self._spans is not None and call.trace is not None:
            self._spans.failed(call.trace, call.arrived_at, code)
            call.trace = None

    def _record(self, calls: Sequence[PendingCall], rows: int, outcomes: Sequence[Outcome]) -> None:
        result = outcomes[0]
        if len(calls) > 1 and not (isinstance(result, BatchResult) and result.shared):
            for call, outcome in zip(calls, outcomes, strict=True):  # each had a run of its own
                self._record((call,), call.profile.rows, (outcome,))
        elif isinstance(result, BatchResult):
            self._metrics.record_run(
                result.started_at,
                result.infer_seconds,
                rows,
                [result.started_at - call.arrived_at for call in calls],
            )
            self._update_run_times(calls[0].profile.run_times, rows, result.infer_seconds)
            self._admission.record_run(rows, result.infer_seconds)
            if self._spans is not None:
                self._spans.completed(calls, rows, result)

    def _update_run_times(self, run_times: RunTimes, rows: int, seconds: float) -> None:
        if not self._bounded_by_shapes:
            return  # nothing is quick then
        size = rows.bit_length()
        average = run_times.get(size, seconds)
        if seconds < _PREEMPTIBLE_SECONDS:
            seconds = min(seconds, _OUTLIER_FACTOR * average)
        run_times[size] = average + _SMOOTHING * (seconds - average)
