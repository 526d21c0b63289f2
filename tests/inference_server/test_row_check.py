"""Models that were published without a proof, or with other rules, are checked at their start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from inference_server.runtime import row_check
from inference_server.runtime.row_check import row_proof
from inference_server.runtime.rows import VERSION
from inference_server.runtime.verify import inspect
from model_store.manifest import File, Manifest, RowProof, manifest_of
from tests import onnx_models


def published(path: Path, build: Callable[[Path], Path]) -> tuple[Manifest, Path]:
    """Return a manifest as it is written, and the model."""
    file = build(path / "model.onnx")
    copy = File(path=file.name, sha256="", size=file.stat().st_size)
    return manifest_of("model", 1, (copy,), inspect(file)), file


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (onnx_models.mlp, None),
        (onnx_models.mixed, None),
        (onnx_models.over_rows, "node '0' (Softmax): it works along the rows' axis"),
    ],
)
def test_the_manifest_says_whether_rows_are_apart_and_can_be_read_back(
    tmp_path: Path, build: Callable[[Path], Path], reason: str | None
) -> None:
    manifest, file = published(tmp_path, build)
    assert manifest.rows == RowProof(version=VERSION, reason=reason)
    assert Manifest.from_json(manifest.to_json()) == manifest
    file.unlink()
    assert row_proof(manifest, file) == manifest.rows, "nothing is read again"


@pytest.mark.parametrize("rows", [None, RowProof(version=VERSION - 1, reason=None)])
def test_what_was_not_checked_with_these_rules_is_checked_again(
    tmp_path: Path, rows: RowProof | None
) -> None:
    manifest, file = published(tmp_path, onnx_models.over_rows)
    found = row_proof(replace(manifest, rows=rows), file)
    assert found == manifest.rows
    assert found.reason is not None


def test_a_graph_that_cannot_be_read_is_not_proved(tmp_path: Path) -> None:
    manifest, file = published(tmp_path, onnx_models.mlp)
    file.write_bytes(b"\xff" * 100)
    found = row_proof(replace(manifest, rows=None), file)
    assert found.reason is not None
    assert found.reason.startswith("its graph could not be read within the limits: ")


def test_a_graph_that_takes_too_long_is_not_proved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_check, "_SECONDS", 0.01)
    manifest, file = published(tmp_path, onnx_models.mlp)
    found = row_proof(replace(manifest, rows=None), file)
    assert found.reason is not None
    assert "takes longer than 0.01 s" in found.reason
