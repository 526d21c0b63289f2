"""Runs of microseconds stay on the event loop, others go to threads: by what was measured."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from inference_server.data_plane.batching import BaseCall, BatchResult, Feeds, batch_key
from inference_server.data_plane.executor import BatchExecutor
from inference_server.errors import InferenceError
from inference_server.metrics import ModelMetrics
from inference_server.runtime.session import OnnxSession
from inference_server.runtime.warmup import WarmupResult, warm_up
from protos.errors import ErrorCode
from telemetry.instruments import Registry
from tests import onnx_models


@dataclass(frozen=True)
class Ran:
    """What a run gave one call."""

    arrays: list[np.ndarray]
    queue_seconds: float
    infer_seconds: float


Outcome = Ran | InferenceError


class Waiter(BaseCall):
    """A job whose outcome is a future's result."""

    def __init__(self, feeds: Feeds, output: str, *, batches: bool, timeout: float | None) -> None:
        shared = batch_key(feeds, [output]) if batches else None
        super().__init__(
            outputs=[output],
            input_bytes=sum(array.nbytes for array in feeds.values()),
            key=shared[0] if shared else None,
            rows=shared[1] if shared else 1,
            timeout=timeout,
        )
        self._feeds = feeds
        self.outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def feeds(self) -> Feeds:
        """Return its inputs."""
        return self._feeds

    def ran(self, run: BatchResult, start: int) -> None:
        """Keep what belongs to this job."""
        arrays = [array[start : start + self.rows] if run.shared else array for array in run.arrays]
        self.outcome.set_result(Ran(arrays, run.began - self.queued, run.infer_seconds))

    def failed(self, error: InferenceError) -> None:
        """Keep the reason."""
        self.outcome.set_result(error)


class Bench:
    """An executor of one model, and its metrics."""

    timeout: float | None = None

    def __init__(
        self, session: OnnxSession, warmth: WarmupResult | None = None, *, calls: int = 64
    ) -> None:
        self.jobs: list[BaseCall] = []
        self.warmth = warm_up(session) if warmth is None else warmth
        self.metrics = ModelMetrics(Registry(), "model", 1)
        limits = {"threads": 1, "queue_calls": calls, "queue_bytes": 1 << 20}
        self.runs = BatchExecutor(session, self.warmth, self.metrics, **limits)

    @property
    def batches(self) -> dict[float, int]:
        """How many runs had up to that many rows."""
        sizes = self.metrics.batch_size
        return {
            bound: count for bound, count in zip(sizes.bounds, sizes.counts, strict=False) if count
        }

    def submit(self, output: str, **feeds: np.ndarray) -> asyncio.Future[Outcome]:
        """Submit a call; return what will hold its outcome."""
        job = Waiter(feeds, output, batches=self.runs.batches, timeout=self.timeout)
        self.jobs.append(job)
        self.runs.submit(job)
        return job.outcome


def loaded(build: Callable[[Path], Path], folder: Path) -> OnnxSession:
    """Return the model that `build` writes, loaded."""
    return OnnxSession(build(folder / "model.onnx"), threads=1)


async def test_a_size_that_was_run_in_microseconds_is_quick(tmp_path: Path) -> None:
    bench = Bench(loaded(onnx_models.mlp, tmp_path))
    assert bench.runs.is_quick(16)
    assert bench.runs.is_quick(31)
    rows = np.ones((1000, 4), "f4")
    assert not bench.runs.is_quick(rows.nbytes)
    threaded = await bench.submit("y", x=rows)
    assert bench.runs.is_quick(rows.nbytes)
    at_once = await bench.submit("y", x=rows)
    assert isinstance(threaded, Ran)
    assert isinstance(at_once, Ran)
    np.testing.assert_array_equal(threaded.arrays, at_once.arrays)
    assert at_once.infer_seconds > 0


async def test_a_slow_model_is_never_quick(tmp_path: Path) -> None:
    bench = Bench(loaded(lambda path: onnx_models.slow_to_run(path, 0.01), tmp_path))
    assert not bench.runs.is_quick(bench.warmth.samples[0][0])


async def test_a_size_that_turns_slow_leaves_the_loop_and_may_come_back(tmp_path: Path) -> None:
    bench = Bench(loaded(onnx_models.fill, tmp_path))
    small, large = np.array([1, 1]), np.array([1 << 24, 1])
    await bench.submit("y", shape=small)
    assert bench.runs.is_quick(small.nbytes)
    await bench.submit("y", shape=large)
    assert not bench.runs.is_quick(small.nbytes)
    for _ in range(40):
        await bench.submit("y", shape=small)
    assert bench.runs.is_quick(small.nbytes)


def test_a_model_that_refuses_made_up_inputs_is_served_all_the_same(tmp_path: Path) -> None:
    warmth = warm_up(loaded(onnx_models.picky, tmp_path))
    assert not warmth.samples
    assert warmth.refusal
    assert warmth.max_batch_size == 1


