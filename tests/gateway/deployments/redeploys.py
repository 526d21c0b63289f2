"""Deployments with more than one version."""

from __future__ import annotations

from typing import Any

import httpx

from tests.gateway.in_process_gateway import DEPLOYMENTS, deploy, flow_json


def profile_of(user: httpx.AsyncClient) -> str:
    """Return the id of the user that a client acts for."""
    profile: str = user.headers["x-test-profile"]
    return profile


async def edit_draft(user: httpx.AsyncClient, made: dict[str, Any], flow: dict[str, Any]) -> None:
    """Replace the draft of a deployment's flow."""
    answer = await user.put(f"/node/flows/{made['flow_id']}/", json=flow)
    assert answer.status_code == 200, answer.text


async def redeploy(user: httpx.AsyncClient, made: dict[str, Any], **note: str) -> httpx.Response:
    """Redeploy."""
    return await user.post(f"{DEPLOYMENTS}{made['id']}/redeploy/", json=note or None)


async def deploy_two_versions(user: httpx.AsyncClient, **settings: Any) -> dict[str, Any]:
    """Return a deployment whose version 2 (live) takes `flower` and version 1 takes `x`."""
    made = await deploy(user, flow_json(inputs={"x": "input.x"}), **settings)
    await edit_draft(user, made, flow_json(inputs={"x": "input.flower"}))
    answer = await redeploy(user, made, name="Flowers", description="Callers send `flower` now.")
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()
    return result
