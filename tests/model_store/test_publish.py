"""What publishing leaves on disk, and in which order versions come."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from model_store.errors import StoreError
from model_store.folder_store import FolderStore
from model_store.manifest import Manifest
from model_store.tensor_spec import TensorSpec
from model_store.verification import Verifier
from protos.errors import ErrorCode
from tests import onnx_models
from tests.model_store.conftest import COMMAND, leftovers


def test_the_manifest_describes_the_model(
    store: FolderStore, verifier: Verifier, model: Path
) -> None:
    manifest = store.publish(model, "mlp", verifier=verifier)
    content = model.read_bytes()
    assert (manifest.name, manifest.version, manifest.platform) == ("mlp", 1, "onnxruntime_onnx")
    assert manifest.sha256 == hashlib.sha256(content).hexdigest()
    assert [(file.path, file.size) for file in manifest.files] == [("model.onnx", len(content))]
    assert manifest.inputs == (TensorSpec(name="x", datatype="FP32", shape=(-1, 4)),)
    assert manifest.outputs == (TensorSpec(name="y", datatype="FP32", shape=(-1, 3)),)
    assert manifest.opset["ai.onnx"] == 17
    assert manifest.ir_version == 8
    assert manifest.producer == "slipstream-tests"
    assert manifest.created_at.endswith("+00:00")
    assert store.manifest("mlp", 1) == manifest
    assert (store.folder("mlp", 1) / "model.onnx").read_bytes() == content


def test_versions_count_up_and_gaps_are_allowed(
    store: FolderStore, verifier: Verifier, model: Path
) -> None:
    chosen = [None, 7, None]
    published = [store.publish(model, "mlp", version=v, verifier=verifier).version for v in chosen]
    assert published == [1, 7, 8]
    assert store.versions("mlp") == [1, 7, 8]
    assert list(store.names()) == ["mlp"]


def test_a_version_is_never_overwritten(
    store: FolderStore, verifier: Verifier, model: Path, tmp_path: Path
) -> None:
    before = store.publish(model, "mlp", verifier=verifier)
    other = onnx_models.identity(tmp_path / "other.onnx")
    with pytest.raises(StoreError, match="version 1 of 'mlp' exists") as refusal:
        store.publish(other, "mlp", version=1, verifier=verifier)
    assert refusal.value.code is ErrorCode.CONFLICT
    assert store.manifest("mlp", 1) == before
    assert store.find_changes("mlp", 1) == []


def test_one_of_two_publishers_of_a_version_wins(
    tmp_path: Path, verifier: Verifier, model: Path
) -> None:
    def publish(_: int) -> object:
        try:
            return FolderStore(tmp_path / "store").publish(
                model, "mlp", version=3, verifier=verifier
            )
        except StoreError as refusal:
            return refusal.code

    with ThreadPoolExecutor() as pool:
        outcomes = list(pool.map(publish, range(3)))
    assert outcomes.count(ErrorCode.CONFLICT) == 2
    assert sum(isinstance(outcome, Manifest) for outcome in outcomes) == 1
    assert leftovers(tmp_path) == ["mlp", "mlp/3", "mlp/3/manifest.json", "mlp/3/model.onnx"]


def test_concurrent_publishers_get_different_versions(tmp_path: Path, model: Path) -> None:
    def publish(_: int) -> int:
        store = FolderStore(tmp_path / "store")
        return store.publish(model, "mlp", verifier=Verifier(COMMAND)).version

    with ThreadPoolExecutor() as pool:
        assert sorted(pool.map(publish, range(3))) == [1, 2, 3]


@pytest.mark.parametrize("location", ["weights.bin", "deep/er/weights.bin"])
def test_external_data_is_stored_beside_the_model(
    store: FolderStore, verifier: Verifier, tmp_path: Path, location: str
) -> None:
    model = onnx_models.external_data(tmp_path / "big.onnx", location)
    manifest = store.publish(model, "big", verifier=verifier)
    assert [file.path for file in manifest.files] == ["model.onnx", location]
    published = store.folder("big", 1) / location
    assert published.read_bytes() == (tmp_path / location).read_bytes()
    assert store.find_changes("big", 1) == []


def test_the_store_folder_may_be_a_symbolic_link(verifier: Verifier, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "store").symlink_to(tmp_path / "disk")
    store = FolderStore(tmp_path / "store")
    store.publish(onnx_models.external_data(tmp_path / "big.onnx"), "big", verifier=verifier)
    assert store.find_changes("big", 1) == []


def test_a_folder_with_a_model_in_it_can_be_published(
    store: FolderStore, verifier: Verifier, tmp_path: Path
) -> None:
    folder = tmp_path / "exported"
    folder.mkdir()
    onnx_models.external_data(folder / "model.onnx")
    (folder / "README.md").write_text("not needed to serve it")
    manifest = store.publish(folder, "big", verifier=verifier)
    assert [file.path for file in manifest.files] == ["model.onnx", "weights.bin"]


def test_leftovers_of_a_killed_publisher_are_removed_by_the_next(
    store: FolderStore, verifier: Verifier, tmp_path: Path, model: Path
) -> None:
    slow = onnx_models.slow_to_load(tmp_path / "slow.onnx", 30)
    publisher = subprocess.Popen(
        [sys.executable, "-c", _PUBLISH, str(tmp_path / "store"), str(slow), *COMMAND],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert publisher.stdout is not None
    verifier_pid = int(publisher.stdout.readline())
    try:
        store.publish(model, "mlp", verifier=verifier)
        assert len(list((tmp_path / "store/.staging").iterdir())) == 1, "swept a living publisher"
    finally:
        publisher.kill()
        publisher.wait()
        publisher.stdout.close()
        os.killpg(verifier_pid, signal.SIGKILL)
    assert len(list((tmp_path / "store/.staging").iterdir())) == 1
    store.publish(model, "mlp", verifier=verifier)
    assert list((tmp_path / "store/.staging").iterdir()) == []
    assert list(store.names()) == ["mlp"]


_PUBLISH = """
import subprocess, sys
from pathlib import Path
from model_store.folder_store import FolderStore
from model_store.verification import Verifier

class Announcing(subprocess.Popen):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        print(self.pid, flush=True)

subprocess.Popen = Announcing
root, model, *command = sys.argv[1:]
FolderStore(Path(root)).publish(Path(model), "slow", verifier=Verifier(command))
"""
