"""Files and folders of other formats are refused with what they are and what to do."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path

import pytest

from model_store.errors import StoreError
from model_store.folder_store import FolderStore
from model_store.verification import Verifier
from tests import onnx_models

HTML = b"<!DOCTYPE html><title>Not found</title>"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n"


def archive(*names: str) -> bytes:
    """Return a ZIP archive with files of these names."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for name in names:
            made.writestr(zipfile.ZipInfo(name), b"x")  # at no time, so that it is always the same
    return buffer.getvalue()


def safetensors() -> bytes:
    """Return a file of one tensor: the length of the header, the header, the data."""
    tensor = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    header = json.dumps({"weight": tensor}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(4)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        *((pickle.dumps({"a": 1}, protocol), "skl2onnx.to_onnx") for protocol in range(2, 6)),
        (archive("m/data.pkl", "m/constants.pkl", "m/code/x.py"), "a TorchScript file"),
        (archive("m/data.pkl", "m/data/0"), "a file of torch.save"),
        (archive("config.json", "model.weights.h5"), "a Keras file"),
        (archive("model.onnx"), "a ZIP archive: unpack it"),
        (b"PK\x03\x04" + bytes(100), "a ZIP archive that is damaged"),
        (safetensors(), "a safetensors file"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "a Keras or other HDF5 file"),
        (b"\x1c\0\0\0TFL3" + bytes(100), "a TensorFlow Lite file"),
        (b"GGUF\x03\0\0\0", "a GGUF file"),
        (LFS, "`git lfs pull`"),
        (HTML, "a web page"),
    ],
)
def test_a_file_is_recognised(
    store: FolderStore, verifier: Verifier, tmp_path: Path, content: bytes, expected: str
) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(content)
    with pytest.raises(StoreError) as refusal:
        store.publish(file, "foreign", verifier=verifier)
    assert refusal.value.message.startswith("not an ONNX model, but a")
    assert expected in refusal.value.message


def refused(store: FolderStore, verifier: Verifier, folder: Path) -> str:
    """Publish a folder, and return why it is refused."""
    with pytest.raises(StoreError) as refusal:
        store.publish(folder, "foreign", verifier=verifier)
    return refusal.value.message


def test_versions_of_a_triton_repository_can_be_added(
    store: FolderStore, verifier: Verifier, tmp_path: Path
) -> None:
    repository = tmp_path / "repository"
    for name, version in (("resnet", "2"), ("resnet", "10"), ("bert", "1")):
        folder = repository / name / version
        folder.mkdir(parents=True)
        onnx_models.mlp(folder / "model.onnx")
        (repository / name / "config.pbtxt").write_text("")
    of_one = f"`slipstream models add {repository}/resnet/10 --name resnet`"
    assert f"a model of a Triton repository: add a version of it, {of_one}" in refused(
        store, verifier, repository / "resnet"
    )
    of_all = refused(store, verifier, repository)
    assert "the folder is a Triton repository: add each model by itself" in of_all
    assert of_one in of_all
    assert f"`slipstream models add {repository}/bert/1 --name bert`" in of_all
    assert store.publish(repository / "resnet" / "10", "resnet", verifier=verifier).version == 1


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["onnx/model.onnx", "config.json"], "slipstream models add {folder}/onnx --name folder"),
        (["config.json", "model.safetensors"], "optimum-cli export onnx --model {folder} OUT"),
        (["saved_model.pb"], "python -m tf2onnx.convert --saved-model"),
        (["MLmodel", "model.pkl"], "a model of MLflow"),
        (["resnet.onnx"], "add the file itself, '{folder}/resnet.onnx'"),
        (["notes.txt"], "there is no file '{folder}/model.onnx'"),
    ],
)
def test_a_folder_is_recognised(
    store: FolderStore, verifier: Verifier, tmp_path: Path, files: list[str], expected: str
) -> None:
    folder = tmp_path / "folder"
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    assert expected.format(folder=folder) in refused(store, verifier, folder)
