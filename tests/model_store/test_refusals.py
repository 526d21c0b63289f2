"""Models and sources that are refused, each with a clear error and nothing left behind."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from model_store.errors import StoreError
from model_store.folder_store import FolderStore
from model_store.verification import Verifier
from protos.errors import ErrorCode
from tests import onnx_models
from tests.model_store.conftest import COMMAND, leftovers
from tests.timing import Timer


def _text(path: Path) -> Path:
    path.write_text("{this is: no model}\n" * 50)
    return path


def _empty(path: Path) -> Path:
    path.write_bytes(b"")
    return path


def _truncated(path: Path) -> Path:
    content = onnx_models.mlp(path).read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def _cut_between_fields(path: Path) -> Path:
    """The operator sets come last: without them the file still parses."""
    content = onnx_models.identity(path).read_bytes()
    path.write_bytes(content[: content.rindex(b"\x42\x04\x0a\x00\x10\x11")])
    return path


def _name_not_utf8(path: Path) -> Path:
    content = onnx_models.unknown_operator(path).read_bytes()
    path.write_bytes(content.replace(b"Frobnicate", b"Frob\xff\xfecate"))
    return path


def _missing_data(path: Path) -> Path:
    return onnx_models.external_data(path, write=False)


def _truncated_data(path: Path) -> Path:
    model = onnx_models.external_data(path)
    (path.parent / "weights.bin").write_bytes(b"too short")
    return model


def _missing_locale(path: Path) -> Path:
    return onnx_models.normalizer(path, "xx_XX.UTF-8")


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (_text, "not a valid ONNX model"),
        (_empty, "not a valid ONNX model"),
        (_truncated, "truncated"),
        (_cut_between_fields, "it has no opset_import"),
        (_name_not_utf8, "not valid UTF-8"),
        (_missing_data, "'weights.bin', which is missing"),
        (_truncated_data, "out of bounds"),
        (_missing_locale, "`apt-get install locales && localedef -i xx_XX -f UTF-8 xx_XX.UTF-8`"),
        (onnx_models.unknown_operator, "Frobnicate"),
    ],
)
def test_a_model_that_cannot_be_served_is_refused(
    store: FolderStore,
    verifier: Verifier,
    tmp_path: Path,
    build: Callable[[Path], Path],
    reason: str,
) -> None:
    with pytest.raises(StoreError, match=reason) as refusal:
        store.publish(build(tmp_path / "bad.onnx"), "bad", verifier=verifier)
    assert refusal.value.code is ErrorCode.INVALID_MODEL
    assert str(tmp_path) not in refusal.value.message
    assert "\n" not in refusal.value.message
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(
    "location",
    ["/etc/hostname", "../secret", "a/../../secret", "*/_ORT_MEM_ADDR_/*", "manifest.json", ""],
)
def test_external_data_outside_the_folder_is_never_followed(
    store: FolderStore, verifier: Verifier, tmp_path: Path, location: str
) -> None:
    (tmp_path / "secret").write_bytes(bytes(1200))
    (tmp_path / "models").mkdir()
    model = onnx_models.external_data(tmp_path / "models/trick.onnx", location, write=False)
    with pytest.raises(StoreError, match="external data at") as refusal:
        store.publish(model, "trick", verifier=verifier)
    assert refusal.value.code is ErrorCode.INVALID_MODEL
    assert leftovers(tmp_path) == []


def test_symbolic_links_are_refused_at_any_depth(
    store: FolderStore, verifier: Verifier, tmp_path: Path, model: Path
) -> None:
    (tmp_path / "real").mkdir()
    onnx_models.external_data(tmp_path / "real/model.onnx")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "model.onnx").symlink_to(model)
    data = tmp_path / "data"
    onnx_models.external_data(_folder(data) / "model.onnx", write=False)
    (data / "weights.bin").symlink_to(tmp_path / "real/weights.bin")
    nested = tmp_path / "nested"
    onnx_models.external_data(_folder(nested) / "model.onnx", "sub/weights.bin", write=False)
    (nested / "sub").symlink_to(tmp_path / "real")
    (tmp_path / "link.onnx").symlink_to(model)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for source in (
        tmp_path / "link.onnx",
        tmp_path / "link",
        folder,
        data,
        data / "model.onnx",
        nested / "model.onnx",
    ):
        with pytest.raises(StoreError, match="symbolic link") as refusal:
            store.publish(source, "linked", verifier=verifier)
        assert refusal.value.code is ErrorCode.INVALID_REQUEST
    assert leftovers(tmp_path) == []


def test_pipes_and_devices_are_refused_without_waiting(
    store: FolderStore, verifier: Verifier, tmp_path: Path, model: Path
) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    empty = _folder(tmp_path / "empty")
    folder = _folder(tmp_path / "folder")
    (folder / "model.onnx").mkdir()
    missing = tmp_path / "missing.onnx"
    for source in (tmp_path / "pipe.onnx", empty, folder, missing, model / "inner.onnx"):
        with pytest.raises(StoreError, match=str(source)) as refusal:
            store.publish(source, "odd", verifier=verifier)
        assert refusal.value.code is ErrorCode.INVALID_REQUEST
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("name", ["../escape", "a/b", "", ".staging"])
def test_an_invalid_name_is_refused_before_anything_is_written(
    store: FolderStore, verifier: Verifier, tmp_path: Path, model: Path, name: str
) -> None:
    with pytest.raises(StoreError, match="model name"):
        store.publish(model, name, verifier=verifier)
    assert not (tmp_path / "store").exists()


def test_a_model_that_loads_too_slowly_is_refused_in_time(
    store: FolderStore, tmp_path: Path
) -> None:
    slow = onnx_models.slow_to_load(tmp_path / "slow.onnx", 30)
    timer = Timer()
    with pytest.raises(StoreError, match=r"longer than 1\.5 s"):
        store.publish(slow, "slow", verifier=Verifier(COMMAND, timeout_seconds=1.5))
    assert timer.seconds < 5
    assert leftovers(tmp_path) == []


def test_a_model_that_needs_too_much_memory_is_refused(store: FolderStore, tmp_path: Path) -> None:
    heavy = onnx_models.heavy(tmp_path / "heavy.onnx", 16 << 20)
    with pytest.raises(StoreError, match="more memory") as refusal:
        store.publish(heavy, "heavy", verifier=Verifier(COMMAND, memory_bytes=1 << 20))
    assert refusal.value.code is ErrorCode.INVALID_MODEL
    assert leftovers(tmp_path) == []


def test_a_model_that_crashes_its_verifier_is_refused(
    store: FolderStore, tmp_path: Path, model: Path
) -> None:
    crashing = Verifier([sys.executable, "-c", "import os; os.abort()"])
    with pytest.raises(StoreError, match=r"crashed the runtime \(SIGABRT\)") as refusal:
        store.publish(model, "unlucky", verifier=crashing)
    assert refusal.value.code is ErrorCode.INVALID_MODEL
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (onnx_models.sequence_input, r"input 'x': expected a tensor, got seq\(tensor\(float\)\)"),
        (
            functools.partial(onnx_models.float8_output, alone=True),
            r"outputs: expected at least one tensor, got 'small' of type tensor\(float8e4m3fn\)",
        ),
    ],
)
def test_a_model_with_nothing_left_to_serve_is_refused(
    store: FolderStore,
    verifier: Verifier,
    tmp_path: Path,
    build: Callable[[Path], Path],
    reason: str,
) -> None:
    with pytest.raises(StoreError, match=reason) as refusal:
        store.publish(build(tmp_path / "m.onnx"), "unservable", verifier=verifier)
    assert refusal.value.code is ErrorCode.INVALID_MODEL
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("script", ["import sys; sys.exit('no runtime')", "print('no runtime')"])
def test_a_broken_verifier_is_reported_as_an_internal_error(
    store: FolderStore, tmp_path: Path, model: Path, script: str
) -> None:
    with pytest.raises(StoreError, match="the verifier failed") as refusal:
        store.publish(model, "unlucky", verifier=Verifier([sys.executable, "-c", script]))
    assert refusal.value.code is ErrorCode.INTERNAL
    assert leftovers(tmp_path) == []


def _folder(path: Path) -> Path:
    path.mkdir()
    return path
