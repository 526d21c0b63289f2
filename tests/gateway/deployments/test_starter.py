"""The flow around a model that a user starts with."""

from __future__ import annotations

import pytest

from gateway.deployments.starter import starter_of
from gateway.models.pins import Pin, TensorSpec
from tests.gateway.in_process_gateway import InProcessGateway

MODELS = "/node/models/"
IMAGE = TensorSpec(name="image", datatype="FP32", shape=(-1, 3, 224, 224))


def pin(*inputs: TensorSpec) -> Pin:
    """Return a model with these inputs."""
    nothing: dict[str, str] = {}
    return Pin(
        model="m",
        version=1,
        sha256="0" * 64,
        inputs=inputs,
        outputs=(),
        unsupported_inputs=nothing,
        unsupported_outputs=nothing,
    )


async def test_the_starter_is_a_flow_that_can_be_saved_and_deployed(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    starter = (await user.get(f"{MODELS}mlp/versions/latest/starter/")).json()
    assert starter["test_data"] == {"x": [[0.5, 0.5, 0.5, 0.5]]}
    tensor = starter["input_schema"]["properties"]["x"]
    assert tensor["x-tensor"] == {"datatype": "FP32", "shape": [-1, 4]}
    assert starter["flow"]["nodes"][0]["config"] == {"test_data": starter["test_data"]}
    assert starter["flow"]["nodes"][1]["config"] == {"model": "mlp", "version": "latest"}

    saved = await user.post("/node/flows/", json={"name": "from the starter", **starter["flow"]})
    assert (saved.status_code, saved.json()["warnings"]) == (201, [])
    deployed = {"flow_id": saved.json()["id"], "execution_mode": "fast"}
    assert (await user.post("/node/deployments/", json=deployed)).status_code == 201


@pytest.mark.parametrize("version", ["1", "stable"])
async def test_the_flow_refers_to_the_version_as_it_was_asked_for(
    in_process_gateway: InProcessGateway, version: str
) -> None:
    user = await in_process_gateway.user()
    answer = await user.get(f"{MODELS}mlp/versions/{version}/starter/")
    assert answer.json()["flow"]["nodes"][1]["config"]["version"] == version


async def test_a_version_that_does_not_exist_has_none(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    for path in ("nothing/versions/latest", "mlp/versions/9", "mlp/versions/nightly"):
        assert (await user.get(f"{MODELS}{path}/starter/")).status_code == 404, path


def test_a_large_tensor_has_no_example() -> None:
    starter = starter_of(pin(IMAGE), "latest")
    assert starter.test_data is None
    assert starter.flow["nodes"][0]["config"] == {}
    assert starter.input_schema is not None
    assert starter.input_schema["required"] == ["image"]


def test_a_model_without_inputs_takes_nothing() -> None:
    starter = starter_of(pin(), "latest")
    assert (starter.input_schema, starter.test_data) == (None, None)
