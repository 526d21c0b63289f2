"""Inference servers that sleep when nobody calls, and are woken by a call, by whichever door."""

from __future__ import annotations

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
from tests.slipstream.running import Up
from tests.system.installation import PATIENCE, Installation, Json, chain
from tests.system.test_metrics import sample

ROW = {"input_data": {"x": [[1, 2, 3, 4]]}}
TENSOR = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}


class Sleeper:
    """A model whose server sleeps after a second without a call, and its deployment."""

    def __init__(self, installation: Installation, name: str, folder: Path) -> None:
        self.name = name
        self._installation = installation
        installation.add_model(name, onnx_models.mlp(folder / f"{name}.onnx"))
        self.deployment = installation.deploy(chain(name))
        body = {"model": name, "idle_timeout_seconds": 1}
        self._url = f"/node/inference-servers/{installation.post('/node/inference-servers/', body)['id']}/"

    @property
    def server(self) -> Json:
        """Its row."""
        shown: Json = self._installation.http.get(self._url).json()
        return shown

    def until(self, true: Callable[[Json], bool]) -> Json:
        """Return its row as soon as something is true of it."""
        deadline = time.monotonic() + PATIENCE
        while not true(server := self.server):
            assert time.monotonic() < deadline, server
            time.sleep(0.05)
        return server

    def until_asleep(self) -> Json:
        """Return its row when it sleeps, and every gateway has heard of it."""
        server = self.until(lambda server: server["desired"] == "asleep")
        self.until_measured("asleep")
        return server

    def until_measured(self, state: str) -> None:
        """Return when /metrics shows the state."""
        deadline = time.monotonic() + PATIENCE
        labels = {"model": self.name, "version": "1", "state": state}
        while True:
            text = self._installation.http.get("/metrics").text
            if sample(text, "inference_server_state", **labels) >= 1:
                return
            assert time.monotonic() < deadline, text
            time.sleep(0.05)

    def stop(self) -> Json:
        """Have a person stop it."""
        return self._installation.post(f"{self._url}stop/", {})

    def trigger(self) -> httpx.Response:
        """Call its deployment."""
        return self._installation.trigger(self.deployment, json=ROW)

    def until_it_answers(self, call: Callable[[], httpx.Response]) -> httpx.Response:
        """Do as a client should: come again after as long as one is told."""
        deadline = time.monotonic() + PATIENCE
        while (answer := call()).status_code == 503:
            assert time.monotonic() < deadline, answer.text
            time.sleep(int(answer.headers["retry-after"]))
        return answer


@pytest.fixture
def sleeper(
    installation: Installation, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Sleeper]:
    """A model of this test's own, which sleeps."""
    made = Sleeper(installation, request.node.name[5:40].strip("_"), tmp_path)
    yield made
    made.stop()


def test_sleeps_and_is_woken_by_a_trigger(installation: Installation, sleeper: Sleeper) -> None:
    asleep = sleeper.until_asleep()
    assert (asleep["state"], asleep["pid"], asleep["address"]) == ("stopped", None, None)
    assert not installation.up.servers(sleeper.name[:15])
    assert installation.http.get("/readyz").status_code == 200
    assert installation.http.get(f"/v2/models/{sleeper.name}/ready").status_code != 200
    time.sleep(0.5)
    assert sleeper.server["desired"] == "asleep"  # nobody has called it
    first = sleeper.trigger()
    assert first.status_code == 503
    problem = first.json()
    assert (problem["code"], problem["phase"]) == ("inference_server_booting", "spawning")
    assert problem["retryable"] is True
    assert int(first.headers["retry-after"]) >= 1
    answer = sleeper.until_it_answers(sleeper.trigger)
    assert answer.status_code == 200, answer.text
    woken = sleeper.server
    assert (woken["desired"], woken["restarts"], woken["reason"]) == ("running", 0, None)
    again = sleeper.until_asleep()
    assert again["restarts"] == 0


def test_sleeps_and_is_woken_once_by_many(installation: Installation, sleeper: Sleeper) -> None:
    sleeper.until_asleep()
    with ThreadPoolExecutor(32) as callers:
        first = list(callers.map(lambda _: sleeper.trigger(), range(64)))
        assert {answer.status_code for answer in first} <= {200, 503}
        calls = callers.map(lambda _: sleeper.until_it_answers(sleeper.trigger), range(64))
        assert {answer.status_code for answer in calls} == {200}
    assert sleeper.server["restarts"] == 0
    assert len(installation.up.servers(sleeper.name[:15])) == 1


