"""Whether a draft differs from the live version."""

from __future__ import annotations

from typing import Any

import httpx

from tests.gateway.databases import statements
from tests.gateway.deployments.redeploys import edit_draft, redeploy
from tests.gateway.in_process_gateway import DEPLOYMENTS, InProcessGateway, deploy, flow_json


async def _differs(user: httpx.AsyncClient, made: dict[str, Any]) -> bool:
    shown = (await user.get(f"{DEPLOYMENTS}{made['id']}/")).json()
    (listed,) = (await user.get(DEPLOYMENTS)).json()["items"]
    assert listed["draft_differs"] == shown["draft_differs"]
    differs: bool = shown["draft_differs"]
    return differs


async def test_a_changed_draft_is_flagged_until_it_is_deployed(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await deploy(user, flow_json())
    assert made["draft_differs"] is False
    await edit_draft(user, made, flow_json(inputs={"x": "input.flower"}))
    assert await _differs(user, made)
    assert (await redeploy(user, made)).json()["draft_differs"] is False
    promoted = (await user.post(f"{DEPLOYMENTS}{made['id']}/versions/1/promote/")).json()
    assert promoted["draft_differs"] is True
    await edit_draft(user, made, flow_json())
    assert not await _differs(user, made)


async def test_renaming_and_moving_nodes_is_not_a_difference(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await deploy(user, flow_json())
    drawn = flow_json() | {"name": "Another name"}
    drawn["nodes"].reverse()
    for at, node in enumerate(drawn["nodes"]):
        node |= {"position": {"x": at, "y": 0}, "selected": True}
    for at, edge in enumerate(drawn["edges"]):
        edge["id"] = f"edge-{at}"
    await edit_draft(user, made, drawn)
    assert not await _differs(user, made)


async def test_an_unchanged_draft_is_not_loaded(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    await deploy(user, flow_json())
    with statements(in_process_gateway.db) as asked:
        await user.get(DEPLOYMENTS)
    assert not [statement for statement in asked if "definition" in statement]
