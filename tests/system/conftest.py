"""One installation for most of the tests: two gateways, a handful of models."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import onnx_models
from tests.slipstream.running import Up
from tests.system.installation import Installation


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Serve `iris` (the demo), `mixed`, `mlp` and `nan`."""
    folder = tmp_path_factory.mktemp("system")
    up = Up(folder / "state", "--workers", "2")
    up.until("documentation")
    running = Installation(up)
    for name, build in (
        ("mixed", onnx_models.mixed),
        ("mlp", onnx_models.mlp),
        ("nan", onnx_models.nan_output),
    ):
        running.add_model(name, build(folder / f"{name}.onnx"))
        running.serve(name)
    yield running
    running.stop()
