"""The state of a server that answers calls while its row still says that it boots."""

from __future__ import annotations

import asyncio
import http

from prometheus_client.parser import text_string_to_metric_families

from gateway.auth.identity import Role, Scope
from gateway.fleet.states import Phase, State
from gateway.fleet.store import FleetStore
from tests.gateway.served_gateway import ServedGateway
from tests.gateway.test_fleet import SERVERS
from tests.inference_server.conftest import StartServer, publish, shared_server
from tests.timing import TIMEOUT_SECONDS

__all__ = ["publish", "shared_server"]

INPUTS = {
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1.0, 2.0, 3.0, 4.0]}]
}


async def test_after_the_first_answer_no_gateway_says_booting(
    served_gateway: ServedGateway, shared_server: StartServer
) -> None:
    store = FleetStore(served_gateway.db)
    row = await store.ensure_running("mlp", 1)
    # What the supervisor writes until the server is ready; its last word is missing.
    await store.observe(row.lead.id, state=State.BOOTING, phase=Phase.SPAWNING, pid=7)
    await store.observe(row.lead.id, phase=Phase.WARMING, address=shared_server("mlp").address)
    user = await served_gateway.user("ada@example.com", Role.OWNER)
    client = await served_gateway.key_client(user, Scope.MANAGE)
    container = served_gateway.container
    container.watcher.start()
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while True:
                called = await client.post("/v2/models/mlp/versions/1/infer", json=INPUTS)
                (listed,) = (await client.get(SERVERS)).json()["items"]
                if called.status_code == http.HTTPStatus.OK:
                    break
                await asyncio.sleep(0.01)
        assert (listed["state"], listed["phase"]) == ("ready", None)
        shown = (await client.get(f"{SERVERS}{row.id}/")).json()
        assert (shown["state"], shown["processes"][0]["pid"]) == ("ready", 7)
        assert await states_in_metrics(served_gateway) == ["ready"]
        assert (await store.get(row.id)).state == State.BOOTING
    finally:
        await container.watcher.stop()
        await container.servers.close()
    after = (await client.get(f"{SERVERS}{row.id}/")).json()
    assert (after["state"], after["phase"]) == ("booting", "warming")


async def states_in_metrics(gateway: ServedGateway) -> list[str]:
    text = (await gateway.client().get("/metrics")).text
    return [
        sample.labels["state"]
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "inference_server_state" and sample.value
    ]
