"""Finding, labelling, removing and re-checking published versions."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from model_store.errors import StoreError
from model_store.folder_store import FolderStore
from model_store.verification import Verifier
from protos.errors import ErrorCode
from tests import onnx_models
from tests.model_store.conftest import COMMAND


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a store with the versions 1 and 2 of `mlp`, to be copied only."""
    folder = tmp_path_factory.mktemp("published")
    model = onnx_models.mlp(folder / "mlp.onnx")
    for _ in range(2):
        FolderStore(folder / "store").publish(model, "mlp", verifier=Verifier(COMMAND))
    return folder / "store"


@pytest.fixture
def filled(published: Path, tmp_path: Path) -> FolderStore:
    """A store with the versions 1 and 2 of `mlp`, in `tmp_path`/store."""
    shutil.copytree(published, tmp_path / "store")
    return FolderStore(tmp_path / "store")


def test_a_version_is_found_by_number_label_and_as_latest(filled: FolderStore) -> None:
    filled.set_label("mlp", "stable", 1)
    assert filled.resolve("mlp") == 2
    assert [filled.resolve("mlp", spec) for spec in ("latest", "1", "stable")] == [2, 1, 1]


@pytest.mark.parametrize("spec", ["3", "canary", "", "../1"])
def test_an_unknown_version_is_not_found_and_the_known_ones_are_listed(
    filled: FolderStore, spec: str
) -> None:
    filled.set_label("mlp", "stable", 1)
    with pytest.raises(StoreError, match="it has 1, 2, stable") as refusal:
        filled.resolve("mlp", spec)
    assert refusal.value.code is ErrorCode.NOT_FOUND


def test_reading_an_empty_store_creates_nothing(store: FolderStore, tmp_path: Path) -> None:
    assert list(store.names()) == []
    assert store.versions("mlp") == []
    assert store.labels("mlp") == {}
    for ask in (
        store.folder,
        store.manifest,
        store.find_changes,
        lambda name, _: store.resolve(name),
    ):
        with pytest.raises(StoreError, match="there is no model 'mlp'") as refusal:
            ask("mlp", 1)
        assert refusal.value.code is ErrorCode.NOT_FOUND
    assert not (tmp_path / "store").exists()


def test_a_label_is_moved_and_deleted(filled: FolderStore) -> None:
    filled.set_label("mlp", "stable", 1)
    filled.set_label("mlp", "canary", 2)
    filled.set_label("mlp", "stable", 2)
    assert filled.labels("mlp") == {"canary": 2, "stable": 2}
    filled.delete_label("mlp", "canary")
    assert filled.labels("mlp") == {"stable": 2}
    with pytest.raises(StoreError, match="no label 'canary'"):
        filled.delete_label("mlp", "canary")


def test_a_label_needs_a_version_that_exists(filled: FolderStore) -> None:
    with pytest.raises(StoreError, match="no version 3") as refusal:
        filled.set_label("mlp", "stable", 3)
    assert refusal.value.code is ErrorCode.NOT_FOUND


def test_a_labelled_version_is_not_removed(filled: FolderStore) -> None:
    filled.set_label("mlp", "stable", 1)
    with pytest.raises(StoreError, match="labelled stable") as refusal:
        filled.remove("mlp", 1)
    assert refusal.value.code is ErrorCode.CONFLICT
    assert filled.versions("mlp") == [1, 2]


def test_the_number_of_a_removed_version_is_not_reused(
    filled: FolderStore, verifier: Verifier, model: Path
) -> None:
    filled.remove("mlp", 2)
    assert filled.versions("mlp") == [1]
    filled.remove("mlp", 1)
    assert list(filled.names()) == []
    assert filled.publish(model, "mlp", verifier=verifier).version == 3
    assert filled.publish(model, "mlp", version=2, verifier=verifier).version == 2


def test_verification_names_every_changed_file(filled: FolderStore) -> None:
    folder = filled.folder("mlp", 2)
    content = bytearray((folder / "model.onnx").read_bytes())
    content[-1] ^= 1
    (folder / "model.onnx").write_bytes(content)
    (folder / "extra.bin").write_bytes(b"")
    changed, extra = filled.find_changes("mlp", 2)
    assert changed.startswith("model.onnx: sha256 ")
    assert extra == "extra.bin: not part of the version"
    (folder / "model.onnx").write_bytes(b"")
    assert "model.onnx: 0 bytes, published with" in filled.find_changes("mlp", 2)[0]
    (folder / "model.onnx").unlink()
    assert "model.onnx: missing" in filled.find_changes("mlp", 2)
    assert filled.find_changes("mlp", 1) == []


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"inputs": 3}', b"\xff"])
def test_a_damaged_manifest_is_reported_and_not_served(filled: FolderStore, content: bytes) -> None:
    (filled.folder("mlp", 1) / "manifest.json").write_bytes(content)
    with pytest.raises(StoreError, match="manifest is damaged") as refusal:
        filled.manifest("mlp", 1)
    assert refusal.value.code is ErrorCode.INVALID_MODEL
    assert filled.find_changes("mlp", 1) == [refusal.value.message]


def test_damaged_labels_are_reported(filled: FolderStore, tmp_path: Path) -> None:
    (tmp_path / "store/mlp/labels.json").write_text("{")
    with pytest.raises(StoreError, match=r"labels\.json of 'mlp' is damaged"):
        filled.resolve("mlp", "stable")
    assert filled.resolve("mlp") == 2


def test_folders_that_were_not_published_are_not_versions(
    filled: FolderStore, tmp_path: Path
) -> None:
    (tmp_path / "store/mlp/5").mkdir()
    (tmp_path / "store/mlp/notes").mkdir()
    assert filled.versions("mlp") == [1, 2]
    with pytest.raises(StoreError):
        filled.folder("mlp", 5)
