"""What an older release has left in a model store, and the present one does not publish."""

from __future__ import annotations

from pathlib import Path

from tests import onnx_models


def make_unservable(store: Path, name: str) -> None:
    """Give version 1 of a published model an input `x` that no server can take: a sequence."""
    published = store / name / "1" / "model.onnx"
    published.unlink()
    onnx_models.sequence_input(published)
