"""Inference servers sleep after an idle period, and a call through any API wakes them."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
from tritonclient.utils import InferenceServerException

from tests import onnx_models
from tests.gateway.databases import PostgresDatabase
from tests.metrics_text import sample
from tests.slipstream.running import Up, environment
from tests.system.installation import Installation, Json, chain
from tests.timing import TIMEOUT_SECONDS, eventually

SERVERS = "/node/inference-servers/"
ROW = {"input_data": {"x": [[1, 2, 3, 4]]}}
TENSOR = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}
NEWS_SECONDS = 0.5
"""After which every gateway has heard of a change for sure."""

numbers = itertools.count(1)


class SleepingModel:
    """A model whose server sleeps after a second without a call, and its deployment."""

    def __init__(self, installation: Installation, folder: Path) -> None:
        self.name = f"dozy{next(numbers)}"
        self._installation = installation
        installation.add_model(self.name, onnx_models.mlp(folder / f"{self.name}.onnx"))
        made = installation.post(SERVERS, {"model": self.name, "idle_timeout_seconds": 1})
        self.deployment = installation.deploy(chain(self.name))
        time.sleep(NEWS_SECONDS)
        self._url = f"{SERVERS}{made['id']}/"

    @property
    def server(self) -> Json:
        """The row of its server."""
        shown: Json = self._installation.http.get(self._url).json()
        return shown

    def until(self, true: Callable[[Json], bool]) -> Json:
        """Wait until a condition holds for its row; return the row."""
        return eventually(lambda: self.server, true)

    def until_asleep(self) -> Json:
        """Call the model and wait until it sleeps; return its row."""
        answer = until_it_answers(self.trigger)
        assert answer.status_code == 200, answer.text
        return self.until_it_sleeps()

    def until_it_sleeps(self) -> Json:
        """Wait until it sleeps after its last call; return its row."""
        server = self.until(
            lambda server: (server["desired"], server["state"]) == ("asleep", "stopped")
        )
        time.sleep(NEWS_SECONDS)
        return server

    def count_in_state(self, state: str) -> float:
        """Return the number of servers in a state from /metrics."""
        labels = {"model": self.name, "version": "1", "state": state}
        text = self._installation.http.get("/metrics").text
        return sample(text, "inference_server_state", **labels)

    def stop(self) -> None:
        """Stop the server as a user does."""
        self._installation.post(f"{self._url}stop/", {})
        time.sleep(NEWS_SECONDS)

    def trigger(self) -> httpx.Response:
        """Call the deployment."""
        return self._installation.trigger(self.deployment, json=ROW)


def until_it_answers(call: Callable[[], httpx.Response]) -> httpx.Response:
    """Retry after `Retry-After` seconds, as a client should."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while (answer := call()).status_code == 503:
        assert time.monotonic() < deadline, answer.text
        time.sleep(int(answer.headers["retry-after"]))
    return answer


@pytest.fixture(scope="module")
def shared_model(
    installation: Installation, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SleepingModel]:
    """A model for all tests that leave its idle timeout as it is."""
    made = SleepingModel(installation, tmp_path_factory.mktemp("dozy"))
    made.until_asleep()
    yield made
    made.stop()


@pytest.fixture
def sleeping_model(shared_model: SleepingModel) -> SleepingModel:
    """That model, whose server is asleep."""
    shared_model.until_it_sleeps()
    return shared_model


def test_a_sleeping_server_has_no_process_until_a_call_wakes_it(
    installation: Installation, sleeping_model: SleepingModel
) -> None:
    asleep = sleeping_model.server
    (process,) = asleep["processes"]
    assert (asleep["state"], process["pid"], process["address"]) == ("stopped", None, None)
    assert not installation.up.servers(f"{sleeping_model.name} 1")
    assert (sleeping_model.count_in_state("asleep"), sleeping_model.count_in_state("stopped")) == (
        1,
        0,
    )
    assert installation.http.get("/readyz").status_code == 200
    assert installation.http.get(f"/v2/models/{sleeping_model.name}/ready").status_code != 200
    time.sleep(NEWS_SECONDS)
    assert sleeping_model.server["desired"] == "asleep"  # the readiness request is not a call
    first = sleeping_model.trigger()
    assert first.status_code == 503
    problem = first.json()
    assert (problem["code"], problem["phase"]) == ("inference_server_booting", "spawning")
    assert problem["retryable"] is True
    assert 1 <= int(first.headers["retry-after"]) <= 10
    assert until_it_answers(sleeping_model.trigger).status_code == 200
    again = sleeping_model.until_asleep()
    assert (again["restarts"], again["reason"]) == (0, None)


def test_concurrent_calls_wake_a_server_once(
    installation: Installation, sleeping_model: SleepingModel
) -> None:
    def starts() -> int:
        lines = [line for line in installation.up.output if f"{sleeping_model.name} 1" in line]
        return len([line for line in lines if "process" in line])

    before = starts()
    with ThreadPoolExecutor(32) as callers:
        first = list(callers.map(lambda _: sleeping_model.trigger(), range(64)))
        assert {answer.status_code for answer in first} <= {200, 503}
        calls = callers.map(lambda _: until_it_answers(sleeping_model.trigger), range(64))
        assert {answer.status_code for answer in calls} == {200}
        assert len(installation.up.servers(f"{sleeping_model.name} 1")) == 1
    assert starts() == before + 1


