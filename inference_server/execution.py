"""When and where runs happen: at once on the event loop if they are quick, else on threads."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from inference_server.batching import Job, Outcome, Run, Waiting, run_together
from inference_server.errors import InferenceError
from inference_server.metrics import ModelMetrics
from inference_server.runtime.session import Session
from inference_server.runtime.warmup import Warmth
from protos.errors import ErrorCode

_QUICK_SECONDS = 300e-6
"""A thread costs about 100 µs of hand-over; a run up to three times that may hold up the loop."""
_NEWEST = 0.2
"""Weight of the newest run in the mean: one that was merely preempted is soon forgotten."""


class Executor:
    """Runs one session. All methods belong to the event loop."""

    def __init__(
        self,
        session: Session,
        warmth: Warmth,
        metrics: ModelMetrics,
        *,
        threads: int,
        queue_calls: int,
        queue_bytes: int,
    ) -> None:
        """Run up to `threads` batches at once; let `queue_calls` or `queue_bytes` of input wait."""
        self._session = session
        self._metrics = metrics
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="run")
        self._threads = threads
        self._running = 0
        self._waiting = Waiting()
        self._flushing = False
        self._most_rows = warmth.max_batch_size
        self._most_calls = queue_calls
        self._most_bytes = queue_bytes
        self._calls = 0
        self._bytes = 0
        self._run_seconds: dict[int, float] = {}
        for input_bytes, seconds in warmth.samples:
            self._learn(input_bytes, seconds)

    @property
    def batches(self) -> bool:
        """Whether calls can share runs."""
        return self._most_rows > 1

    def submit(self, job: Job) -> None:
        """Have `job` run as soon as there is room, with those that have arrived meanwhile.

        Raises:
            InferenceError: OVERLOADED where too much is waiting already.
        """
        if self._is_full(job):
            self._flush()  # what came in the same read may not have begun yet, though there is room
        if self._is_full(job):
            message = f"{self._calls} calls with {self._bytes} bytes of input wait already"
            raise InferenceError(ErrorCode.OVERLOADED, message)
        self._calls += 1
        self._bytes += job.input_bytes
        self._waiting.add(job)
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def is_quick(self, input_bytes: int) -> bool:
        """Whether runs on inputs of about this size (within a factor of 2) take microseconds.

        Sizes that were never run are not: they are measured on a thread first.
        """
        seconds = self._run_seconds.get(input_bytes.bit_length(), _QUICK_SECONDS)
        return seconds < _QUICK_SECONDS

    def _is_full(self, job: Job) -> bool:
        too_large = self._calls > 0 and self._bytes + job.input_bytes > self._most_bytes
        return too_large or self._calls >= self._most_calls

    def _flush(self) -> None:
        """Run what has arrived, as far as there is room."""
        self._flushing = False
        while self._waiting and self._running < self._threads:
            taken = self._waiting.take(self._most_rows)
            self._calls -= len(taken)
            self._bytes -= sum([job.input_bytes for job in taken])
            jobs = [job for job in taken if not job.abandoned]
            if not jobs:
                continue
            input_bytes = sum([job.input_bytes for job in jobs])
            if self.is_quick(input_bytes):
                self._ran(jobs, input_bytes, run_together(self._session, jobs))
            else:
                self._run_on_thread(jobs, input_bytes)
        self._metrics.queue_depth.set(self._calls)

    def _run_on_thread(self, jobs: list[Job], input_bytes: int) -> None:
        self._running += 1
        loop = asyncio.get_running_loop()

        def ended(running: Future[list[Outcome]]) -> None:
            loop.call_soon_threadsafe(finish, running)

        def finish(running: Future[list[Outcome]]) -> None:
            self._running -= 1
            self._ran(jobs, input_bytes, _outcomes(running, len(jobs)))
            self._flush()

        self._pool.submit(run_together, self._session, jobs).add_done_callback(ended)

    def _ran(self, jobs: list[Job], input_bytes: int, outcomes: Sequence[Outcome]) -> None:
        metrics = self._metrics
        first = outcomes[0]
        if isinstance(first, Run):
            metrics.run_seconds.observe(first.infer_seconds)
            metrics.batch_size.observe(sum([job.rows for job in jobs]))
            self._learn(input_bytes, first.infer_seconds)
        for job, outcome in zip(jobs, outcomes, strict=True):
            if isinstance(outcome, Run):
                metrics.queue_seconds.observe(outcome.queue_seconds)
            if not job.abandoned:
                job.done(outcome)

    def _learn(self, input_bytes: int, seconds: float) -> None:
        size = input_bytes.bit_length()
        mean = self._run_seconds.get(size, seconds)
        self._run_seconds[size] = mean + _NEWEST * (seconds - mean)


def _outcomes(running: Future[list[Outcome]], count: int) -> list[Outcome]:
    """Return what a thread gave; a fault of ours fails all its calls, but not the server."""
    try:
        return running.result()
    except Exception as error:  # noqa: BLE001 - `run_together` foresees what the model does
        return [InferenceError(ErrorCode.INTERNAL, f"the run broke: {error}")] * count
