"""An installation that starts again."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests import onnx_models
from tests.slipstream.running import Up
from tests.system.flow_documents import transform_flow
from tests.system.installation import Installation
from tests.timing import TIMEOUT_SECONDS

pytestmark = pytest.mark.processes

CALL = {"input_data": {"x": 21}}
WARM_UP = {"SLIPSTREAM_INFERENCE_WARM_UP_SECONDS": "600"}


@pytest.mark.long
def test_runs_do_not_wait_for_a_model_that_boots_slowly(tmp_path: Path) -> None:
    before = Up(tmp_path / "state", "--no-demo", **WARM_UP)
    before.until("documentation")
    installation = Installation(before)
    deployment = installation.deploy(
        transform_flow("input.x * 2"), execution_mode="sync", deployment_type="api"
    )
    model = onnx_models.loop(tmp_path / "slow.onnx", trips=10**15)
    installation.command("models", "add", str(model), "--name", "slow", "--serve")
    before.until("slow 1             warming")
    installation.http.close()
    before.stop(signal.SIGKILL)

    again = Up(tmp_path / "state", "--no-demo", **WARM_UP)
    again.until("slow 1             warming")
    after = Installation(again, installation.key)
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while (answer := after.trigger(deployment, json=CALL)).status_code == 503:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.1)
    assert answer.status_code == 200, answer.text
    assert after.http.get("/v2/models/slow/ready").status_code == 503
    after.http.close()
    again.stop(signal.SIGKILL)
