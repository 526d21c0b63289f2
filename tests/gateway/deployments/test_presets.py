"""Modes, types and presets of deployments."""

from __future__ import annotations

from tests.gateway.deployments.redeploys import profile_of
from tests.gateway.in_process_gateway import DEPLOYMENTS, InProcessGateway, deploy, flow_json


async def test_the_presets_are_the_documented_ones(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    items = (await user.get(f"{DEPLOYMENTS}presets/")).json()["items"]
    assert [
        (item["situation"], item["deployment_type"], item["execution_mode"], item["alternatives"])
        for item in items
    ] == [
        ("Short flow, need result inline", "api", "sync", []),
        ("Long-running flow, fire-and-forget", "api", "async", []),
        ("ML model, need lowest latency", "api", "fast", []),
        ("Always-on production server", "server", "sync", []),
        ("Development / PoC", "api", "sync", ["async"]),
    ]
    for item in items:
        made = await deploy(user, flow_json(), preset=item["name"])
        assert made["http"] == 201
        for field in ("deployment_type", "execution_mode"):
            assert made[field] == item[field], item["name"]
    chosen = await deploy(user, flow_json(), preset="development", execution_mode="async")
    assert (chosen["deployment_type"], chosen["execution_mode"]) == ("api", "async")
    assert (await deploy(user, flow_json(), preset="cheap"))["http"] == 422


async def test_every_mode_can_be_saved_with_every_type(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    for mode in ("sync", "async", "fast"):
        for type_ in ("api", "server"):
            made = await deploy(user, flow_json(), execution_mode=mode, deployment_type=type_)
            assert made["http"] == 201
            live = await in_process_gateway.deployment_cache.find(made["id"], profile_of(user))
            assert (live.mode, live.type) == (mode, type_)
            assert (live.fast_plan is not None) == (mode == "fast")
