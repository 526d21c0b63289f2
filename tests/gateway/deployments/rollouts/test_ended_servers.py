"""The inference servers of versions that a rollout has ended."""

from __future__ import annotations

import asyncio

import pytest

from gateway.deployments.rollout_settings import Checks, Strategy
from gateway.deployments.rollouts.observations import Calls, Observations
from gateway.deployments.rollouts.service import NewRollout
from gateway.deployments.settings import DeploymentSettings, ExecutionMode
from gateway.fleet.states import NeededBy, State
from gateway.flows.service import Draft
from gateway.storage.tables import Profile, Rollout
from tests.gateway.in_process_gateway import InProcessGateway, flow_json

pytestmark = pytest.mark.databases("sqlite", "postgresql")


class Site:
    """Fast deployments of one flow, whose draft has `mlp` 2."""

    def __init__(self, gateway: InProcessGateway, profile: Profile) -> None:
        self.gateway = gateway
        self.services = gateway.services
        self.fleet = gateway.services.fleet.store
        self.profile_id = profile.id

    async def deploy(self) -> str:
        """Deploy `mlp` 1, whose server answers, and change the draft."""
        drafts = [flow_json(version=version) for version in ("1", "2")]
        first = Draft(name=drafts[0]["name"], nodes=drafts[0]["nodes"], edges=drafts[0]["edges"])
        flow = await self.services.flows.create(self.profile_id, first)
        settings = DeploymentSettings(execution_mode=ExecutionMode.FAST)
        made = await self.services.deployments.create(self.profile_id, flow.id, settings)
        await self.services.flows.update(self.profile_id, flow.id, nodes=drafts[1]["nodes"])
        await self.boot(1)
        return made.row.id

    async def boot(self, version: int) -> None:
        """Let the server of a version become ready, once there is one."""
        while True:
            for server in await self.fleet.desired_running():
                if server.version == version and server.state == State.READY:
                    return
                if server.version == version:
                    await self.fleet.observe(server.lead.id, state=State.BOOTING)
                    await self.fleet.observe(server.lead.id, state=State.READY)
            await asyncio.sleep(0.01)

    async def try_second(self, deployment_id: str) -> None:
        """Start a canary with `mlp` 2."""
        new = NewRollout(strategy=Strategy.CANARY, weight=10, checks=Checks())
        starting = self.services.rollouts.start(self.profile_id, deployment_id, new)
        await asyncio.gather(starting, self.boot(2))

    async def needs(self) -> list[str]:
        """Why the servers run, by version."""
        servers = await self.fleet.running_or_asleep()
        return [it.needed_by for it in sorted(servers, key=lambda it: it.version)]


@pytest.fixture
def site(in_process_gateway: InProcessGateway, profile: Profile) -> Site:
    """An installation."""
    return Site(in_process_gateway, profile)


async def test_the_server_of_a_candidate_that_is_rolled_back_is_not_needed(site: Site) -> None:
    deployment = await site.deploy()
    await site.try_second(deployment)
    assert await site.needs() == [NeededBy.DEPLOYMENT, NeededBy.DEPLOYMENT]
    await site.services.rollouts.end(site.profile_id, deployment)
    assert await site.needs() == [NeededBy.DEPLOYMENT, NeededBy.NOTHING]
    await site.try_second(deployment)
    assert await site.needs() == [NeededBy.DEPLOYMENT, NeededBy.DEPLOYMENT], "it is tried again"
    async with site.gateway.db.read() as session:
        rollout = (await session.get_one(Rollout, deployment)).id
    failing, working = Calls(), Calls()
    for _ in range(20):
        failing.add(0.01, failed=True)
        working.add(0.01)
    seen = Observations(baseline=working, candidate=failing)
    await site.services.rollouts.observe(deployment, rollout, seen)
    assert await site.needs() == [NeededBy.DEPLOYMENT, NeededBy.NOTHING]


async def test_what_a_person_or_another_deployment_needs_stays(site: Site) -> None:
    deployment, other = await site.deploy(), await site.deploy()
    await site.try_second(deployment)
    await site.try_second(other)
    await site.services.rollouts.end(site.profile_id, deployment)
    assert await site.needs() == [NeededBy.DEPLOYMENT, NeededBy.DEPLOYMENT], "the other tries it"
    await site.services.versions.promote(site.profile_id, other, 2)
    assert await site.needs() == [NeededBy.DEPLOYMENT, NeededBy.DEPLOYMENT], "both are live"
    await site.services.versions.promote(site.profile_id, other, 1)
    await site.try_second(deployment)
    await site.services.fleet.serve_model(None, "mlp", "2")
    await site.services.rollouts.end(site.profile_id, deployment)
    assert await site.needs() == [NeededBy.DEPLOYMENT, NeededBy.PERSON], "a person has asked for it"


async def test_the_server_of_a_version_that_is_replaced_is_not_needed(site: Site) -> None:
    deployment = await site.deploy()
    await site.try_second(deployment)
    await site.services.versions.promote(site.profile_id, deployment, 2)
    assert await site.needs() == [NeededBy.NOTHING, NeededBy.DEPLOYMENT]
    await site.services.versions.promote(site.profile_id, deployment, 1)
    assert await site.needs() == [NeededBy.DEPLOYMENT, NeededBy.DEPLOYMENT], "it is live again"
