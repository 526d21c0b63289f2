"""An installation with one slow model that runs calls one at a time, for all tests here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import onnx_models
from tests.slipstream.running import NO_WORKER, Up
from tests.system.installation import Installation
from tests.system.slow_model.slow_server import MODEL, RUN_SECONDS, SlowServer

_SETTINGS = {
    "SLIPSTREAM_INFERENCE_MAX_BATCH_SIZE": "1",
    "SLIPSTREAM_INFERENCE_THREADS": "1",
    "SLIPSTREAM_CALL_LOG": "slow:200ms",
}


@pytest.fixture(scope="package")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlowServer]:
    """A slow server that has already served one call."""
    folder: Path = tmp_path_factory.mktemp("slow")
    up = Up(folder / "state", "--no-demo", *NO_WORKER, **_SETTINGS)
    up.until("documentation")
    installation = Installation(up)
    path = onnx_models.slow_to_run(folder / "model.onnx", RUN_SECONDS)
    installation.add_model(MODEL, path)
    installation.serve(MODEL)
    server = SlowServer(installation)
    assert server.trigger().status_code == 200
    yield server
    installation.stop()
