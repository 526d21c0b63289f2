"""A store in a temporary folder, and the real verifier."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from model_store.folder_store import FolderStore
from model_store.verification import Verifier
from tests import onnx_models

COMMAND = (sys.executable, "-m", "inference_server.runtime.verify")


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    """An empty store in `tmp_path`/store."""
    return FolderStore(tmp_path / "store")


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    """The verifier that the product uses; one process imports what it needs. For one thread."""
    verifier = Verifier(COMMAND)
    with verifier.one_process():
        yield verifier


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A small, sound model."""
    return onnx_models.mlp(tmp_path / "mlp.onnx")


def leftovers(tmp_path: Path) -> list[str]:
    """Return what the store in `tmp_path` holds, but for its lock and its empty staging folder."""
    own = {".lock", ".staging"}
    found = (path.relative_to(tmp_path / "store") for path in (tmp_path / "store").rglob("*"))
    return sorted(str(path) for path in found if str(path) not in own)
