"""The number of replicas follows the load, and several sleep together."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests import onnx_models
from tests.slipstream.running import NO_WORKER, Up
from tests.system.installation import Installation, Json, chain
from tests.system.one_installation.test_sleep import until_it_answers
from tests.timing import eventually

pytestmark = pytest.mark.processes

CALLERS = 8
BODY = {"input_data": {"x": [1.0]}}


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation with a model whose runs take 50 ms."""
    folder = tmp_path_factory.mktemp("scaling")
    up = Up(folder / "state", "--no-demo", *NO_WORKER, SLIPSTREAM_SCALE_DOWN_SECONDS="3")
    up.until("documentation")
    made = Installation(up)
    made.add_model("slow", onnx_models.slow_to_run(folder / "slow.onnx", 0.05))
    yield made
    made.stop()


@pytest.mark.long
def test_replicas_follow_the_load_and_sleep_without_any(installation: Installation) -> None:
    served = installation.command(
        *("models", "serve", "slow", "--replicas", "1..3", "--target-queue", "2"),
        *("--idle-timeout", "10", "--on", "host=elsewhere"),
    )
    assert served["replica_range"] == {"min": 1, "max": 3}
    url = f"/node/inference-servers/{served['id']}/"

    def shown() -> Json:
        found: Json = installation.http.get(url).json()
        return found

    deployment = installation.deploy(chain("slow"))
    eventually(shown, lambda server: "no host has the labels" in str(server["reason"]))
    answer = installation.trigger(deployment, json=BODY)
    assert answer.status_code == 503
    assert "host=elsewhere" in answer.json()["message"], "the caller sees what it waits for"
    assert installation.http.patch(url, json={"host_labels": {}}).status_code == 200
    assert until_it_answers(lambda: installation.trigger(deployment, json=BODY)).is_success
    assert shown()["replicas"] == 1

    ended = threading.Event()
    statuses: list[int] = []

    def call() -> None:
        while not ended.is_set():
            statuses.append(installation.trigger(deployment, json=BODY).status_code)

    callers = [threading.Thread(target=call) for _ in range(CALLERS)]
    for caller in callers:
        caller.start()
    grown = eventually(shown, lambda server: server["ready_replicas"] == 3)
    eventually(shown, lambda server: all((each["load"] or 0) > 1 for each in server["processes"]))
    ended.set()
    for caller in callers:
        caller.join()
    assert set(statuses) == {200}, "more replicas cost no call"
    shrunk = eventually(shown, lambda server: server["replicas"] == 1)
    assert shrunk["processes"][0]["pid"] == grown["processes"][0]["pid"]
    asleep = eventually(shown, lambda server: server["desired"] == "asleep")
    assert asleep["replicas"] == 1
    eventually(shown, lambda server: server["state"] == "stopped")
    assert until_it_answers(lambda: installation.trigger(deployment, json=BODY)).is_success
    lines = [line for line in installation.up.output if "slow 1" in line and "instead of" in line]
    assert "replicas: 3 instead of 1" in lines[0] or "replicas: 2 instead of 1" in lines[0]
    assert "replicas: 1 instead of" in lines[-1]
