"""The repository's own files, as a checkout has them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = (
    *("slipstream", "gateway", "inference_server", "model_store"),
    *("protos", "telemetry", "transport"),
)
_FOLDERS = (*PACKAGES, "tests", "docs", "examples", "benchmarks", "requirements", ".ci")


def files() -> Iterator[Path]:
    """Yield everything that is written or kept by us; nothing that was built, or downloaded."""
    yield from (path for path in ROOT.iterdir() if path.is_file() and path.name != ".git")
    for folder in _FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


def modules(*folders: str) -> Iterator[Path]:
    """Yield the Python files below some folders."""
    for folder in folders:
        for path in (ROOT / folder).rglob("*.py"):
            if "__pycache__" not in path.parts:
                yield path
