"""The metrics of workers and inference servers, as promtool reads them."""

from __future__ import annotations

import subprocess

import pytest

from inference_server.metrics import ModelMetrics
from slipstream.supervisor.worker_metrics import WorkerInstruments
from telemetry.instruments import Registry


@pytest.mark.services
def test_promtool_reports_no_problem() -> None:
    worker, server = Registry(), Registry()
    WorkerInstruments(worker)
    ModelMetrics(server, "iris", 1)
    for registry in (worker, server):
        result = subprocess.run(
            ["promtool", "check", "metrics"],
            input=registry.render(),
            capture_output=True,
            check=False,
        )
        assert (result.returncode, result.stdout + result.stderr) == (0, b"")
