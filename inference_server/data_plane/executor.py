"""Runs calls in batches: on the event loop if that takes microseconds, otherwise on threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from time import perf_counter
from typing import Generic, TypeVar

from inference_server.data_plane.admission import AdmissionControl
from inference_server.data_plane.batching import BatchQueue, BatchResult, Outcome, run_batch
from inference_server.data_plane.calls import PendingCall
from inference_server.data_plane.responses import ResponseEncoder
from inference_server.errors import InferenceError, as_inference_error
from inference_server.metrics import ModelMetrics
from inference_server.runtime.session import ModelSession
from inference_server.runtime.warmup import WarmupResult
from protos.errors import ErrorCode

_QUICK_SECONDS = 300e-6
"""Handing a run to a thread and back takes about 100 µs; three times that may block the loop."""
_SMOOTHING = 0.2
"""Weight of the latest run in the moving average of a size."""
_PREEMPTIBLE_SECONDS = 0.01
"""A run of up to that long may have been slow because the kernel preempted it. It counts as at most
`_OUTLIER_FACTOR` times the average, so that one of them does not move a size to the threads."""
_OUTLIER_FACTOR = 4


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
    ) -> None:
        """Run up to `threads` batches at once; let `queue_calls` or `queue_bytes` of input wait."""
        self._loop = asyncio.get_running_loop()
        self._session = session
        self._encoder = encoder
        self._metrics = metrics
        self._worker_threads: WorkerThreads[Sequence[Outcome]] = WorkerThreads(threads)
        self._max_running = threads
        self._running = 0
        self._queue = BatchQueue()
        self._flush_scheduled = False
        self._max_batch_rows = warmup.max_batch_size
        self._admission = AdmissionControl(
            threads=threads, max_calls=queue_calls, max_input_bytes=queue_bytes
        )
        self._run_seconds: dict[int, float] = {}
        for input_bytes, seconds in warmup.samples:
            self._update_run_seconds(input_bytes, seconds)
        if warmup.samples:
            self._admission.record_run(1, warmup.samples[0][1])

    @property
    def can_batch(self) -> bool:
        """Whether calls can share runs."""
        return self._max_batch_rows > 1

    @property
    def busy(self) -> bool:
        """Whether calls wait or run."""
        return self._running > 0 or self._admission.waiting > 0

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
        while queue and self._running < self._max_running:
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
            if self.is_quick(input_bytes):
                self._complete(calls, rows, input_bytes, run_batch(self._session, calls))
            else:
                self._run_on_thread(calls, rows, input_bytes)
        self._metrics.queue_depth.set(admission.waiting)

    def flush_soon(self) -> None:
        """Call `flush` in the next turn of the loop, after what else has arrived by now."""
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush_scheduled_now)

    def cancel(self, call: PendingCall) -> None:
        """Do not run `call` if it still waits, and send no response."""
        call.cancelled = True
        if call.queued:
            self._admission.release(1, call.profile.rows, call.profile.input_bytes)

    def close(self) -> None:
        """End the threads; one that is busy ends after its run."""
        self._worker_threads.close()

    def is_quick(self, input_bytes: int) -> bool:
        """Whether runs on inputs of about this size (within a factor of 2) take microseconds.

        False for a size that never ran: its first run is measured on a thread.
        """
        seconds = self._run_seconds.get(input_bytes.bit_length(), _QUICK_SECONDS)
        return seconds < _QUICK_SECONDS

    def _flush_scheduled_now(self) -> None:
        self._flush_scheduled = False
        self.flush()

    def _expire(self, call: PendingCall, now: float) -> None:
        waited = now - call.arrived_at
        message = f"the deadline passed after {waited:.3f} s in the queue"
        self._send_error(call, InferenceError(ErrorCode.DEADLINE_EXCEEDED, message))

    def _run_on_thread(self, calls: list[PendingCall], rows: int, input_bytes: int) -> None:
        self._running += 1
        self._admission.run_started(id(calls), rows)
        self._worker_threads.run(
            partial(run_batch, self._session, calls),
            partial(self._on_thread_done, calls, rows, input_bytes),
        )

    def _on_thread_done(
        self,
        calls: list[PendingCall],
        rows: int,
        input_bytes: int,
        outcomes: Sequence[Outcome] | Exception,
    ) -> None:
        self._running -= 1
        self._admission.run_ended(id(calls))
        if isinstance(outcomes, Exception):  # a bug: `run_batch` returns what the model raises
            message = f"the run failed unexpectedly: {outcomes}"
            outcomes = [InferenceError(ErrorCode.INTERNAL, message)] * len(calls)
        self._complete(calls, rows, input_bytes, outcomes)
        self.flush()

    def _complete(
        self,
        calls: list[PendingCall],
        rows: int,
        input_bytes: int,
        outcomes: Sequence[Outcome],
    ) -> None:
        """Send the responses of one batch; its run is counted later, when no client waits."""
        self._loop.call_soon(self._record, calls, rows, input_bytes, outcomes)
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
        call.responder.send_error(call, call.id_text, error)

    def _record(
        self,
        calls: Sequence[PendingCall],
        rows: int,
        input_bytes: int,
        outcomes: Sequence[Outcome],
    ) -> None:
        result = outcomes[0]
        if len(calls) > 1 and not (isinstance(result, BatchResult) and result.shared):
            for call, outcome in zip(calls, outcomes, strict=True):  # each had a run of its own
                self._record((call,), call.profile.rows, call.profile.input_bytes, (outcome,))
        elif isinstance(result, BatchResult):
            self._metrics.record_run(
                result.started_at,
                result.infer_seconds,
                rows,
                [result.started_at - call.arrived_at for call in calls],
            )
            self._update_run_seconds(input_bytes, result.infer_seconds)
            self._admission.record_run(rows, result.infer_seconds)

    def _update_run_seconds(self, input_bytes: int, seconds: float) -> None:
        size = input_bytes.bit_length()
        average = self._run_seconds.get(size, seconds)
        if seconds < _PREEMPTIBLE_SECONDS:
            seconds = min(seconds, _OUTLIER_FACTOR * average)
        self._run_seconds[size] = average + _SMOOTHING * (seconds - average)


Result = TypeVar("Result")
_Task = tuple[Callable[[], Result], Callable[[Result | Exception], None], asyncio.AbstractEventLoop]


class WorkerThreads(Generic[Result]):
    """Up to `count` threads for runs too long for the event loop, started on first use.

    A ThreadPoolExecutor takes 35 µs more for each run: it makes a future with a lock to wait on,
    which is not needed here.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._started = 0
        self._tasks: SimpleQueue[_Task[Result] | None] = SimpleQueue()

    def run(
        self, work: Callable[[], Result], on_done: Callable[[Result | Exception], None]
    ) -> None:
        """Call `work` on a thread, then `on_done` with its result on the event loop."""
        if self._started < self._count:
            self._started += 1
            threading.Thread(target=self._run_tasks, name="run", daemon=True).start()
        self._tasks.put((work, on_done, asyncio.get_running_loop()))

    def close(self) -> None:
        """Let each thread end when it has nothing left to do."""
        for _ in range(self._started):
            self._tasks.put(None)

    def _run_tasks(self) -> None:
        while _run_task(self._tasks.get()):
            pass


def _run_task(task: _Task[Result] | None) -> bool:
    """Run a task; return False for None. A function, so that an idle thread references no task."""
    if task is None:
        return False
    work, on_done, loop = task
    result: Result | Exception
    try:
        result = work()
    except Exception as error:  # noqa: BLE001 - passed on to the event loop
        result = error
    with suppress(RuntimeError):  # the loop is closed: the process is ending
        loop.call_soon_threadsafe(on_done, result)
    return True
