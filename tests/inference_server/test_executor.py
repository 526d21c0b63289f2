"""Runs of microseconds stay on the event loop, others go to threads, as measured."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest

from inference_server.data_plane.batching import batch_key
from inference_server.data_plane.call_spans import CallSpans
from inference_server.data_plane.calls import PendingCall, RequestProfile
from inference_server.data_plane.executor import BatchExecutor
from inference_server.data_plane.responses import ResponseEncoder
from inference_server.data_plane.run_limit import RunLimit
from inference_server.data_plane.worker_threads import WorkerThreads
from inference_server.errors import InferenceError
from inference_server.metrics import ModelMetrics
from inference_server.runtime.session import ModelSession
from inference_server.runtime.warmup import WarmupResult, warm_up
from protos import open_inference_pb2 as pb
from protos.errors import ErrorCode
from protos.parameters import INFER_SECONDS, QUEUE_SECONDS
from telemetry.instruments import Registry
from telemetry.priority import NICENESS
from tests import onnx_models
from tests.inference_server.requests import arrays
from tests.timing import TIMEOUT_SECONDS


@dataclass(frozen=True)
class CallResult:
    """What one call was answered with."""

    arrays: list[np.ndarray]
    queue_seconds: float
    infer_seconds: float


Outcome = CallResult | InferenceError


class FutureResponder:
    """Sets what it is sent as the result of a future."""

    streamed = False

    def __init__(self) -> None:
        self.outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def send_response(self, _call: PendingCall, message: bytes) -> None:
        """Decode a response."""
        response = pb.ModelInferResponse.FromString(message)
        seconds = [response.parameters[key].double_param for key in (QUEUE_SECONDS, INFER_SECONDS)]
        self.outcome.set_result(CallResult(list(arrays(response).values()), *seconds))

    def send_error(self, _call: PendingCall | None, _id: str, error: InferenceError) -> None:
        """Keep an error."""
        self.outcome.set_result(error)

    def cancel_by_id(self, _call_id: str) -> None:
        """No test sends this."""
        raise AssertionError("nothing cancels")


class ExecutorSetup:
    """An executor of one model, and its metrics."""

    timeout: float | None = None

    def __init__(
        self,
        session: ModelSession,
        warmup: WarmupResult | None = None,
        *,
        calls: int = 64,
        bounded_by_shapes: bool = True,
        spans: CallSpans | None = None,
    ) -> None:
        self.calls: list[PendingCall] = []
        self.warmup = warm_up(session) if warmup is None else warmup
        self.metrics = ModelMetrics(Registry(), "model", 1)
        encoder = ResponseEncoder("model", "1", session.signature, max_bytes=1 << 28)
        self.stuck: list[float] = []
        self.executor = BatchExecutor(
            session,
            self.warmup,
            encoder,
            self.metrics,
            threads=1,
            queue_calls=calls,
            queue_bytes=1 << 20,
            bounded_by_shapes=bounded_by_shapes,
            run_limit=RunLimit(None, self.warmup),
            run_grace_seconds=0.2,
            on_stuck=self.stuck.append,
            spans=spans,
        )

    @property
    def batches(self) -> dict[float, int]:
        """Upper bound of the rows → how many runs had so many."""
        sizes = self.metrics.batch_size
        return {
            bound: count for bound, count in zip(sizes.bounds, sizes.counts, strict=False) if count
        }

    def is_quick(self, **feeds: np.ndarray) -> bool:
        """Return whether a call with these inputs would run on the event loop."""
        batched = self.executor.can_batch
        rows = len(next(iter(feeds.values()))) if batched else 1
        return self.executor.is_quick(self.executor.run_times(feeds, by_rows=batched), rows)

    def submit(self, output: str, **feeds: np.ndarray) -> asyncio.Future[Outcome]:
        """Submit a call; return what will hold its outcome."""
        responder = FutureResponder()
        key = batch_key(feeds, [output], frozenset(feeds), ()) if self.executor.can_batch else None
        profile = RequestProfile(
            outputs=(output,),
            input_bytes=sum(array.nbytes for array in feeds.values()),
            batch_key=key[0] if key else None,
            rows=key[1] if key else 1,
            run_times=self.executor.run_times(feeds, by_rows=key is not None),
            fixed_size_outputs=True,
        )
        call = PendingCall(
            responder,
            profile,
            b"id",
            arrived_at=perf_counter(),
            timeout=self.timeout,
            feeds=feeds,
        )
        self.calls.append(call)
        self.executor.submit(call)
        self.executor.flush_soon()
        return responder.outcome


def loaded(build: Callable[[Path], Path], folder: Path) -> ModelSession:
    """Return the model that `build` writes, loaded."""
    return ModelSession(build(folder / "model.onnx"), threads=1)


async def test_a_shape_that_ran_in_microseconds_is_quick(tmp_path: Path) -> None:
    setup = ExecutorSetup(loaded(onnx_models.mlp, tmp_path))
    assert setup.is_quick(x=np.ones((1, 4), "f4"))
    rows = np.ones((1000, 4), "f4")
    assert not setup.is_quick(x=rows)
    for _ in range(50):  # on a busy machine the first runs may take longer
        threaded = await setup.submit("y", x=rows)
        if setup.is_quick(x=rows):
            break
    assert setup.is_quick(x=rows)
    assert setup.is_quick(x=np.ones((513, 4), "f4"))
    assert not setup.is_quick(x=np.ones((4000, 4), "f4"))
    at_once = await setup.submit("y", x=rows)
    assert isinstance(threaded, CallResult)
    assert isinstance(at_once, CallResult)
    np.testing.assert_array_equal(threaded.arrays, at_once.arrays)
    assert at_once.infer_seconds > 0


@pytest.mark.long
async def test_a_slow_model_is_never_quick(tmp_path: Path) -> None:
    setup = ExecutorSetup(loaded(lambda path: onnx_models.slow_to_run(path, 0.01), tmp_path))
    assert not setup.is_quick(x=np.zeros(1, "f4"))


async def test_inputs_of_one_size_and_different_shapes_are_measured_separately(
    tmp_path: Path,
) -> None:
    build = partial(onnx_models.identity, shape=None)
    setup = ExecutorSetup(loaded(build, tmp_path), WarmupResult(samples=()))
    flat, square = np.zeros(64, "f4"), np.zeros((8, 8), "f4")
    for _ in range(40):
        await setup.submit("y", x=flat)
    await asyncio.sleep(0)
    assert setup.is_quick(x=flat)
    assert not setup.is_quick(x=square)


async def test_a_long_text_is_not_quick_because_a_short_one_was(tmp_path: Path) -> None:
    setup = ExecutorSetup(loaded(partial(onnx_models.identity, datatype="BYTES"), tmp_path))
    short = np.array([["a", "b", "c"]], object)
    assert setup.is_quick(x=short)
    assert not setup.is_quick(x=np.array([["a" * 100_000, "b", "c"]], object))


async def test_nothing_is_quick_where_values_decide_how_long_a_run_takes(tmp_path: Path) -> None:
    setup = ExecutorSetup(loaded(onnx_models.loop, tmp_path), bounded_by_shapes=False)
    feeds = {"x": np.zeros(1, "f4"), "trips": np.array(1)}
    for _ in range(5):
        await setup.submit("y", **feeds)
    assert not setup.is_quick(**feeds)


async def test_a_run_goes_on_while_one_of_its_calls_waits(tmp_path: Path) -> None:
    session = loaded(lambda path: onnx_models.slow_to_run(path, 0.3), tmp_path)
    setup = ExecutorSetup(session, WarmupResult(samples=(), max_batch_size=8))
    setup.timeout = 0.05
    impatient = setup.submit("y", x=np.zeros(1, "f4"))
    setup.timeout = None
    patient = setup.submit("y", x=np.zeros(1, "f4"))
    cancelled = setup.submit("y", x=np.zeros(1, "f4"))
    await asyncio.sleep(0)
    setup.executor.cancel(setup.calls[-1])
    outcome = await impatient
    assert isinstance(outcome, InferenceError)
    assert outcome.code is ErrorCode.DEADLINE_EXCEEDED
    assert "during the run" in outcome.message
    assert not patient.done()
    assert isinstance(await patient, CallResult)
    assert not cancelled.done()
    assert not setup.stuck


async def test_a_run_ends_with_its_last_call(tmp_path: Path) -> None:
    session = loaded(partial(onnx_models.loop, trips=10**15), tmp_path)
    setup = ExecutorSetup(session, WarmupResult(samples=(), max_batch_size=8))
    setup.submit("y", x=np.zeros(1, "f4"))
    setup.submit("y", x=np.zeros(1, "f4"))
    await asyncio.sleep(0)
    assert setup.executor.outstanding
    for call in setup.calls:
        setup.executor.cancel(call)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while setup.executor.outstanding:  # noqa: ASYNC110 - nothing tells of the end of such a run
            await asyncio.sleep(0.01)
    assert setup.metrics.failed == 0


async def test_a_shape_that_turns_slow_leaves_the_loop_and_may_return(tmp_path: Path) -> None:
    setup = ExecutorSetup(loaded(onnx_models.fill, tmp_path))
    small, large = np.array([1, 1]), np.array([1 << 22, 1])

    async def many_small() -> None:
        for _ in range(40):  # a busy machine makes some of them slow
            await setup.submit("y", shape=small)

    await many_small()
    assert setup.is_quick(shape=small)
    for _ in range(20):  # in memory that was used before, one takes 1 ms: it may be an outlier
        await setup.submit("y", shape=large)
    assert not setup.is_quick(shape=small)
    await many_small()
    assert setup.is_quick(shape=small)


def test_a_model_that_rejects_synthetic_inputs_is_still_served(tmp_path: Path) -> None:
    warmup = warm_up(loaded(onnx_models.picky, tmp_path))
    assert not warmup.samples
    assert warmup.refusal
    assert warmup.max_batch_size == 1


async def test_calls_that_arrive_together_run_together_and_are_split_exactly(
    tmp_path: Path,
) -> None:
    setup = ExecutorSetup(loaded(onnx_models.mlp, tmp_path))
    assert setup.warmup.max_batch_size >= 32
    source = np.random.default_rng(1)
    inputs = [source.random((rows, 4), np.float32) for rows in (1, 3, 2, 1, 5)]
    outcomes = await asyncio.gather(*[setup.submit("y", x=rows) for rows in inputs])
    assert setup.batches == {16: 1}  # 12 rows
    for rows, outcome in zip(inputs, outcomes, strict=True):
        alone = await setup.submit("y", x=rows)
        assert isinstance(outcome, CallResult)
        assert isinstance(alone, CallResult)
        assert outcome.arrays[0].shape == (len(rows), 3)
        np.testing.assert_allclose(outcome.arrays[0], alone.arrays[0], rtol=1e-5)


async def test_a_single_call_does_not_wait_for_a_batch(tmp_path: Path) -> None:
    setup = ExecutorSetup(loaded(onnx_models.mlp, tmp_path))
    for _ in range(5):
        outcome = await setup.submit("y", x=np.ones((1, 4), "f4"))
        assert isinstance(outcome, CallResult)
    assert setup.batches == {1: 5}


async def test_only_the_faulty_call_of_a_batch_fails(tmp_path: Path) -> None:
    session = loaded(onnx_models.fails_at_run, tmp_path)
    setup = ExecutorSetup(session)
    places = [[0, 1], [7], [2], [-3, 0, 1]]
    outcomes = await asyncio.gather(*[setup.submit("y", index=np.array(place)) for place in places])
    assert [isinstance(outcome, CallResult) for outcome in outcomes] == [True, False, True, True]
    assert isinstance(outcomes[1], InferenceError)
    assert outcomes[1].code is ErrorCode.INPUT_REJECTED
    assert isinstance(outcomes[3], CallResult)
    np.testing.assert_array_equal(outcomes[3].arrays[0], [10, 10, 20])


async def test_outputs_without_a_row_for_each_of_the_inputs_are_not_divided(tmp_path: Path) -> None:
    warmup = WarmupResult(samples=(), max_batch_size=8)
    setup = ExecutorSetup(loaded(onnx_models.positive_rows, tmp_path), warmup)
    sent = [[1.0, 2.0], [-1.0, 3.0], [-2.0], [4.0]]
    outcomes = await asyncio.gather(*[setup.submit("y", x=np.array(each, "f4")) for each in sent])
    found = [each.arrays[0].tolist() for each in outcomes if isinstance(each, CallResult)]
    assert found == [[1, 2], [3], [], [4]]


async def test_calls_that_ran_again_alone_count_each_for_itself(tmp_path: Path) -> None:
    warmup = WarmupResult(samples=(), max_batch_size=8)  # whatever this machine measures
    setup = ExecutorSetup(loaded(onnx_models.fails_at_run, tmp_path), warmup)
    places = [[0, 1], [7], [2]]
    await asyncio.gather(*[setup.submit("y", index=np.array(place)) for place in places])
    await asyncio.sleep(0)  # runs are counted after their responses
    runs = {
        rows: (totals.runs, totals.calls, totals.rows)
        for rows, totals in setup.metrics.runs.by_rows.items()
    }
    assert runs == {2: (1, 1, 2), 1: (1, 1, 1)}
    assert sum(setup.metrics.run_seconds.counts) == 2
    assert sum(setup.metrics.queue_seconds.counts) == 2
    assert (setup.metrics.succeeded, setup.metrics.failed) == (2, 1)


async def test_a_run_that_failed_is_not_counted(tmp_path: Path) -> None:
    setup = ExecutorSetup(loaded(onnx_models.fails_at_run, tmp_path))
    assert isinstance(await setup.submit("y", index=np.array([7])), InferenceError)
    await asyncio.sleep(0)
    assert not setup.metrics.runs.by_rows
    assert setup.metrics.runs.last_milliseconds() == 0


async def test_calls_that_arrive_during_a_run_form_the_next_batch(tmp_path: Path) -> None:
    session = loaded(onnx_models.mlp, tmp_path)
    # Nothing was measured: the first run goes to the thread.
    setup = ExecutorSetup(session, WarmupResult(samples=(), max_batch_size=8))
    first = setup.submit("y", x=np.ones((1, 4), "f4"))
    await asyncio.sleep(0)
    later = [setup.submit("y", x=np.ones((1, 4), "f4")) for _ in range(6)]
    await asyncio.gather(first, *later)
    assert setup.batches == {1: 1, 8: 1}


async def test_calls_are_refused_at_once_when_the_queue_is_full(tmp_path: Path) -> None:
    session = loaded(lambda path: onnx_models.slow_to_run(path, 0.05), tmp_path)
    setup = ExecutorSetup(session, WarmupResult(samples=()), calls=2)
    kept = [setup.submit("y", x=np.zeros(1, "f4")) for _ in range(3)]  # one of them runs
    with pytest.raises(InferenceError) as refused:
        setup.submit("y", x=np.zeros(1, "f4"))
    assert refused.value.code is ErrorCode.OVERLOADED
    await asyncio.gather(*kept)
    await setup.submit("y", x=np.zeros(1, "f4"))


async def test_calls_that_would_miss_their_deadline_are_refused_and_late_ones_do_not_run(
    tmp_path: Path,
) -> None:
    session = loaded(lambda path: onnx_models.slow_to_run(path, 0.05), tmp_path)
    setup = ExecutorSetup(session)
    patient = [setup.submit("y", x=np.zeros(1, "f4")) for _ in range(4)]  # about 0.2 s
    await asyncio.sleep(0)
    setup.timeout = 0.05
    with pytest.raises(InferenceError) as refused:
        setup.submit("y", x=np.zeros(1, "f4"))
    assert refused.value.code is ErrorCode.OVERLOADED
    assert refused.value.retry_after is not None
    assert 0.05 < refused.value.retry_after < 1
    await asyncio.gather(*patient)

    unmeasured = ExecutorSetup(session, WarmupResult(samples=()))
    running = unmeasured.submit("y", x=np.zeros(1, "f4"))
    await asyncio.sleep(0)
    unmeasured.timeout = 0.01
    late = unmeasured.submit("y", x=np.zeros(1, "f4"))  # its wait cannot be estimated yet
    await running
    outcome = await late
    assert isinstance(outcome, InferenceError)
    assert outcome.code is ErrorCode.DEADLINE_EXCEEDED
    assert unmeasured.metrics.run_seconds.counts.count(1) == 1


async def test_a_cancelled_call_leaves_its_place_in_the_queue(tmp_path: Path) -> None:
    session = loaded(lambda path: onnx_models.slow_to_run(path, 0.05), tmp_path)
    setup = ExecutorSetup(session, calls=1)
    running = setup.submit("y", x=np.zeros(1, "f4"))
    await asyncio.sleep(0)
    given_up = setup.submit("y", x=np.zeros(1, "f4"))
    setup.executor.cancel(setup.calls[-1])
    follower = setup.submit("y", x=np.zeros(1, "f4"))
    await asyncio.gather(running, follower)
    assert not given_up.done()
    assert sum(setup.metrics.run_seconds.counts) == 2


@pytest.mark.parametrize(
    ("build", "keeps_rows"),
    [
        (onnx_models.mlp, True),
        (onnx_models.mixed, True),
        (onnx_models.scalar, False),
        (onnx_models.fill, False),
    ],
)
def test_outputs_with_as_many_rows_as_the_inputs_are_found_by_trying(
    tmp_path: Path, build: Callable[[Path], Path], keeps_rows: bool
) -> None:
    found = warm_up(loaded(build, tmp_path))
    assert found.batch_axis is keeps_rows
    assert (found.max_batch_size > 1) is keeps_rows


def test_no_run_is_shared_where_rows_may_meet(tmp_path: Path) -> None:
    found = warm_up(loaded(onnx_models.over_rows, tmp_path), max_rows=1)
    assert found.batch_axis
    assert found.max_batch_size == 1
    assert [rows for rows, _ in found.samples] == [1]


@pytest.mark.parametrize(
    "feeds",
    [
        {"x": np.zeros((2, 3), "f4"), "scale": np.zeros(2, "f4")},
        {"x": np.zeros((0, 3), "f4")},
        {"x": np.zeros((2, 0), "f4")},
        {"x": np.zeros((1, 1 << 20), "f4")},
        {"x": np.float32(0)},
        {},
    ],
    ids=["optional input", "no rows", "no columns", "too large", "scalar", "missing"],
)
def test_calls_that_no_proof_covers_run_alone(feeds: dict[str, np.ndarray]) -> None:
    assert batch_key(feeds, ["y"], frozenset({"x"}), ()) is None


def test_calls_with_the_same_inputs_share_a_key() -> None:
    def key(rows: int, columns: int) -> tuple[Hashable, int]:
        found = batch_key({"x": np.zeros((rows, columns), "f4")}, ["y"], frozenset({"x"}), ())
        assert found is not None
        return found

    assert key(1, 3)[0] == key(2, 3)[0] != key(1, 4)[0]
    assert [key(rows, 3)[1] for rows in (1, 2)] == [1, 2]


def test_calls_whose_sizes_of_one_name_differ_run_alone(tmp_path: Path) -> None:
    equal_sizes = loaded(onnx_models.masked, tmp_path).signature.equal_sizes

    def key(other: int) -> tuple[Hashable, int] | None:
        feeds = {"x": np.zeros((2, 3), "f4"), "mask": np.zeros((2, other), "f4")}
        return batch_key(feeds, ["y"], frozenset(feeds), equal_sizes)

    assert key(3) is not None
    assert key(4) is None


async def test_event_loops_go_before_runs_on_threads() -> None:
    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    threads: WorkerThreads[int] = WorkerThreads(1)
    found: asyncio.Future[int | Exception] = asyncio.get_running_loop().create_future()
    threads.run(niceness, found.set_result)
    assert await found == max(NICENESS, niceness())
    threads.close()
