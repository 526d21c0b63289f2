"""Several calls as one run: which go together, and what belongs to whom afterwards. Pure.

Nobody waits for a batch to fill. What has arrived while the loop, or a run, was busy is the next
batch; a call that is alone runs alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict, deque
from collections.abc import Hashable, Mapping, Sequence
from time import perf_counter
from typing import Protocol

import numpy as np

from inference_server.errors import InferenceError
from protos.message_templates import InferResponseTemplate

Feeds = Mapping[str, np.ndarray]
Key = Hashable


class Runner(Protocol):
    """What runs a model; see `runtime.session.Session.run`."""

    def run(self, feeds: Feeds, outputs: Sequence[str]) -> list[np.ndarray]:
        """Return the outputs, in order; raise InferenceError."""


class BatchResult:
    """What a run gave, and what it took."""

    __slots__ = ("arrays", "began", "forms", "infer_seconds", "raws", "row_sizes", "shared")

    def __init__(
        self, arrays: list[np.ndarray], began: float, infer_seconds: float, *, shared: bool
    ) -> None:
        self.arrays = arrays
        self.began = began
        """`perf_counter()` at its beginning."""
        self.infer_seconds = infer_seconds
        """In ONNX Runtime, for all the calls of the run."""
        self.shared = shared
        """Whether each call has only some rows of the arrays."""
        self.raws: list[bytes] | None = None
        """Room for the arrays' bytes, which the calls' answers are cut from."""
        self.row_sizes: list[int] = []
        """Room for how many of them make a row."""
        self.forms: dict[tuple[int, int, bool], InferResponseTemplate | None] = {}
        """Room for the forms of the calls' answers."""


class BaseCall(ABC):
    """A call that waits for its run."""

    __slots__ = (
        "abandoned",
        "deadline",
        "input_bytes",
        "key",
        "outputs",
        "queued",
        "rows",
        "waiting",
    )

    def __init__(
        self,
        *,
        outputs: Sequence[str],
        input_bytes: int,
        key: Key | None,
        rows: int,
        timeout: float | None,
    ) -> None:
        """Queue a call now.

        Args:
            outputs: the names of what it wants.
            input_bytes: of its arrays.
            key: jobs of one key can share a run; None for one that runs alone.
            rows: how many of the batch axis it has; 1 where there is none.
            timeout: seconds that its answer may take.
        """
        self.outputs = outputs
        self.input_bytes = input_bytes
        self.key = key
        self.rows = rows
        self.queued = perf_counter()
        self.deadline = None if timeout is None else self.queued + timeout
        """`perf_counter()` after which its answer is of no use."""
        self.waiting = False
        """It is in a queue."""
        self.abandoned = False
        """Nobody waits for it any more: it need not run, and is not told."""

    @abstractmethod
    def feeds(self) -> Feeds:
        """Return its inputs."""

    def feeds_with(self, jobs: Sequence[BaseCall]) -> Feeds:
        """Return the inputs of `jobs`, this one first, row behind row."""
        parts = [job.feeds() for job in jobs]
        return {name: np.concatenate([feeds[name] for feeds in parts]) for name in parts[0]}

    @abstractmethod
    def ran(self, run: BatchResult, start: int) -> None:
        """Take the outcome: if the run is shared, the `rows` rows of its arrays from `start` on."""

    @abstractmethod
    def failed(self, error: InferenceError) -> None:
        """Take the outcome of a job that gave nothing."""


Outcome = tuple[BatchResult, int] | InferenceError
"""A run and the first of a job's rows in it, or why there is nothing."""


class BatchQueue:
    """Jobs in order of arrival, and their neighbours of the same key."""

    def __init__(self) -> None:
        self._queues: OrderedDict[Key, deque[BaseCall]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._queues)

    def add(self, job: BaseCall) -> None:
        """Let `job` wait behind those of its key."""
        job.waiting = True
        key = job if job.key is None else job.key
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = deque()
        queue.append(job)

    def take(self, most_rows: int) -> list[BaseCall]:
        """Remove and return the jobs of the next run: at least one, up to `most_rows` rows.

        What is left of its key waits behind the other keys.
        """
        key, queue = self._queues.popitem(last=False)
        batch = [queue.popleft()]
        rows = batch[0].rows
        while queue and rows + queue[0].rows <= most_rows:
            rows += queue[0].rows
            batch.append(queue.popleft())
        if queue:
            self._queues[key] = queue
        for job in batch:
            job.waiting = False
        return batch


def batch_key(feeds: Feeds, outputs: Sequence[str]) -> tuple[Key, int] | None:
    """Return what a call must have in common with its batch, and its rows.

    None where its inputs do not have the same number of rows, so that it cannot share a run.
    """
    rows = -1
    parts: list[Hashable] = [tuple(outputs)]
    for name, array in feeds.items():
        if not array.ndim or rows not in (-1, array.shape[0]):
            return None
        rows = array.shape[0]
        parts.append((name, array.shape[1:]))
    return (tuple(parts), rows) if rows > 0 else None


def run_batch(runner: Runner, jobs: Sequence[BaseCall]) -> list[Outcome]:
    """Return each job's outcome, from one run if that goes well.

    If it fails, each job is run by itself, once, so that only the one at fault fails.
    """
    first = jobs[0]
    if len(jobs) == 1:
        return [_run_alone(runner, first)]
    began = perf_counter()
    feeds = first.feeds_with(jobs)
    try:
        arrays = runner.run(feeds, first.outputs)
    except InferenceError:
        return [_run_alone(runner, job) for job in jobs]
    run = BatchResult(arrays, began, perf_counter() - began, shared=True)
    starts = [0]
    for job in jobs:
        starts.append(starts[-1] + job.rows)
    rows = starts.pop()
    if any(array is None or not array.ndim or array.shape[0] != rows for array in arrays):
        return [_run_alone(runner, job) for job in jobs]
    return [(run, start) for start in starts]


def _run_alone(runner: Runner, job: BaseCall) -> Outcome:
    began = perf_counter()
    try:
        arrays = runner.run(job.feeds(), job.outputs)
    except InferenceError as error:
        return error
    return BatchResult(arrays, began, perf_counter() - began, shared=False), 0
