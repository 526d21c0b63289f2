"""Why a model has failed to load is for those who manage it: it describes its inside."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest

from gateway.fleet.states import State
from tests.gateway.private_model import PRIVATE, PrivateModel
from tests.timing import TIMEOUT_SECONDS

WHY = "ONNX Runtime cannot load the model: node 'secret_layer' is invalid"
NOT_WHY = "the model failed to load"


async def fail(model: PrivateModel) -> None:
    """Share the model, have its server fail, and wait until the gateway knows."""
    await model.set_visibility("shared")
    container = model.gateway.container
    store = container.services.fleet.store
    server = await store.get(model.server_id)
    await store.observe(server.lead.id, state=State.FAILED, reason=WHY)
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while container.servers.failure(PRIVATE, 1) is None:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("path", [f"/v2/models/{PRIVATE}/infer", f"/v2/models/{PRIVATE}"])
async def test_callers_of_others_models_are_not_told_why_one_has_failed(
    private_model: PrivateModel, path: str
) -> None:
    await fail(private_model)

    async def ask(client: httpx.AsyncClient) -> tuple[int, str, str]:
        method = "POST" if path.endswith("infer") else "GET"
        answer = await client.request(method, path, content=b'{"inputs": []}')
        index = await client.post("/v2/repository/index")
        (listed,) = index.json()
        return answer.status_code, answer.json()["error"], listed["reason"]

    status, message, reason = await ask(private_model.owner.client)
    assert (status, reason) == (503, WHY)
    assert WHY in message
    for other in await private_model.others():
        if other.credential == "session":
            continue
        status, message, reason = await ask(other.client)
        assert (status, reason) == (503, NOT_WHY)
        assert NOT_WHY in message
        assert "secret" not in message


async def test_probes_do_not_say_why_a_model_has_failed(private_model: PrivateModel) -> None:
    await fail(private_model)
    readiness = private_model.gateway.container.readiness
    readiness.servers_known(has_hosts=True)
    reasons = [*readiness.reasons(), *readiness.degraded()]
    (told,) = [each for each in reasons if each.startswith("inference server")]
    assert told == f"inference server {PRIVATE} version 1: failed: {NOT_WHY}"
