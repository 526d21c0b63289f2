"""One process verifies several models, each in a child of its own."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from model_store.errors import StoreError
from model_store.folder_store import FolderStore
from model_store.verification import Verifier
from protos.errors import ErrorCode
from tests import onnx_models
from tests.child_processes import children
from tests.leftovers import leaves_nothing_behind  # noqa: F401 - a fixture
from tests.model_store.conftest import COMMAND, leftovers
from tests.timing import Timer

_VERIFY = "inference_server.runtime.verify"


def verifying() -> list[psutil.Process]:
    """Return the children of this process that verify models, the oldest first."""
    return children(_VERIFY, recursive=True)


def test_models_are_verified_by_one_process_that_none_of_them_harms(
    store: FolderStore, tmp_path: Path
) -> None:
    verifier = Verifier(COMMAND, timeout_seconds=5)
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(b"no model")
    good = onnx_models.mlp(tmp_path / "good.onnx")
    with verifier.one_process():
        assert store.publish(good, "one", verifier=verifier).version == 1
        (process,) = verifying()
        with pytest.raises(StoreError, match="not a valid ONNX model"):
            store.publish(damaged, "two", verifier=verifier)
        assert store.publish(good, "three", verifier=verifier).inputs[0].name == "x"
        assert verifying() == [process]
    assert verifying() == []
    alone = store.publish(good, "four", verifier=verifier)
    assert alone.inputs == store.manifest("three", 1).inputs


@pytest.mark.long
def test_a_slow_model_is_refused_in_time_and_the_next_is_verified(
    store: FolderStore, tmp_path: Path
) -> None:
    slow = onnx_models.slow_to_load(tmp_path / "slow.onnx", 30)
    verifier = Verifier(COMMAND, timeout_seconds=5)
    with verifier.one_process():
        timer = Timer()
        with pytest.raises(StoreError, match="longer than 5 s") as refusal:
            store.publish(slow, "slow", verifier=verifier)
        assert refusal.value.code is ErrorCode.INVALID_MODEL
        assert timer.seconds < 25
        assert verifying() == []
        store.publish(onnx_models.mlp(tmp_path / "m.onnx"), "quick", verifier=verifier)
    assert not any("slow" in left for left in leftovers(tmp_path))


def test_a_model_that_needs_too_much_memory_takes_none_of_the_next(
    store: FolderStore, tmp_path: Path
) -> None:
    heavy = onnx_models.heavy(tmp_path / "heavy.onnx", 16 << 20)
    verifier = Verifier(COMMAND)
    with verifier.one_process():
        verifier.memory_bytes = 1 << 20
        with pytest.raises(StoreError, match="more memory"):
            store.publish(heavy, "heavy", verifier=verifier)
        verifier.memory_bytes = 4 << 30
        store.publish(heavy, "heavy", verifier=verifier)


def test_a_model_that_crashes_its_child_is_refused_and_the_next_is_verified(
    store: FolderStore, tmp_path: Path
) -> None:
    """The child is killed as a crash of the runtime would end it."""
    slow = onnx_models.slow_to_load(tmp_path / "slow.onnx", 30)
    verifier = Verifier(COMMAND)

    def crash() -> None:
        while len(verifying()) < 2:
            time.sleep(0.01)
        os.kill(verifying()[-1].pid, signal.SIGSEGV)

    with verifier.one_process():
        threading.Thread(target=crash).start()
        with pytest.raises(StoreError, match=r"crashed the runtime \(SIGSEGV\)"):
            store.publish(slow, "slow", verifier=verifier)
        store.publish(onnx_models.mlp(tmp_path / "m.onnx"), "quick", verifier=verifier)
    assert not any("slow" in left for left in leftovers(tmp_path))


def test_a_process_that_cannot_start_is_reported(store: FolderStore, tmp_path: Path) -> None:
    verifier = Verifier([sys.executable, "-c", "import sys; sys.exit('no runtime')"])
    model = onnx_models.mlp(tmp_path / "m.onnx")
    with verifier.one_process(), pytest.raises(StoreError, match="no runtime") as refusal:
        store.publish(model, "unlucky", verifier=verifier)
    assert refusal.value.code is ErrorCode.INTERNAL
