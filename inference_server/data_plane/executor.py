"""When and where runs happen: at once on the event loop if they are quick, else on threads."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from time import perf_counter

from inference_server.data_plane.admission import AdmissionControl
from inference_server.data_plane.batching import BaseCall, BatchQueue, Outcome, run_batch
from inference_server.data_plane.worker_threads import WorkerThreads
from inference_server.errors import InferenceError
from inference_server.metrics import ModelMetrics
from inference_server.runtime.session import OnnxSession
from inference_server.runtime.warmup import WarmupResult
from protos.errors import ErrorCode

_QUICK_SECONDS = 300e-6
"""A thread costs about 100 µs of hand-over; a run up to three times that may hold up the loop."""
_NEWEST = 0.2
"""Weight of the newest run in the mean."""
_PREEMPTED_SECONDS = 0.01
"""A run of up to that long may have been interrupted by another process, which says nothing of it:
it counts as no more than `_PREEMPTED_FACTOR` times the mean."""
_PREEMPTED_FACTOR = 4


class BatchExecutor:
    """Runs one session. All methods belong to the event loop."""

    def __init__(
        self,
        session: OnnxSession,
        warmth: WarmupResult,
        metrics: ModelMetrics,
        *,
        threads: int,
        queue_calls: int,
        queue_bytes: int,
    ) -> None:
        """Run up to `threads` batches at once; let `queue_calls` or `queue_bytes` of input wait."""
        self._session = session
        self._metrics = metrics
        self._workers: WorkerThreads[list[Outcome]] = WorkerThreads(threads)
        self._threads = threads
        self._running = 0
        self._waiting = BatchQueue()
        self._flushing = False
        self._most_rows = warmth.max_batch_size
        self._load = AdmissionControl(threads=threads, calls=queue_calls, input_bytes=queue_bytes)
        self._run_seconds: dict[int, float] = {}
        for input_bytes, seconds in warmth.samples:
            self._learn(input_bytes, seconds)
        if warmth.samples:
            self._load.learn(1, warmth.samples[0][1])

    @property
    def batches(self) -> bool:
        """Whether calls can share runs."""
        return self._most_rows > 1

    @property
    def busy(self) -> bool:
        """Whether calls wait or run."""
        return self._running > 0 or self._load.calls > 0

    def submit(self, job: BaseCall) -> None:
        """Have `job` run as soon as there is room, with those that have arrived meanwhile.

        Raises:
            InferenceError: OVERLOADED where too much is waiting already, or so much that the job's
                deadline would pass.
        """
        load = self._load
        if load.is_full(job):
            self._flush()  # what came in the same read may not have begun yet, though there is room
        load.admit(job)
        self._waiting.add(job)
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def run_arrived(self) -> None:
        """Run at once what was submitted: nothing else is about to arrive."""
        if self._flushing:
            self._flush()

    def abandon(self, job: BaseCall) -> None:
        """Take note that nobody waits for `job` any more: it need not run, and is not told."""
        job.abandoned = True
        if job.waiting:
            self._load.leave(job)

    def close(self) -> None:
        """Let go of the threads, those that are busy when they no longer are."""
        self._workers.close()

    def is_quick(self, input_bytes: int) -> bool:
        """Whether runs on inputs of about this size (within a factor of 2) take microseconds.

        Sizes that were never run are not: they are measured on a thread first.
        """
        seconds = self._run_seconds.get(input_bytes.bit_length(), _QUICK_SECONDS)
        return seconds < _QUICK_SECONDS

    def _flush(self) -> None:
        """Run what has arrived, as far as there is room."""
        self._flushing = False
        while self._waiting and self._running < self._threads:
            jobs = self._in_time(self._waiting.take(self._most_rows))
            if not jobs:
                continue
            input_bytes = sum([job.input_bytes for job in jobs])
            if self.is_quick(input_bytes):
                self._ran(jobs, input_bytes, run_batch(self._session, jobs))
            else:
                self._run_on_thread(jobs, input_bytes)
        self._metrics.queue_depth.set(self._load.calls)

    def _in_time(self, taken: list[BaseCall]) -> list[BaseCall]:
        """Return those for which an answer is of use still, and tell the others."""
        now = perf_counter()
        jobs: list[BaseCall] = []
        for job in taken:
            if job.abandoned:
                continue
            self._load.leave(job)
            if job.deadline is not None and job.deadline < now:
                message = f"the call waited for {now - job.queued:.3f} s, until its time was up"
                job.failed(InferenceError(ErrorCode.DEADLINE_EXCEEDED, message))
            else:
                jobs.append(job)
        return jobs

    def _run_on_thread(self, jobs: list[BaseCall], input_bytes: int) -> None:
        self._running += 1
        self._load.begin(jobs)
        self._workers.run(
            partial(run_batch, self._session, jobs), partial(self._finish, jobs, input_bytes)
        )

    def _finish(
        self, jobs: list[BaseCall], input_bytes: int, outcomes: list[Outcome] | Exception
    ) -> None:
        self._running -= 1
        self._load.end(jobs)
        if isinstance(outcomes, Exception):  # a fault of ours fails all its calls, not the server
            message = f"the run broke: {outcomes}"  # `run_batch` foresees what the model does
            outcomes = [InferenceError(ErrorCode.INTERNAL, message)] * len(jobs)
        self._ran(jobs, input_bytes, outcomes)
        self._flush()

    def _ran(self, jobs: list[BaseCall], input_bytes: int, outcomes: Sequence[Outcome]) -> None:
        # Nobody has to wait for what is only counted: answers are written before that.
        asyncio.get_running_loop().call_soon(self._count, jobs, input_bytes, outcomes)
        for job, outcome in zip(jobs, outcomes, strict=True):
            if job.abandoned:
                continue
            if isinstance(outcome, tuple):
                job.ran(*outcome)
            else:
                job.failed(outcome)

    def _count(self, jobs: list[BaseCall], input_bytes: int, outcomes: Sequence[Outcome]) -> None:
        metrics = self._metrics
        metrics.runs.add(jobs, outcomes)
        for job, outcome in zip(jobs, outcomes, strict=True):
            if isinstance(outcome, tuple):
                metrics.queue_seconds.observe(outcome[0].began - job.queued)
        first = outcomes[0]
        if isinstance(first, tuple):
            seconds = first[0].infer_seconds
            rows = sum([job.rows for job in jobs])
            metrics.run_seconds.observe(seconds)
            metrics.batch_size.observe(rows)
            self._learn(input_bytes, seconds)
            self._load.learn(rows, seconds)

    def _learn(self, input_bytes: int, seconds: float) -> None:
        size = input_bytes.bit_length()
        mean = self._run_seconds.get(size, seconds)
        if seconds < _PREEMPTED_SECONDS:
            seconds = min(seconds, _PREEMPTED_FACTOR * mean)
        self._run_seconds[size] = mean + _NEWEST * (seconds - mean)