async def test_what_has_arrived_together_runs_together_and_is_split_exactly(
    tmp_path: Path,
) -> None:
    bench = Bench(loaded(onnx_models.mlp, tmp_path))
    assert bench.warmth.max_batch_size >= 32
    source = np.random.default_rng(1)
    inputs = [source.random((rows, 4), np.float32) for rows in (1, 3, 2, 1, 5)]
    outcomes = await asyncio.gather(*[bench.submit("y", x=rows) for rows in inputs])
    assert bench.batches == {16: 1}  # 12 rows
    for rows, outcome in zip(inputs, outcomes, strict=True):
        alone = await bench.submit("y", x=rows)
        assert isinstance(outcome, Ran)
        assert isinstance(alone, Ran)
        assert outcome.arrays[0].shape == (len(rows), 3)
        np.testing.assert_allclose(outcome.arrays[0], alone.arrays[0], rtol=1e-5)


async def test_a_lone_call_waits_for_nobody(tmp_path: Path) -> None:
    bench = Bench(loaded(onnx_models.mlp, tmp_path))
    for _ in range(5):
        outcome = await bench.submit("y", x=np.ones((1, 4), "f4"))
        assert isinstance(outcome, Ran)
        assert outcome.queue_seconds < 0.05
    assert bench.batches == {1: 5}


async def test_only_the_member_at_fault_fails(tmp_path: Path) -> None:
    session = loaded(onnx_models.fails_at_run, tmp_path)
    bench = Bench(session)
    places = [[0, 1], [7], [2], [-3, 0, 1]]
    outcomes = await asyncio.gather(*[bench.submit("y", index=np.array(place)) for place in places])
    assert [isinstance(outcome, Ran) for outcome in outcomes] == [True, False, True, True]
    assert isinstance(outcomes[1], InferenceError)
    assert outcomes[1].code is ErrorCode.INFERENCE_FAILED
    assert isinstance(outcomes[3], Ran)
    np.testing.assert_array_equal(outcomes[3].arrays[0], [10, 10, 20])


async def test_what_arrives_while_a_run_is_busy_is_the_next_batch(tmp_path: Path) -> None:
    session = loaded(onnx_models.mlp, tmp_path)
    # Nothing was measured: the first run goes to the thread.
    bench = Bench(session, WarmupResult(samples=(), max_batch_size=8))
    first = bench.submit("y", x=np.ones((1, 4), "f4"))
    await asyncio.sleep(0)
    later = [bench.submit("y", x=np.ones((1, 4), "f4")) for _ in range(6)]
    await asyncio.gather(first, *later)
    assert bench.batches == {1: 1, 8: 1}


async def test_too_much_that_waits_is_refused_at_once(tmp_path: Path) -> None:
    session = loaded(lambda path: onnx_models.slow_to_run(path, 0.05), tmp_path)
    bench = Bench(session, WarmupResult(samples=()), calls=2)
    kept = [bench.submit("y", x=np.zeros(1, "f4")) for _ in range(3)]  # one of them runs
    with pytest.raises(InferenceError) as refused:
        bench.submit("y", x=np.zeros(1, "f4"))
    assert refused.value.code is ErrorCode.OVERLOADED
    await asyncio.gather(*kept)
    await bench.submit("y", x=np.zeros(1, "f4"))


async def test_what_would_be_late_is_refused_and_what_is_late_does_not_run(
    tmp_path: Path,
) -> None:
    session = loaded(lambda path: onnx_models.slow_to_run(path, 0.05), tmp_path)
    bench = Bench(session)
    patient = [bench.submit("y", x=np.zeros(1, "f4")) for _ in range(4)]  # about 0.2 s
    await asyncio.sleep(0)
    bench.timeout = 0.05
    with pytest.raises(InferenceError) as refused:
        bench.submit("y", x=np.zeros(1, "f4"))
    assert refused.value.code is ErrorCode.OVERLOADED
    assert refused.value.retry_after is not None
    assert 0.05 < refused.value.retry_after < 1
    await asyncio.gather(*patient)

    unmeasured = Bench(session, WarmupResult(samples=()))
    running = unmeasured.submit("y", x=np.zeros(1, "f4"))
    await asyncio.sleep(0)
    unmeasured.timeout = 0.01
    late = unmeasured.submit("y", x=np.zeros(1, "f4"))  # nobody knows yet how long it will wait
    await running
    outcome = await late
    assert isinstance(outcome, InferenceError)
    assert outcome.code is ErrorCode.DEADLINE_EXCEEDED
    assert unmeasured.metrics.run_seconds.counts.count(1) == 1


async def test_what_was_abandoned_leaves_its_place_to_others(tmp_path: Path) -> None:
    session = loaded(lambda path: onnx_models.slow_to_run(path, 0.05), tmp_path)
    bench = Bench(session, calls=1)
    running = bench.submit("y", x=np.zeros(1, "f4"))
    await asyncio.sleep(0)
    given_up = bench.submit("y", x=np.zeros(1, "f4"))
    bench.runs.abandon(bench.jobs[-1])
    follower = bench.submit("y", x=np.zeros(1, "f4"))
    await asyncio.gather(running, follower)
    assert not given_up.done()
    assert sum(bench.metrics.run_seconds.counts) == 2


@pytest.mark.parametrize(
    ("build", "batched"),
    [
        (onnx_models.mlp, True),
        (onnx_models.mixed, True),
        (onnx_models.scalar, False),
        (onnx_models.fill, False),
        (onnx_models.over_rows, False),
    ],
)
def test_whether_rows_can_share_a_run_is_found_by_trying(
    tmp_path: Path, build: Callable[[Path], Path], batched: bool
) -> None:
    assert (warm_up(loaded(build, tmp_path)).max_batch_size > 1) is batched
