"""`slipstream worker` with probes and metrics of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.child_processes import children
from tests.metrics_text import sample
from tests.slipstream.running import environment, free_port
from tests.system.installation import Installation, chain
from tests.timing import TIMEOUT_SECONDS, eventually

SILENCE_SECONDS = "2"
TOKEN = "t" * 32


class Worker:
    """A worker beside an installation that has none."""

    def __init__(self, state: Path, **variables: str) -> None:
        self.port = free_port()
        self.command = [sys.executable, "-m", "slipstream", "worker", "--concurrency", "2"]
        self.command += ["--state", str(state)]
        self.command += ["--metrics", f"127.0.0.1:{self.port}"]
        self.process = subprocess.Popen(
            self.command,
            stdout=subprocess.DEVNULL,
            env={
                **environment(),
                "SLIPSTREAM_UNRESPONSIVE_SECONDS": SILENCE_SECONDS,
                **variables,
            },
        )

    def get(self, path: str, **headers: str) -> httpx.Response:
        """Ask it."""
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", headers=headers)

    def until(self, condition: Callable[[httpx.Response], bool]) -> httpx.Response:
        """Wait until `/readyz` fulfils a condition."""

        def look() -> httpx.Response:
            try:
                return self.get("/readyz")
            except httpx.TransportError:
                return httpx.Response(599)

        return eventually(look, condition)

    def count(self, name: str, **labels: str) -> float:
        """Return a metric."""
        return sample(self.get("/metrics").text, name, **labels)


@pytest.fixture(scope="module")
def worker(installation: Installation) -> Iterator[Worker]:
    """A worker for all tests of this file; the last one stops it."""
    started = Worker(installation.up.state)
    yield started
    started.process.terminate()
    assert started.process.wait(TIMEOUT_SECONDS) == 0


def test_a_worker_alone_has_probes_and_metrics(installation: Installation, worker: Worker) -> None:
    starting = worker.until(lambda answer: answer.status_code == 503).json()
    assert starting["ready"] is False
    assert "the worker does not take runs" in starting["reasons"]
    ready = worker.until(lambda answer: answer.status_code == 200).json()
    assert ready == {"ready": True, "reasons": []}
    assert worker.get("/livez").json() == {"live": True}
    assert worker.count("worker_ready") == 1
    assert worker.count("worker_concurrency", queue="sync") == 2
    deployment = installation.deploy(chain("mlp"), execution_mode="sync", deployment_type="api")
    answer = installation.trigger(deployment, json={"input_data": {"x": [[1, 2, 3, 4]]}})
    assert answer.status_code == 200, answer.text
    nodes = {"deployment": deployment, "node_type": "inference"}
    for name, labels in (("worker_runs_total", {}), ("run_node_seconds_count", nodes)):
        eventually(lambda: worker.count(name, **labels), lambda count: count == 1)  # noqa: B023
        at_the_gateway = httpx.get(f"{installation.up.url}/metrics").text
        assert sample(at_the_gateway, name, **labels) == 0, "it has a /metrics of its own"
    installation.http.delete(f"/node/deployments/{deployment}/")
    eventually(lambda: worker.count("run_node_seconds_count", **nodes), lambda count: count == 0)


@pytest.mark.long
def test_a_worker_with_a_stopped_process_is_not_ready_until_it_is_replaced(worker: Worker) -> None:
    worker.until(lambda answer: answer.status_code == 200)
    stopped = children("gateway.worker", worker.process.pid)[0]
    time.sleep(1)  # its first heartbeat
    stopped.send_signal(signal.SIGSTOP)
    worker.until(lambda answer: answer.status_code == 503)
    worker.until(lambda answer: answer.status_code == 200)
    assert not stopped.is_running()
    assert worker.count("worker_restarts_total") >= 1


def test_a_worker_with_tokens_asks_for_one(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"{TOKEN}\n")
    worker = Worker(tmp_path / "state", SLIPSTREAM_METRICS_TOKEN_FILE=str(tokens))
    worker.until(lambda answer: answer.status_code == 503)  # it needs no database
    assert worker.get("/metrics").status_code == 401
    assert worker.get("/metrics", Authorization=f"Bearer {TOKEN}").is_success
    worker.process.kill()
    worker.process.wait(TIMEOUT_SECONDS)


def test_an_address_that_is_taken_is_an_error(worker: Worker) -> None:
    worker.until(lambda answer: answer.status_code == 200)
    second = subprocess.run(
        worker.command, env=environment(), capture_output=True, text=True, check=False, timeout=30
    )
    assert second.returncode == 3
    assert f"--metrics: cannot listen on 127.0.0.1:{worker.port}" in second.stderr
    assert "Traceback" not in second.stderr


def test_a_worker_that_stops_says_so(worker: Worker) -> None:
    worker.until(lambda answer: answer.status_code == 200)
    for child in children(parent=worker.process.pid):
        child.suspend()  # so that it takes a while
    worker.process.terminate()
    answer = worker.until(lambda answer: answer.status_code != 200)
    assert answer.status_code == 503
    assert answer.json()["reasons"][0] == "stopping"
