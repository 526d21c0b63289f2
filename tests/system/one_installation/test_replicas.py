"""A model that several processes run: calls are shared, and one that ends takes only its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
import tritonclient.grpc as triton_grpc

from tests.metrics_text import sample
from tests.system.installation import Installation, chain
from tests.timing import TIMEOUT_SECONDS, eventually

CALLERS = 8

# Any, here and below: JSON
Json = dict[str, Any]


@pytest.fixture
def server(installation: Installation) -> Iterator[Json]:
    """The inference server of a model, with two replicas that are ready."""
    installation.command("models", "serve", "mlp", "--replicas", "2")
    listed = installation.http.get("/node/inference-servers/").json()["items"]
    (found,) = [server for server in listed if server["model"] == "mlp"]
    ready = until_ready(installation, found["id"], 2)
    # A replica that is ready gets calls when the gateways have connected to it.
    eventually(lambda: connected(installation), lambda counts: counts == {2})
    yield ready
    answer = installation.http.patch(
        f"/node/inference-servers/{found['id']}/", json={"replicas": 1}
    )
    assert (answer.status_code, answer.json()["replicas"]) == (200, 1)


def connected(installation: Installation) -> set[float]:
    """Return to how many replicas of the model gateways are connected: each says it of itself."""
    name, url = "inference_server_connected_replicas", f"{installation.up.url}/metrics"
    texts = [httpx.get(url).text for _ in range(6)]  # a connection each, so that all are asked
    return {sample(text, name, model="mlp") for text in texts}


def until_ready(installation: Installation, server_id: str, replicas: int) -> Json:
    url = f"/node/inference-servers/{server_id}/"
    return eventually(
        lambda: installation.http.get(url).json(),
        lambda shown: shown["ready_replicas"] == replicas,
    )


def until_replaced(installation: Installation, before: Json) -> Json:
    return eventually(
        lambda: until_ready(installation, before["id"], 2),
        lambda shown: shown["processes"][0]["pid"] != before["processes"][0]["pid"],
    )


def counts(installation: Installation) -> Json:
    found: Json = installation.http.get("/v2/models/mlp/stats").json()["model_stats"][0]
    return found


async def test_a_killed_replica_fails_only_the_calls_in_flight_on_it(
    installation: Installation, server: Json
) -> None:
    deployment = installation.deploy(chain("mlp"))
    outcomes: list[tuple[float, int]] = []
    running = True

    async def call(client: httpx.AsyncClient) -> None:
        body = {"input_data": {"x": [[1, 2, 3, 4]]}}
        while running:
            began = time.monotonic()
            answer = await client.post(f"/node/deployment-trigger/{deployment}/", json=body)
            outcomes.append((began, answer.status_code))

    async with httpx.AsyncClient(
        base_url=installation.up.url, headers={"X-API-Key": installation.key}, timeout=30
    ) as client:
        callers = [asyncio.create_task(call(client)) for _ in range(CALLERS)]
        await asyncio.sleep(1)
        killed = time.monotonic()
        psutil.Process(server["processes"][0]["pid"]).kill()
        after = await asyncio.to_thread(until_replaced, installation, server)
        await asyncio.sleep(0.5)
        running = False
        await asyncio.gather(*callers)

    failed = [began for began, status in outcomes if status != httpx.codes.OK]
    assert len(failed) <= CALLERS, "each had one call in flight"
    assert all(began < killed + 0.5 for began in failed), "a later call went to the killed replica"
    assert len([began for began, _ in outcomes if began > killed + 0.5]) > CALLERS
    assert after["restarts"] == server["restarts"] + 1
    assert after["processes"][1]["pid"] == server["processes"][1]["pid"]


@pytest.mark.long
async def test_fewer_replicas_fail_no_call(installation: Installation, server: Json) -> None:
    deployment = installation.deploy(chain("mlp"))
    url = f"/node/inference-servers/{server['id']}/"
    statuses: list[int] = []
    running = True

    async def call(client: httpx.AsyncClient) -> None:
        body = {"input_data": {"x": [[1, 2, 3, 4]]}}
        while running:
            answer = await client.post(f"/node/deployment-trigger/{deployment}/", json=body)
            statuses.append(answer.status_code)

    async with httpx.AsyncClient(
        base_url=installation.up.url, headers={"X-API-Key": installation.key}, timeout=30
    ) as client:
        callers = [asyncio.create_task(call(client)) for _ in range(CALLERS)]
        await asyncio.sleep(0.5)
        answer = await client.patch(url, json={"replicas": 1})
        assert answer.json()["replicas"] == 1
        leaving = psutil.Process(server["processes"][1]["pid"])
        await asyncio.to_thread(leaving.wait, TIMEOUT_SECONDS)
        await asyncio.sleep(0.2)
        running = False
        await asyncio.gather(*callers)
    assert set(statuses) == {httpx.codes.OK}


def test_both_replicas_take_calls_and_are_counted_together(
    installation: Installation, server: Json
) -> None:
    deployment = installation.deploy(chain("mlp"))
    before = counts(installation)
    for _ in range(20):
        installation.trigger(deployment, json={"input_data": {"x": [[1, 2, 3, 4]]}})
    after = counts(installation)
    assert int(after["inference_count"]) - int(before["inference_count"]) == 20
    targets = installation.http.get("/metrics/targets").json()
    mine = [each for each in targets if each["labels"]["served_model"] == "mlp"]
    assert {each["labels"]["replica"] for each in mine} == {"0", "1"}
    assert len({each["targets"][0] for each in mine}) == 2
    shared = [httpx.get(f"http://{each['targets'][0]}/metrics").text for each in mine]
    assert all("inference_requests_total" in text for text in shared)


@pytest.mark.long
@pytest.mark.usefixtures("server")
def test_the_calls_of_a_sequence_stay_with_one_replica(installation: Installation) -> None:
    def answered() -> list[float]:
        """Return how many calls each replica has answered."""
        targets = installation.http.get("/metrics/targets").json()
        texts = [
            httpx.get(f"http://{each['targets'][0]}/metrics").text
            for each in targets
            if each["labels"]["served_model"] == "mlp"
        ]
        return [sample(text, "inference_requests_total") for text in texts]

    x = np.ones((1, 4), np.float32)
    body = {"name": "x", "shape": [1, 4], "datatype": "FP32", "data": x.tolist()}
    tensor = triton_grpc.InferInput("x", [1, 4], "FP32")
    tensor.set_data_from_numpy(x)
    headers = {"x-api-key": installation.key}
    before = answered()
    assert len(before) == 2
    with triton_grpc.InferenceServerClient(f"127.0.0.1:{installation.up.grpc_port}") as client:
        for _ in range(10):
            client.infer("mlp", [tensor], headers=headers, sequence_id=7)
            request = {"inputs": [body], "parameters": {"sequence_id": 7}}
            assert installation.http.post("/v2/models/mlp/infer", json=request).is_success
    for wrong in (True, 1.5, "x" * 257):
        request = {"inputs": [body], "parameters": {"sequence_id": wrong}}
        refused = installation.http.post("/v2/models/mlp/infer", json=request)
        assert refused.status_code == 400
        assert "parameter 'sequence_id': expected text of at most 256" in refused.text
    added = [after - had for had, after in zip(before, answered(), strict=True)]
    assert sorted(added) == [0, 20]


def test_replicas_are_started_and_stopped(installation: Installation, server: Json) -> None:
    url = f"/node/inference-servers/{server['id']}/"
    pids = [process["pid"] for process in server["processes"]]
    assert installation.http.patch(url, json={"replicas": 3}).json()["replicas"] == 3
    grown = until_ready(installation, server["id"], 3)
    assert [process["pid"] for process in grown["processes"]][:2] == pids
    assert installation.http.patch(url, json={"replicas": 1}).json()["replicas"] == 1
    gone = [process["pid"] for process in grown["processes"][1:]]
    eventually(lambda: any(map(psutil.pid_exists, gone)), lambda left: not left)
    assert psutil.pid_exists(pids[0])
    assert until_ready(installation, server["id"], 1)["processes"][0]["pid"] == pids[0]


@pytest.mark.parametrize(
    "kind", ["fast", *(pytest.param(k, marks=pytest.mark.long) for k in ("sync", "v2"))]
)
async def test_a_replica_that_is_told_to_end_fails_no_call(
    installation: Installation, server: Json, kind: str
) -> None:
    path = "/v2/models/mlp/infer"
    body: Json = {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]
    }
    if kind != "v2":
        deployment = installation.deploy(
            chain("mlp"), execution_mode=kind, deployment_type="server"
        )
        path = f"/node/deployment-trigger/{deployment}/"
        body = {"input_data": {"x": [[1, 2, 3, 4]]}}
    answers: list[str] = []
    running = True

    async def call(client: httpx.AsyncClient) -> None:
        while running:
            answer = await client.post(path, json=body)
            answers.append("" if answer.is_success else answer.text)

    async with httpx.AsyncClient(
        base_url=installation.up.url, headers={"X-API-Key": installation.key}, timeout=30
    ) as client:
        callers = [asyncio.create_task(call(client)) for _ in range(CALLERS)]
        await asyncio.sleep(0.5)
        psutil.Process(server["processes"][0]["pid"]).terminate()
        await asyncio.to_thread(until_replaced, installation, server)
        await asyncio.sleep(0.2)
        running = False
        await asyncio.gather(*callers)
    assert len(answers) > CALLERS
    assert set(answers) == {""}
