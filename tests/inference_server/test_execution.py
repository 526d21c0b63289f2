"""Runs of microseconds stay on the event loop, others go to threads: by what was measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from inference_server.execution import Executor
from inference_server.metrics import ModelMetrics
from inference_server.runtime.session import Session
from inference_server.runtime.warmup import Warmth, warm_up
from telemetry.instruments import Registry
from tests import onnx_models


def executor(session: Session, warmth: Warmth) -> Executor:
    """Return an executor with one thread."""
    metrics = ModelMetrics(Registry(), "model", 1)
    limits = {"threads": 1, "queue_calls": 8, "queue_bytes": 1 << 20}
    return Executor(session, warmth, metrics, **limits)


def loaded(build: Callable[[Path], Path], folder: Path) -> Session:
    """Return the model that `build` writes, loaded."""
    return Session(build(folder / "model.onnx"), threads=1)


async def test_a_size_that_was_run_in_microseconds_is_quick(tmp_path: Path) -> None:
    session = loaded(onnx_models.mlp, tmp_path)
    warmth = warm_up(session)
    assert warmth.input_bytes == 16
    runs = executor(session, warmth)
    assert runs.is_quick(16)
    assert runs.is_quick(31)
    rows = np.ones((8, 4), "f4")
    assert not runs.is_quick(rows.nbytes)
    threaded = await runs.run_on_thread({"x": rows}, ["y"], rows.nbytes)
    assert runs.is_quick(rows.nbytes)
    at_once = runs.run_at_once({"x": rows}, ["y"], rows.nbytes)
    np.testing.assert_array_equal(threaded.arrays, at_once.arrays)
    assert at_once.queue_seconds == 0
    assert at_once.infer_seconds > 0


async def test_a_slow_model_is_never_quick(tmp_path: Path) -> None:
    session = loaded(lambda path: onnx_models.slow_to_run(path, 0.01), tmp_path)
    warmth = warm_up(session)
    assert warmth.run_seconds is not None
    assert not executor(session, warmth).is_quick(warmth.input_bytes)


async def test_a_size_that_turns_slow_leaves_the_loop_and_may_come_back(tmp_path: Path) -> None:
    session = loaded(onnx_models.fill, tmp_path)
    runs = executor(session, warm_up(session))
    small, large = np.array([1, 1]), np.array([1 << 24, 1])
    await runs.run_on_thread({"shape": small}, ["y"], small.nbytes)
    assert runs.is_quick(small.nbytes)
    runs.run_at_once({"shape": large}, ["y"], large.nbytes)
    assert not runs.is_quick(small.nbytes)
    for _ in range(40):
        await runs.run_on_thread({"shape": small}, ["y"], small.nbytes)
    assert runs.is_quick(small.nbytes)


def test_a_model_that_refuses_made_up_inputs_is_served_all_the_same(tmp_path: Path) -> None:
    session = loaded(onnx_models.picky, tmp_path)
    warmth = warm_up(session)
    assert warmth.run_seconds is None
    assert warmth.refusal
    assert not executor(session, warmth).is_quick(warmth.input_bytes)
