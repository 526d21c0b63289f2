"""Several calls as one run: which go together, and what belongs to whom afterwards. Pure.

Nobody waits for a batch to fill. What has arrived while the loop, or a run, was busy is the next
batch; a call that is alone runs alone.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

import numpy as np

from inference_server.errors import InferenceError

Feeds = Mapping[str, np.ndarray]


class Runner(Protocol):
    """What runs a model; see `runtime.session.Session.run`."""

    def run(self, feeds: Feeds, outputs: Sequence[str]) -> list[np.ndarray]:
        """Return the outputs, in order; raise InferenceError."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a run gave one call, and what it took."""

    arrays: list[np.ndarray]
    queue_seconds: float
    """Until it began."""
    infer_seconds: float
    """In ONNX Runtime, for all the calls of the run."""


Outcome = Run | InferenceError


@dataclass(slots=True, eq=False)
class Job:
    """A call that waits for its run."""

    feeds: Feeds
    outputs: Sequence[str]
    input_bytes: int
    key: Hashable
    """Jobs of one key can share a run."""
    rows: int
    """How many of the batch axis it has; 1 where there is none."""
    queued: float
    """`perf_counter()` at its arrival."""
    done: Callable[[Outcome], None]
    """Called once, on the event loop, unless the job was abandoned."""
    abandoned: bool = False
    """Nobody waits for it any more: it need not run."""


class Waiting:
    """Jobs in order of arrival, and their neighbours of the same key."""

    def __init__(self) -> None:
        self._queues: OrderedDict[Hashable, deque[Job]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._queues)

    def add(self, job: Job) -> None:
        """Let `job` wait behind those of its key."""
        queue = self._queues.get(job.key)
        if queue is None:
            queue = self._queues[job.key] = deque()
        queue.append(job)

    def take(self, most_rows: int) -> list[Job]:
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
        return batch


def key_of(feeds: Feeds, outputs: Sequence[str]) -> tuple[Hashable, int] | None:
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


def run_together(runner: Runner, jobs: Sequence[Job]) -> list[Outcome]:
    """Return each job's outcome, from one run if that goes well.

    If it fails, each job is run by itself, once, so that only the one at fault fails.
    """
    if len(jobs) == 1:
        return [_run_alone(runner, jobs[0])]
    began = perf_counter()
    feeds = {name: np.concatenate([job.feeds[name] for job in jobs]) for name in jobs[0].feeds}
    try:
        arrays = runner.run(feeds, jobs[0].outputs)
    except InferenceError:
        return [_run_alone(runner, job) for job in jobs]
    took = perf_counter() - began
    rows = sum([job.rows for job in jobs])
    if any(array is None or not array.ndim or array.shape[0] != rows for array in arrays):
        return [_run_alone(runner, job) for job in jobs]
    outcomes: list[Outcome] = []
    start = 0
    for job in jobs:
        end = start + job.rows
        part = [array[start:end] for array in arrays]
        outcomes.append(Run(part, began - job.queued, took))
        start = end
    return outcomes


def _run_alone(runner: Runner, job: Job) -> Outcome:
    began = perf_counter()
    try:
        arrays = runner.run(job.feeds, job.outputs)
    except InferenceError as error:
        return error
    return Run(arrays, began - job.queued, perf_counter() - began)