def test_sleeps_and_is_woken_under_v2(installation: Installation, sleeper: Sleeper) -> None:
    def infer() -> httpx.Response:
        url = f"/v2/models/{sleeper.name}/infer"
        return installation.http.post(url, json={"inputs": [TENSOR]})

    sleeper.until_asleep()
    index = installation.http.post("/v2/repository/index", json={}).json()
    (listed,) = [entry for entry in index if entry["name"] == sleeper.name]
    assert (listed["state"], listed["reason"]) == ("UNAVAILABLE", "asleep: a call starts its server")
    statistics = installation.http.get(f"/v2/models/{sleeper.name}/stats")
    assert "asleep" in statistics.json()["error"]
    first = infer()
    assert first.status_code == 503
    assert "booting" in first.json()["error"]
    assert sleeper.until_it_answers(infer).status_code == 200


def test_sleeps_and_is_woken_at_the_door(installation: Installation, sleeper: Sleeper) -> None:
    tensor = triton_grpc.InferInput("x", [1, 4], "FP32")
    tensor.set_data_from_numpy(np.ones((1, 4), np.float32))
    headers = {"x-api-key": installation.key}
    sleeper.until_asleep()
    deadline = time.monotonic() + PATIENCE
    with triton_grpc.InferenceServerClient(f"127.0.0.1:{installation.up.grpc_port}") as client:
        with pytest.raises(InferenceServerException, match="booting"):
            client.infer(sleeper.name, [tensor], headers=headers)
        while True:
            try:
                client.infer(sleeper.name, [tensor], headers=headers)
                break
            except InferenceServerException as error:
                assert error.status() == "StatusCode.UNAVAILABLE"
                assert time.monotonic() < deadline
                time.sleep(0.1)


def test_sleeps_until_a_person_says_so(installation: Installation, sleeper: Sleeper) -> None:
    sleeper.until_asleep()
    command = ("models", "serve", sleeper.name, "--idle-timeout", "0")
    assert installation.command(*command)["idle_timeout_seconds"] is None
    sleeper.until(lambda server: server["state"] == "ready")
    assert sleeper.until_it_answers(sleeper.trigger).status_code == 200
    time.sleep(1.5)
    assert sleeper.server["state"] == "ready"
    sleeper.stop()
    sleeper.until_measured("stopped")
    refused = sleeper.trigger()
    assert (refused.status_code, refused.json()["code"]) == (409, "no_active_inference")
    assert sleeper.server["desired"] == "stopped"


@pytest.fixture
def postgresql() -> Iterator[PostgresDatabase]:
    database = PostgresDatabase()
    database.create()
    yield database
    database.drop()


def test_a_restarted_installation_lets_it_sleep_on(
    tmp_path: Path, postgresql: PostgresDatabase
) -> None:
    options = ("--no-demo", "--models-per-process", "4")
    first = Up(tmp_path / "state", *options, SLIPSTREAM_DATABASE_URL=postgresql.url)
    first.until("documentation")
    installation = Installation(first)
    sleeper = Sleeper(installation, "dozy", tmp_path)
    sleeper.until_asleep()
    installation.stop()

    second = Up(
        tmp_path / "state",
        *options,
        port=first.port,
        grpc_port=first.grpc_port,
        SLIPSTREAM_DATABASE_URL=postgresql.url,
    )
    second.until("documentation")
    assert "dozy 1" not in "".join(second.output)
    restarted = Installation(second)
    assert restarted.http.get("/readyz").status_code == 200
    deadline = time.monotonic() + PATIENCE
    while (answer := restarted.trigger(sleeper.deployment, json=ROW)).status_code == 503:
        assert time.monotonic() < deadline, answer.text
        time.sleep(int(answer.headers["retry-after"]))
    assert answer.status_code == 200, answer.text
    (server,) = restarted.http.get("/node/inference-servers/").json()["items"]
    assert (server["desired"], server["restarts"]) == ("running", 0)
    restarted.stop()
