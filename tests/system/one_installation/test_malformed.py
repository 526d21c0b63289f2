"""A thousand malformed requests cause no traceback, no dead process and no memory leak."""

from __future__ import annotations

import random

import grpc
import httpx
import numpy as np
import orjson
import psutil

from protos import open_inference_pb2 as pb
from protos.methods import SERVICE
from tests.system.installation import Installation, chain

GOOD_JSON = orjson.dumps({"input_data": {"x": [[5.1, 3.5, 1.4, 0.2]]}})
GOOD_V2 = orjson.dumps(
    {
        "id": "1",
        "parameters": {"timeout": 100000},
        "inputs": [
            {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [5.1, 3.5, 1.4, 0.2]}
        ],
        "outputs": [{"name": "label", "parameters": {"binary_data": False}}],
    }
)
GOOD_MESSAGE = pb.ModelInferRequest(
    model_name="iris",
    inputs=[pb.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[1, 4])],
    raw_input_contents=[np.ones(4, np.float32).tobytes()],
).SerializeToString()
EXPECTED = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.UNIMPLEMENTED,
}
PIECES = [b"null", b"-1", b"1e999", b"[[]]", b'""', b"{", b"\x00", b"\xff", b"99999999999999999999"]


def mutated(source: random.Random, good: bytes) -> bytes:
    """Return `good` with a few bytes changed, deleted, duplicated or replaced by special values."""
    data = bytearray(good)
    for _ in range(source.randint(1, 4)):
        place = source.randrange(len(data) + 1)
        match source.randrange(4):
            case 0:
                data[place : place + 1] = bytes([source.randrange(256)])
            case 1:
                del data[place : place + source.randint(1, 8)]
            case 2:
                data[place:place] = data[place : place + source.randint(1, 20)]
            case _:
                data[place : place + source.randint(0, 6)] = source.choice(PIECES)
    return bytes(data)


def fuzz(installation: Installation, deployment: str, seed: int, count: int) -> None:
    """Send `count` malformed requests of each kind and check every response."""
    source = random.Random(seed)
    paths = [
        (f"/node/deployment-trigger/{deployment}/", GOOD_JSON),
        ("/v2/models/iris/infer", GOOD_V2),
    ]
    with grpc.insecure_channel(f"127.0.0.1:{installation.up.grpc_port}") as channel:
        raw_infer = channel.unary_unary(f"/{SERVICE}/ModelInfer")
        for _ in range(count):
            for path, good in paths:
                headers = {"content-type": "application/json"}
                if source.random() < 0.2:
                    headers["inference-header-content-length"] = str(source.randint(-5, 300))
                answer = installation.http.post(
                    path, content=mutated(source, good), headers=headers
                )
                check(answer)
            metadata = (("x-api-key", installation.key),)
            call = raw_infer.future(mutated(source, GOOD_MESSAGE), metadata=metadata)
            assert call.code() in EXPECTED, call.details()
            assert "Traceback" not in (call.details() or "")


def check(answer: httpx.Response) -> None:
    """Assert that a response is well-formed for any request."""
    assert answer.status_code < 500 or answer.status_code == 501, answer.text
    document = answer.json()
    assert "Traceback" not in answer.text
    assert answer.is_success or document.get("error") or document.get("code")


def memory(installation: Installation) -> float:
    """Return the memory of the gateways and the inference server, in MiB."""
    children = installation.up.gateways() + installation.up.children("iris")
    return sum(child.memory_info().rss for child in children) / 2**20


def test_malformed_requests_do_not_affect_other_calls(installation: Installation) -> None:
    deployment = installation.deploy(chain("iris"))
    up = installation.up
    before = {child.pid for child in up.gateways() + up.servers()}
    fuzz(installation, deployment, seed=1, count=150)
    warm = memory(installation)
    fuzz(installation, deployment, seed=2, count=350)
    grown = memory(installation) - warm
    assert {child.pid for child in up.gateways() + up.servers()} == before
    assert grown < 8, f"{grown:.1f} MiB more"
    answer = installation.trigger(deployment, content=GOOD_JSON)
    assert answer.is_success
    assert psutil.pid_exists(installation.up.process.pid)
