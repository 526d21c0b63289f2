"""The deployment cache: live and pinned versions, and their invalidation."""

from __future__ import annotations

from uuid import uuid4

import pytest

from gateway.accounts.users import UserChange
from gateway.deployments.deployment_cache import DeploymentCache
from gateway.deployments.settings import ExecutionMode
from gateway.errors import GatewayError
from gateway.storage.change_feed import ChangeFeed
from gateway.storage.database import Database
from protos.errors import ErrorCode
from tests.gateway.deployments.redeploys import (
    deploy_two_versions,
    edit_draft,
    profile_of,
    redeploy,
)
from tests.gateway.in_process_gateway import DEPLOYMENTS, InProcessGateway, deploy, flow_json


async def test_a_deployment_is_cached_after_the_first_look_up(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await deploy(user, flow_json(), execution_mode="fast")
    assert in_process_gateway.deployment_cache.get(made["id"]) is None
    assert in_process_gateway.deployment_cache.get(made["id"]) is None
    live = await in_process_gateway.deployment_cache.find(
        made["id"].upper(), user.headers["x-test-profile"]
    )
    assert in_process_gateway.deployment_cache.get(made["id"]) is live
    assert live.mode is ExecutionMode.FAST
    assert (
        await in_process_gateway.deployment_cache.find(made["id"], user.headers["x-test-profile"])
        is live
    )


@pytest.mark.databases("sqlite", "postgresql")
async def test_another_process_sees_a_change_and_a_deletion(
    in_process_gateway: InProcessGateway, url: str
) -> None:
    user = await in_process_gateway.user()
    profile = user.headers["x-test-profile"]
    made = await deploy(user, flow_json())
    elsewhere = Database(url)
    feed = ChangeFeed(elsewhere)
    deployment_cache = DeploymentCache(elsewhere, feed)
    await feed.poll()
    assert (await deployment_cache.find(made["id"], profile)).timeout_seconds == 3600
    await user.patch(f"{DEPLOYMENTS}{made['id']}/", json={"timeout_seconds": 7})
    await feed.poll()
    assert (await deployment_cache.find(made["id"], profile)).timeout_seconds == 7
    await user.delete(f"{DEPLOYMENTS}{made['id']}/")
    await feed.poll()
    assert deployment_cache.get(made["id"]) is None
    with pytest.raises(GatewayError, match="was deleted"):
        await deployment_cache.find(made["id"], profile)
    await elsewhere.close()


@pytest.mark.databases("sqlite", "postgresql")
async def test_another_process_sees_what_an_address_leads_to(
    in_process_gateway: InProcessGateway, url: str
) -> None:
    user = await in_process_gateway.user()
    profile = user.headers["x-test-profile"]
    made = await deploy(user, flow_json(), slug="iris")
    elsewhere = Database(url)
    feed = ChangeFeed(elsewhere)
    cache = DeploymentCache(elsewhere, feed)
    await feed.poll()
    assert cache.get("ada/iris") is None
    live = await cache.find("ada/iris", profile)
    assert cache.get("ada/iris") is cache.get(made["id"]) is live
    assert await cache.find("ADA/Iris", profile) is live
    generation = cache.entries.generation
    await user.patch(f"{DEPLOYMENTS}{made['id']}/", json={"slug": "irises"})
    assert cache.get("ada/iris") is live, "it has not heard of it"
    await feed.poll()
    assert cache.get("ada/iris") is cache.get("ada/irises") is None
    assert cache.entries.generation > generation, "routes of requests are looked up again"
    with pytest.raises(GatewayError, match="unknown deployment 'ada/iris'"):
        await cache.find("ada/iris", profile)
    await cache.find("ada/irises", profile)
    await user.delete(f"{DEPLOYMENTS}{made['id']}/")
    await feed.poll()
    with pytest.raises(GatewayError, match="was deleted"):
        await cache.find("ada/irises", profile)
    again = await deploy(user, flow_json(), slug="irises")
    await feed.poll()
    assert (await cache.find("ada/irises", profile)).id == again["id"]
    await in_process_gateway.services.users.change(profile, UserChange(handle="countess"), by=None)
    await feed.poll()
    assert cache.get("ada/irises") is None
    assert (await cache.find("countess/irises", profile)).id == again["id"]
    await elsewhere.close()


async def test_addresses_that_cannot_be_ask_no_database(
    in_process_gateway: InProcessGateway,
) -> None:
    cache = in_process_gateway.deployment_cache
    await in_process_gateway.db.close()
    for wrong in ("ada/", "/iris", "ada/a_b", f"ada/{'x' * 64}", f"{'x' * 40}/iris", "ada/b/c"):
        with pytest.raises(GatewayError, match="unknown deployment"):
            await cache.find(wrong, "anyone")
        assert await cache.origins(wrong) is None


async def test_a_deployment_created_after_a_miss_is_found(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    profile = user.headers["x-test-profile"]
    for unknown in ("nonsense", str(uuid4())):
        with pytest.raises(GatewayError, match="unknown deployment"):
            await in_process_gateway.deployment_cache.find(unknown, profile)
        assert in_process_gateway.deployment_cache.get(unknown) is None
    made = await deploy(user, flow_json())
    assert (await in_process_gateway.deployment_cache.find(made["id"], profile)).id == made["id"]


async def test_a_call_can_pin_a_version(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    made = await deploy_two_versions(user, execution_mode="fast")
    deployment_cache, profile = in_process_gateway.deployment_cache, profile_of(user)
    live = await deployment_cache.find(made["id"], profile)
    assert live.version == 2
    assert await deployment_cache.find(made["id"], profile, 2) is live
    pinned = await deployment_cache.find(made["id"].upper(), profile, 1)
    assert (pinned.id, pinned.version) == (made["id"], 1)
    assert pinned.fast_plan is not None
    assert [wanted.path for wanted in pinned.fast_plan.inputs] == [("x",)]
    assert await deployment_cache.find(made["id"], profile, 1) is pinned
    assert deployment_cache.get(made["id"]) is live, "the live one is where it was"
    for number in (0, -1, 3, 2**70):
        with pytest.raises(GatewayError, match="expected 1 to 2") as caught:
            await deployment_cache.find(made["id"], profile, number)
        assert caught.value.code is ErrorCode.NOT_FOUND


async def test_another_users_version_cannot_be_pinned(in_process_gateway: InProcessGateway) -> None:
    ada, bob = await in_process_gateway.user(), await in_process_gateway.user("bob@example.com")
    made = await deploy_two_versions(ada)
    with pytest.raises(GatewayError, match="unknown deployment"):
        await in_process_gateway.deployment_cache.find(made["id"], profile_of(bob), 1)


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_pinned_version_sees_changes_of_other_processes(
    in_process_gateway: InProcessGateway, url: str
) -> None:
    user = await in_process_gateway.user()
    made = await deploy_two_versions(user)
    elsewhere = Database(url)
    feed = ChangeFeed(elsewhere)
    deployment_cache, profile = DeploymentCache(elsewhere, feed), profile_of(user)
    await feed.poll()
    assert (await deployment_cache.find(made["id"], profile, 1)).timeout_seconds == 3600
    await user.patch(f"{DEPLOYMENTS}{made['id']}/", json={"timeout_seconds": 7})
    await feed.poll()
    assert (await deployment_cache.find(made["id"], profile, 1)).timeout_seconds == 7
    await redeploy(user, made)
    await feed.poll()
    assert (await deployment_cache.find(made["id"], profile)).version == 3
    assert (await deployment_cache.find(made["id"], profile, 3)).version == 3
    await user.post(f"{DEPLOYMENTS}{made['id']}/pause/")
    await feed.poll()
    with pytest.raises(GatewayError, match="is paused"):
        await deployment_cache.find(made["id"], profile, 1)
    await elsewhere.close()


async def test_a_pinned_version_that_needs_the_engine_is_refused_in_fast_mode(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await deploy(user, flow_json(inputs={"x": "input.a + 1"}))
    await edit_draft(user, made, flow_json())
    await redeploy(user, made)
    await user.patch(f"{DEPLOYMENTS}{made['id']}/", json={"execution_mode": "fast"})
    with pytest.raises(GatewayError, match="cannot be deployed as fast") as caught:
        await in_process_gateway.deployment_cache.find(made["id"], profile_of(user), 1)
    assert caught.value.code is ErrorCode.INVALID_FLOW


async def test_a_paused_deployment_refuses_calls_until_it_is_resumed(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await deploy_two_versions(user)
    url, profile = f"{DEPLOYMENTS}{made['id']}/", profile_of(user)
    await in_process_gateway.deployment_cache.find(made["id"], profile)
    for _ in range(2):
        paused = await user.post(f"{url}pause/")
        assert (paused.status_code, paused.json()["status"]) == (200, "paused")
    await in_process_gateway.feed.poll()
    with pytest.raises(GatewayError, match="is paused") as caught:
        await in_process_gateway.deployment_cache.find(made["id"], profile)
    assert caught.value.code is ErrorCode.DEPLOYMENT_PAUSED
    assert in_process_gateway.deployment_cache.get(made["id"]) is None
    assert in_process_gateway.deployment_cache.get(made["id"]) is None, "nor when it was asked for"
    assert (await redeploy(user, made)).json()["status"] == "paused"
    assert (await user.get(url)).json()["status"] == "paused"
    resumed = (await user.post(f"{url}resume/")).json()
    assert (resumed["status"], resumed["version"]) == ("active", 3)
    await in_process_gateway.feed.poll()
    assert (await in_process_gateway.deployment_cache.find(made["id"], profile)).version == 3
