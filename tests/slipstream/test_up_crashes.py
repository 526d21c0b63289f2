"""Processes that die or fail while `slipstream up` runs, and instances side by side."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import httpx
import psutil
import pytest

from tests import onnx_models
from tests.older_release import make_unservable
from tests.slipstream.cli import invoke
from tests.slipstream.running import NO_WORKER, Up
from tests.timing import TIMEOUT_SECONDS

_UNRESPONSIVE_SECONDS = 3.0
_POLL_SECONDS = 0.05
"""Between two calls of a gateway that is to start: without it, they take its processor time."""


@dataclass(frozen=True)
class Running:
    """An instance with its demo."""

    up: Up
    key: str
    deployment_id: str

    def trigger(self) -> httpx.Response:
        return httpx.post(
            f"{self.up.url}/node/deployment-trigger/{self.deployment_id}/",
            headers={"X-API-Key": self.key},
            json={"input_data": {"x": [[5.1, 3.5, 1.4, 0.2]]}},
            timeout=TIMEOUT_SECONDS,
        )

    def until_served(self) -> None:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while (response := self.trigger()).status_code != 200:
            assert response.status_code == 503, response.text
            assert "retry-after" in response.headers
            assert time.monotonic() < deadline
            time.sleep(_POLL_SECONDS)

    def until_not_ready(self, model: str) -> None:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while httpx.get(f"{self.up.url}/v2/models/{model}/ready").is_success:
            assert time.monotonic() < deadline
            time.sleep(_POLL_SECONDS)

    def until_without_process(self, model: str) -> dict[str, object]:
        created = self.command("keys", "create", "--name", "reader", "--manage", "--json")
        headers = {"X-API-Key": json.loads(created)["key"]}
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while True:
            listed = httpx.get(f"{self.up.url}/node/inference-servers/", headers=headers)
            (found,) = [server for server in listed.json()["items"] if server["model"] == model]
            if found["processes"][0]["pid"] is None:
                return found
            assert time.monotonic() < deadline
            time.sleep(_POLL_SECONDS)

    def command(self, *words: str) -> str:
        state = ["--state", str(self.up.state)]
        result = invoke([*words, *state])
        assert result.exit_code == 0, result.output
        return result.stdout


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    patience = ("--unresponsive-seconds", str(_UNRESPONSIVE_SECONDS))
    settings = {"SLIPSTREAM_INFERENCE_WARM_UP_SECONDS": "3"}
    up = Up(tmp_path_factory.mktemp("up") / "state", *NO_WORKER, *patience, **settings)
    curl = up.until("curl ")
    found = re.search(r"trigger/([0-9a-f-]+)/.*(sk-\w+)", curl)
    assert found
    yield Running(up=up, deployment_id=found[1], key=found[2])
    assert up.stop() == 0


def test_a_killed_inference_server_is_restarted(running: Running) -> None:
    (server,) = running.up.servers()
    server.kill()
    server.wait()
    running.until_served()
    (successor,) = running.up.servers()
    assert successor.pid != server.pid
    printed = running.up.until("was killed by SIGKILL; started again")
    line = running.up.logged("process_exited", server.pid)
    assert printed.endswith(f"started again in {line.pop('restart_in_seconds')} s")
    assert datetime.fromisoformat(str(line.pop("timestamp"))).tzinfo
    assert line == {
        "event": "process_exited",
        "level": "warning",
        "process": "supervisor",
        "name": "iris 1",
        "model": "iris",
        "version": 1,
        "pid": server.pid,
        "signal": "SIGKILL",
        "reason": "was killed by SIGKILL",
    }


def test_a_killed_fork_server_is_restarted_and_its_servers_are_unaffected(
    running: Running,
) -> None:
    (fork_server,) = running.up.fork_servers()
    (server,) = running.up.servers()
    fork_server.kill()
    fork_server.wait()
    running.up.until("fork server        ready")
    assert running.up.servers() == [server]
    assert running.trigger().status_code == 200
    server.kill()
    server.wait()
    running.until_served()
    (successor,) = running.up.servers()
    assert successor.cmdline() == running.up.fork_servers()[0].cmdline()
    running.up.until("was killed by SIGKILL; started again")


def test_a_killed_gateway_is_restarted_and_no_connection_is_refused(running: Running) -> None:
    (gateway,) = running.up.gateways()
    gateway.kill()
    gateway.wait()
    running.until_served()
    (successor,) = running.up.gateways()
    assert successor.pid != gateway.pid
    line = running.up.logged("process_exited", gateway.pid)
    assert (line["name"], line["signal"]) == ("gateway", "SIGKILL")


@pytest.mark.long
def test_a_stopped_inference_server_is_replaced(running: Running) -> None:
    (server,) = running.up.servers()
    server.suspend()
    running.until_not_ready("iris")
    running.up.until("unresponsive: no heartbeat for")
    server.wait(TIMEOUT_SECONDS)
    running.until_served()
    (successor,) = running.up.servers()
    assert successor.pid != server.pid
    assert "was killed: no heartbeat for" in running.up.until("was killed")


@pytest.mark.long
def test_the_only_gateway_is_replaced_when_it_is_stopped(running: Running) -> None:
    (gateway,) = running.up.gateways()
    gateway.suspend()
    running.up.until("gateway            unresponsive: no heartbeat for")
    gateway.wait(TIMEOUT_SECONDS)
    running.until_served()
    (successor,) = running.up.gateways()
    assert successor.pid != gateway.pid


@pytest.mark.long
def test_no_process_is_replaced_because_all_of_them_were_stopped(running: Running) -> None:
    gateways, servers = running.up.gateways(), running.up.servers()
    supervisor = psutil.Process(running.up.process.pid)
    everything = [supervisor, *running.up.children()]
    for process in everything:
        process.suspend()
    time.sleep(2 * _UNRESPONSIVE_SECONDS)
    for process in everything:
        process.resume()
    running.until_served()
    assert (running.up.gateways(), running.up.servers()) == (gateways, servers)


@pytest.mark.long
def test_a_failed_server_is_restarted_only_on_request(running: Running, tmp_path: Path) -> None:
    model = onnx_models.identity(tmp_path / "sequence.onnx")
    running.command("models", "add", str(model), "--name", "sequence")
    make_unservable(running.up.state / "models", "sequence")
    running.command("models", "serve", "sequence")
    running.up.until("sequence 1         failed")
    failed = [server.pid for server in running.up.servers("sequence 1")]
    running.command("models", "serve", "sequence")
    running.up.until("sequence 1         stopped")
    running.up.until("sequence 1         failed")
    assert [server.pid for server in running.up.servers("sequence 1")] != failed
    running.command("models", "unserve", "sequence")
    running.up.until("sequence 1         stopped")
    assert running.trigger().status_code == 200


@pytest.mark.long
def test_an_endless_warm_up_fails_and_is_not_repeated_at_once(
    running: Running, tmp_path: Path
) -> None:
    model = onnx_models.loop(tmp_path / "endless.onnx", trips=10**15)
    running.command("models", "add", str(model), "--name", "endless", "--serve")
    reason = "the first run took longer than 3 s"
    assert reason in running.up.until("endless 1          failed")
    (server,) = running.up.servers("endless 1")
    server.kill()
    running.up.until("endless 1          was killed by SIGKILL; started again in 30.0 s")
    seen = running.until_without_process("endless")
    assert seen["state"] == "failed"
    assert str(seen["reason"]).startswith(reason)
    assert str(seen["reason"]).endswith("; the next attempt begins in 30 s")
    running.command("models", "unserve", "endless")
    assert running.trigger().status_code == 200


@pytest.mark.long
def test_a_second_instance_runs_beside_the_first(
    running: Running, tmp_path_factory: pytest.TempPathFactory
) -> None:
    second = Up(tmp_path_factory.mktemp("beside") / "state", "--no-demo", *NO_WORKER)
    second.until("documentation")
    foreign = httpx.get(f"{second.url}/node/flows/", headers={"X-API-Key": running.key})
    assert foreign.status_code == 401
    assert second.stop() == 0
    assert running.trigger().status_code == 200
