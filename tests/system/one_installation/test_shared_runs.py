"""No answer depends on what other callers send at the same time, whatever the model does."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.grpc.aio as triton_grpc

from protos.parameters import OWNER
from tests import onnx_models
from tests.slipstream.running import Up
from tests.system.installation import Installation, chain
from tests.system.one_installation.test_private_models import Member

CALLS, AT_ONCE = 60, 12
Arrays = Mapping[str, np.ndarray]
Rows = list[list[float]]
Call = Callable[[str, Arrays], Awaitable[Rows]]
Made = Callable[[int, int], tuple[Arrays, Rows]]
DATATYPES = {"f": "FP32", "i": "INT64"}
DECLARED = "declared-rows"
"""A model that copies rows, served as if its rows were independent."""


def row_copies(caller: int, number: int) -> tuple[Arrays, Rows]:
    """The author, caller 0, makes the model copy what lies beside its row."""
    row = [1000.0 + number, 1.0] if caller == 0 else [caller + number / 1024, number]
    return {"x": np.array([row], "f4")}, [row]


def row_scales(caller: int, number: int) -> tuple[Arrays, Rows]:
    """Caller 0 sends large values: a shared scale leaves nothing of small ones."""
    row = [1_000_000 + number, 0] if caller == 0 else [caller, 0]
    return {"x": np.array([row], "i8")}, [[float(value) for value in row]]


def own_scale(caller: int, number: int) -> tuple[Arrays, Rows]:
    """Each sends a `scale` of its own; two of them beside each other fit the columns of `x`."""
    scale = 777.0 if caller == 0 else 10.0 * caller
    return (
        {"x": np.array([[1, number]], "f4"), "scale": np.array([scale], "f4")},
        [[scale, scale * number]],
    )


MODELS = {
    "copies-rows": (onnx_models.copies_rows, row_copies),
    "scaled-over-rows": (onnx_models.scaled_over_rows, row_scales),
    "optional-scale": (onnx_models.optional_scale, own_scale),
}


@pytest.fixture(scope="module")
def author(installation: Installation) -> Iterator[Member]:
    """A member who uploads a model that copies the rows of others."""
    made = Member(installation, "mallory")
    yield made
    made.http.close()


@pytest.fixture(scope="module")
def deployments(
    installation: Installation, author: Member, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, str]:
    """Serve the shared models of the author; return a deployment for each."""
    folder, found = tmp_path_factory.mktemp("rows"), {}
    for name, (build, _) in MODELS.items():
        answer = author.http.post(
            "/node/models/",
            params={"name": name, "visibility": "shared"},
            content=build(folder / f"{name}.onnx").read_bytes(),
            headers={"content-type": "application/octet-stream"},
        )
        assert answer.status_code == 201, answer.text
        installation.serve(name)
        flow = {**chain(name), "name": name}
        found[name] = installation.deploy(flow)
    return found


def json_tensors(arrays: Arrays) -> list[dict[str, object]]:
    """Return tensors as /v2 takes them in JSON."""
    return [
        {
            "name": name,
            "datatype": DATATYPES[array.dtype.kind],
            "shape": array.shape,
            "data": array.ravel().tolist(),
        }
        for name, array in arrays.items()
    ]


@dataclass(frozen=True)
class Clients:
    """Ways to call one model, each with the key of a caller."""

    model: str
    deployment: str
    http: httpx.AsyncClient
    channel: triton_grpc.InferenceServerClient
    parameters: Mapping[str, str] | None = None
    """Of each call, where the way has some."""

    async def v2(self, key: str, arrays: Arrays) -> Rows:
        """Call by the Open Inference Protocol, in JSON."""
        body = {"inputs": json_tensors(arrays), "parameters": self.parameters or {}}
        answer = await self._post(f"/v2/models/{self.model}/infer", key, body)
        (output,) = answer["outputs"]
        rows: Rows = np.array(output["data"]).reshape(output["shape"]).tolist()
        return rows

    async def rest(self, key: str, arrays: Arrays) -> Rows:
        """Call the deployment."""
        body = {"input_data": {name: array.tolist() for name, array in arrays.items()}}
        answer = await self._post(f"/node/deployment-trigger/{self.deployment}/", key, body)
        rows: Rows = answer["output_data"]["y"]
        return rows

    async def grpc(self, key: str, arrays: Arrays) -> Rows:
        """Call by the Open Inference Protocol, over gRPC."""
        inputs = []
        for name, array in arrays.items():
            tensor = triton_grpc.InferInput(name, array.shape, DATATYPES[array.dtype.kind])
            tensor.set_data_from_numpy(array)
            inputs.append(tensor)
        answer = await self.channel.infer(
            self.model, inputs, headers={"x-api-key": key}, parameters=self.parameters
        )
        rows: Rows = answer.as_numpy("y").tolist()
        return rows

    # Any: what JSON holds
    async def _post(self, path: str, key: str, body: Mapping[str, object]) -> dict[str, Any]:
        answer = await self.http.post(path, json=body, headers={"x-api-key": key})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


async def wrong_answers(call: Call, keys: Sequence[str], made: Made) -> list[object]:
    """Have several callers call at once, again and again; return the answers that differ."""
    wrong: list[object] = []
    numbers = iter(range(CALLS))

    async def repeat(caller: int) -> None:
        for number in numbers:
            arrays, expected = made(caller, number)
            answer = await call(keys[caller], arrays)
            if not np.allclose(answer, expected, rtol=0.01):
                wrong.append((caller, answer, expected))

    await asyncio.gather(*[repeat(each % len(keys)) for each in range(AT_ONCE)])
    return wrong


async def called_at_once(
    up: Up, name: str, deployment: str, transport: str, keys: Sequence[str]
) -> list[object]:
    """Return the wrong answers of calls with these keys."""
    async with (
        httpx.AsyncClient(base_url=up.url) as http,
        triton_grpc.InferenceServerClient(f"127.0.0.1:{up.grpc_port}") as channel,
    ):
        clients = Clients(name, deployment, http, channel)
        calls: dict[str, Call] = {"rest": clients.rest, "v2": clients.v2, "grpc": clients.grpc}
        return await wrong_answers(calls[transport], keys, MODELS[name][1])


@pytest.mark.parametrize("transport", ["rest", "v2", "grpc"])
@pytest.mark.parametrize("name", MODELS)
def test_answers_are_those_of_a_call_alone(
    installation: Installation,
    author: Member,
    deployments: Mapping[str, str],
    name: str,
    transport: str,
) -> None:
    other_key = installation.command("keys", "create", "--name", "another", "--manage")["key"]
    keys = [author.key, installation.key, other_key]
    if transport == "rest":
        keys = [installation.key, other_key]  # a deployment is called with keys of its owner
    found = called_at_once(installation.up, name, deployments[name], transport, keys)
    assert not asyncio.run(found)


@pytest.fixture(scope="module")
def declared(
    installation: Installation, author: Member, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, str]:
    """Serve the model whose rows are declared independent; return a deployment for each key."""
    folder = tmp_path_factory.mktemp("declared")
    answer = author.http.post(
        "/node/models/",
        params={"name": DECLARED, "visibility": "shared"},
        content=onnx_models.copies_rows(folder / "model.onnx").read_bytes(),
        headers={"content-type": "application/octet-stream"},
    )
    assert answer.status_code == 201, answer.text
    installation.serve(DECLARED, batching="declared")
    other_key = installation.command("keys", "create", "--name", "second", "--manage")["key"]
    ours = installation.deploy({**chain(DECLARED), "name": DECLARED})
    flow = author.http.post("/node/flows/", json={**chain(DECLARED), "name": DECLARED}).json()
    body = {"flow_id": flow["id"], "execution_mode": "fast"}
    theirs = author.http.post("/node/deployments/", json=body).json()["id"]
    return {author.key: theirs, installation.key: ours, other_key: ours}


@pytest.mark.parametrize("transport", ["rest", "v2", "grpc"])
def test_declared_rows_share_runs_with_those_of_the_same_owner_only(
    installation: Installation, declared: Mapping[str, str], transport: str
) -> None:
    users = installation.http.get("/node/users/").json()["items"]
    victim = next(user["id"] for user in users if user["role"] == "owner")
    found, shared = asyncio.run(_call_declared(installation.up, declared, transport, victim))
    assert not found
    assert shared


async def _call_declared(
    up: Up, deployments: Mapping[str, str], transport: str, victim: str
) -> tuple[list[object], int]:
    """Have the author, who says to be `victim`, call beside two keys of the victim.

    Return the wrong answers, and how many calls were in a run with others.
    """
    async with (
        httpx.AsyncClient(base_url=up.url, timeout=60) as http,
        triton_grpc.InferenceServerClient(f"127.0.0.1:{up.grpc_port}") as channel,
    ):

        async def call(key: str, arrays: Arrays) -> Rows:
            clients = Clients(DECLARED, deployments[key], http, channel, {OWNER: victim})
            ways: dict[str, Call] = {"rest": clients.rest, "v2": clients.v2, "grpc": clients.grpc}
            return await ways[transport](key, arrays)

        async def counted() -> tuple[int, int]:
            headers = {"x-api-key": next(iter(deployments))}
            (stats,) = (
                await channel.get_inference_statistics(DECLARED, headers=headers)
            ).model_stats
            return stats.inference_count, stats.execution_count

        before = await counted()
        author, *ours = deployments
        keys = [author, *itertools.islice(itertools.cycle(ours), AT_ONCE - 1)]  # one call of theirs
        wrong: list[object] = []
        for _ in range(20):  # until calls have arrived together
            wrong += await wrong_answers(call, keys, row_copies)
            calls, runs = [now - then for now, then in zip(await counted(), before, strict=True)]
            if calls > runs:
                break
        return wrong, calls - runs
