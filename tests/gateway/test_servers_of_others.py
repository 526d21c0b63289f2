"""What a user sees of the inference server of a shared model that another one manages."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from gateway.auth.identity import Role
from gateway.storage.tables import InferenceServer
from tests.gateway.in_process_gateway import flow_json
from tests.gateway.private_model import FLOWS, MODELS, PRIVATE, SERVERS, PrivateModel

pytestmark = pytest.mark.databases("sqlite", "postgresql")

PID, MEMORY = 987_654, 123_456_789
SOCKET, METRICS, REASON = "unix:/state/run/x-1.sock", "10.0.0.7:9100", "Load model from /state/…"
TELLING = (SOCKET, METRICS, REASON, str(PID), str(MEMORY), "secret-rack")


async def run_server(shared: PrivateModel) -> str:
    """Have the server run on a machine for a flow of its owner's, and return the flow's id."""
    flow = (await shared.owner.client.post(FLOWS, json=flow_json(PRIVATE))).json()
    async with shared.gateway.db.write() as session:
        query = select(InferenceServer).where(InferenceServer.id == shared.server_id)
        server = (await session.scalars(query)).one()
        server.flow_id = flow["id"]
        server.host_labels = {"zone": "secret-rack"}
        replica = server.replicas[0]
        replica.state, replica.reason, replica.pid = "failed", REASON, PID
        replica.address, replica.metrics_address = SOCKET, METRICS
        replica.memory_bytes, replica.restarts = MEMORY, 7
    flow_id: str = flow["id"]
    return flow_id


async def test_where_and_for_what_it_runs_is_for_those_who_manage_the_model(
    private_model: PrivateModel,
) -> None:
    await private_model.set_visibility("shared")
    flow_id = await run_server(private_model)
    server = f"{SERVERS}{private_model.server_id}/"
    member = await private_model.member()
    admin = await private_model.gateway.user("root@example.com", Role.ADMIN)
    administrator = (await private_model.gateway.caller(admin, "manage key")).client

    for client in (private_model.owner.client, administrator):
        shown = (await client.get(server)).text
        assert all(part in shown for part in (*TELLING, flow_id))
        assert REASON in (await client.get(MODELS, params={"view": "summary"})).text

    answers = [
        await member.get(server),
        await member.get(SERVERS),
        await member.get(MODELS, params={"view": "summary"}),
        await member.post(SERVERS, json={"model": PRIVATE}),
        await member.post(f"{server}start/"),
    ]
    for answer in answers:
        assert answer.is_success, answer.text
        assert PRIVATE in answer.text
        assert not [part for part in (*TELLING, flow_id) if part in answer.text], answer.url
    listed: dict[str, Any] = answers[1].json()["items"][0]
    assert (listed["id"], listed["version"], listed["state"]) == (
        private_model.server_id,
        1,
        "failed",
    )
    assert (listed["processes"], listed["restarts"], listed["replicas"]) == ([], 0, 1)
