"""The inference servers that a deployment in mode fast starts, and the warnings of the others."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from gateway.fleet.states import Desired
from tests.gateway.in_process_gateway import DEPLOYMENTS, InProcessGateway, deploy, flow_json

SERVERS = "/node/inference-servers/"


async def servers(user: httpx.AsyncClient) -> list[tuple[str, int, str]]:
    """Return model, version and desired state of each inference server."""
    items = (await user.get(SERVERS)).json()["items"]
    return [(server["model"], server["version"], server["desired"]) for server in items]


def codes(answer: dict[str, Any]) -> list[tuple[str, str, int]]:
    """Return what the warnings of an answer are about."""
    return [(each["code"], each["model"], each["version"]) for each in answer["warnings"]]


NOT_SERVED = [("model_not_served", "mlp", 2)]


async def test_a_fast_deployment_starts_the_server_that_it_needs(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await deploy(user, flow_json(), execution_mode="fast")
    assert made["warnings"] == []
    assert await servers(user) == [("mlp", 2, "running")]
    events = (await user.get("/node/audit/")).json()
    assert "inference_server.create" in [event["action"] for event in events["items"]]
    again = await deploy(user, flow_json(), execution_mode="fast")
    assert again["warnings"] == []
    assert await servers(user) == [("mlp", 2, "running")]


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_change_to_mode_fast_starts_the_server_and_until_then_there_is_a_warning(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await deploy(user, flow_json())
    assert codes(made) == NOT_SERVED
    assert await servers(user) == []
    (warning,) = made["warnings"]
    assert "`slipstream models serve mlp --version 2`" in warning["message"]
    url = f"{DEPLOYMENTS}{made['id']}/"
    renamed = (await user.patch(url, json={"name": "Renamed"})).json()
    redeployed = (await user.post(f"{url}redeploy/")).json()
    (listed,) = (await user.get(DEPLOYMENTS)).json()["items"]
    assert codes(renamed) == codes(redeployed) == codes(listed) == NOT_SERVED
    changed = (await user.patch(url, json={"execution_mode": "fast"})).json()
    assert changed["warnings"] == []
    assert await servers(user) == [("mlp", 2, "running")]


async def test_a_server_that_a_user_has_stopped_stays_stopped_with_a_warning(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    server = (await user.post(SERVERS, json={"model": "mlp", "version": 2})).json()
    await user.post(f"{SERVERS}{server['id']}/stop/")
    made = await deploy(user, flow_json(), execution_mode="fast")
    assert (made["http"], codes(made)) == (201, NOT_SERVED)
    assert "was stopped" in made["warnings"][0]["message"]
    assert await servers(user) == [("mlp", 2, "stopped")]
    url = f"{DEPLOYMENTS}{made['id']}/"
    promoted = (await user.post(f"{url}versions/1/promote/")).json()
    assert promoted["warnings"] == []
    assert await servers(user) == [("mlp", 2, "running")]


async def test_a_server_that_is_asleep_is_left_asleep_without_a_warning(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    store = in_process_gateway.services.fleet.store
    server = await store.ensure_running("mlp", 2)
    await store.mark_asleep(server.lead.id, server.generation)
    made = await deploy(user, flow_json(), execution_mode="fast")
    assert made["warnings"] == []
    assert (await store.get(server.id)).desired == Desired.ASLEEP


async def test_a_refused_deployment_starts_no_server(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    refused = await deploy(user, flow_json(inputs={"x": "input.a + 1"}), execution_mode="fast")
    assert refused["code"] == "invalid_flow"
    assert await servers(user) == []
