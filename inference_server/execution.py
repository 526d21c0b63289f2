"""When and where a run happens: at once on the event loop if it is quick, else on a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from inference_server.errors import InferenceError
from inference_server.metrics import ModelMetrics
from inference_server.runtime.session import Session
from inference_server.runtime.warmup import Warmth
from protos.errors import ErrorCode

_QUICK_SECONDS = 300e-6
"""A thread costs about 100 µs of hand-over; a run up to three times that may hold up the loop."""
_NEWEST = 0.2
"""Weight of the newest run in the mean: one that was merely preempted is soon forgotten."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a run gave, and what it took."""

    arrays: list[np.ndarray]
    queue_seconds: float
    """Until it began."""
    infer_seconds: float
    """In ONNX Runtime."""


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
        """Run up to `threads` calls at once; let `queue_calls` or `queue_bytes` of input wait."""
        self._session = session
        self._metrics = metrics
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="run")
        self._threads = threads
        self._most_calls = threads + queue_calls
        self._most_bytes = queue_bytes
        self._calls = 0
        self._bytes = 0
        self._run_seconds: dict[int, float] = {}
        if warmth.run_seconds is not None:
            self._learn(warmth.input_bytes, warmth.run_seconds)

    def is_quick(self, input_bytes: int) -> bool:
        """Whether runs on inputs of about this size (within a factor of 2) take microseconds.

        Sizes that were never run are not: they are measured on a thread first.
        """
        seconds = self._run_seconds.get(input_bytes.bit_length(), _QUICK_SECONDS)
        return seconds < _QUICK_SECONDS

    def run_at_once(
        self, feeds: Mapping[str, np.ndarray], outputs: Sequence[str], input_bytes: int
    ) -> Run:
        """Run on the calling thread; see `Session.run`."""
        began = perf_counter()
        arrays = self._session.run(feeds, outputs)
        return self._ran(input_bytes, Run(arrays, 0.0, perf_counter() - began))

    async def run_on_thread(
        self, feeds: Mapping[str, np.ndarray], outputs: Sequence[str], input_bytes: int
    ) -> Run:
        """Run on a thread of the pool; cancellation takes a run that has not begun off the queue.

        Raises:
            InferenceError: OVERLOADED where too much is waiting already; and as `Session.run`.
        """
        too_large = self._calls > 0 and self._bytes + input_bytes > self._most_bytes
        if too_large or self._calls >= self._most_calls:
            message = f"{self._calls} calls with {self._bytes} bytes of input run or wait already"
            raise InferenceError(ErrorCode.OVERLOADED, message)
        self._count(1, input_bytes)
        queued = perf_counter()

        def run() -> Run:
            began = perf_counter()
            arrays = self._session.run(feeds, outputs)
            return Run(arrays, began - queued, perf_counter() - began)

        try:
            done = await asyncio.get_running_loop().run_in_executor(self._pool, run)
        finally:
            self._count(-1, -input_bytes)
        return self._ran(input_bytes, done)

    def _ran(self, input_bytes: int, run: Run) -> Run:
        self._metrics.queue_seconds.observe(run.queue_seconds)
        self._metrics.run_seconds.observe(run.infer_seconds)
        self._metrics.batch_size.observe(1)
        self._learn(input_bytes, run.infer_seconds)
        return run

    def _learn(self, input_bytes: int, seconds: float) -> None:
        size = input_bytes.bit_length()
        mean = self._run_seconds.get(size, seconds)
        self._run_seconds[size] = mean + _NEWEST * (seconds - mean)

    def _count(self, calls: int, input_bytes: int) -> None:
        self._calls += calls
        self._bytes += input_bytes
        self._metrics.queue_depth.set(self._waiting())

    def _waiting(self) -> int:
        return max(0, self._calls - self._threads)