@pytest.mark.long
def test_a_v2_call_wakes_a_server(
    installation: Installation, sleeping_model: SleepingModel
) -> None:
    def infer() -> httpx.Response:
        url = f"/v2/models/{sleeping_model.name}/infer"
        return installation.http.post(url, json={"inputs": [TENSOR]})

    index = installation.http.post("/v2/repository/index", json={}).json()
    (listed,) = [entry for entry in index if entry["name"] == sleeping_model.name]
    assert listed["state"] == "UNAVAILABLE"
    assert listed["reason"] == "asleep: a call starts its server"
    statistics = installation.http.get(f"/v2/models/{sleeping_model.name}/stats")
    assert "asleep" in statistics.json()["error"]
    first = infer()
    assert first.status_code == 503
    assert "booting" in first.json()["error"]
    assert until_it_answers(infer).status_code == 200


@pytest.mark.long
def test_a_grpc_call_wakes_a_server(
    installation: Installation, sleeping_model: SleepingModel
) -> None:
    tensor = triton_grpc.InferInput("x", [1, 4], "FP32")
    tensor.set_data_from_numpy(np.ones((1, 4), np.float32))
    headers = {"x-api-key": installation.key}
    deadline = time.monotonic() + TIMEOUT_SECONDS
    with triton_grpc.InferenceServerClient(f"127.0.0.1:{installation.up.grpc_port}") as client:
        with pytest.raises(InferenceServerException, match="booting") as caught:
            client.infer(sleeping_model.name, [tensor], headers=headers)
        assert caught.value.status() == "StatusCode.UNAVAILABLE"
        while True:
            try:
                client.infer(sleeping_model.name, [tensor], headers=headers)
                break
            except InferenceServerException as error:
                if error.status() != "StatusCode.UNAVAILABLE":
                    raise
                assert time.monotonic() < deadline
                time.sleep(0.1)


@pytest.fixture(scope="module")
def worker(installation: Installation) -> Iterator[None]:
    """`slipstream worker` beside the installation, which has none of its own."""
    state = str(installation.up.state)
    command = [sys.executable, "-m", "slipstream", "worker", "--concurrency", "2", "--state", state]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        assert process.stdout is not None
        assert any("ready for" in line for line in process.stdout)
        yield
        process.terminate()
    assert process.returncode == 0


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("kind", ["api", "server"])
@pytest.mark.long
def test_a_sync_run_wakes_a_server_and_waits_for_it(
    installation: Installation, sleeping_model: SleepingModel, kind: str
) -> None:
    flow = chain(sleeping_model.name)
    deployment = installation.deploy(flow, execution_mode="sync", deployment_type=kind)
    answer = installation.trigger(deployment, json=ROW)
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "completed"
    assert "y" in answer.json()["output_data"]


@pytest.mark.long
def test_a_user_can_wake_a_server_and_a_stopped_one_stays_stopped(
    installation: Installation, tmp_path: Path
) -> None:
    sleeping_model = SleepingModel(installation, tmp_path)
    sleeping_model.until_asleep()
    command = ("models", "serve", sleeping_model.name, "--idle-timeout", "0")
    assert installation.command(*command)["idle_timeout_seconds"] is None
    sleeping_model.until(lambda server: server["state"] == "ready")
    assert until_it_answers(sleeping_model.trigger).status_code == 200
    time.sleep(1.5)
    assert sleeping_model.server["state"] == "ready"
    sleeping_model.stop()
    refused = sleeping_model.trigger()
    assert (refused.status_code, refused.json()["code"]) == (409, "no_active_inference")
    assert (sleeping_model.count_in_state("asleep"), sleeping_model.count_in_state("stopped")) == (
        0,
        1,
    )
    time.sleep(NEWS_SECONDS)
    assert sleeping_model.server["desired"] == "stopped"


@pytest.fixture
def postgresql() -> Iterator[PostgresDatabase]:
    database = PostgresDatabase()
    database.create()
    yield database
    database.drop()


@pytest.mark.long
@pytest.mark.services
def test_a_sleeping_server_of_a_shared_process_survives_a_restart_on_postgresql(
    tmp_path: Path, postgresql: PostgresDatabase
) -> None:
    options = ("--no-demo", "--models-per-process", "4")
    environment = {"SLIPSTREAM_DATABASE_URL": postgresql.url}
    first = Up(tmp_path / "state", *options, **environment)
    first.until("documentation")
    installation = Installation(first)
    sleeping_model = SleepingModel(installation, tmp_path)
    sleeping_model.until_asleep()
    installation.stop()

    ports = {"port": first.port, "grpc_port": first.grpc_port}
    second = Up(tmp_path / "state", *options, **ports, **environment)
    second.until("documentation")
    assert sleeping_model.name not in "".join(second.output)
    restarted = Installation(second)
    assert restarted.http.get("/readyz").status_code == 200
    answer = until_it_answers(lambda: restarted.trigger(sleeping_model.deployment, json=ROW))
    assert answer.status_code == 200, answer.text
    (server,) = restarted.http.get(SERVERS).json()["items"]
    assert server["restarts"] == 0
    restarted.stop()
