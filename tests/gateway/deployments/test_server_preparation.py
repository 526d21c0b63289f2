"""The inference servers of a deployment's new version, before it goes live."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.deployments.server_preparation import ServerPreparation
from gateway.deployments.settings import DeploymentSettings, ExecutionMode
from gateway.deployments.snapshots import Snapshotter
from gateway.deployments.versions import VersionService
from gateway.errors import GatewayError
from gateway.fleet.hosts import HostStore
from gateway.fleet.states import Phase, State
from gateway.flows.service import Draft
from gateway.storage.tables import InferenceServer, Profile
from protos.errors import ErrorCode
from tests.gateway.in_process_gateway import InProcessGateway, flow_json


class Site:
    """A fast deployment of `mlp` 1, and a draft with `mlp` 2."""

    def __init__(self, in_process_gateway: InProcessGateway, profile: Profile) -> None:
        self.services = in_process_gateway.services
        self.fleet = in_process_gateway.services.fleet.store
        services = in_process_gateway.services
        self.snapshots = Snapshotter(
            in_process_gateway.db, services.models, services.flow_processes
        )
        self.profile_id = profile.id
        self.in_process_gateway = in_process_gateway
        self.id = ""
        self._flow_id = ""

    async def open(self) -> None:
        """Create the deployment and the draft."""
        flows = self.services.flows
        flow = await flows.create(self.profile_id, _draft("1"))
        settings = DeploymentSettings(execution_mode=ExecutionMode.FAST)
        deployed = await self.services.deployments.create(self.profile_id, flow.id, settings)
        self.id = deployed.row.id
        self._flow_id = flow.id
        await self.draft("2")

    async def draft(self, model_version: str) -> None:
        """Change the model version in the draft."""
        nodes = _draft(model_version).nodes
        await self.services.flows.update(self.profile_id, self._flow_id, nodes=nodes)

    async def serve(self, version: int, state: State = State.READY, **seen: Any) -> None:
        """Set the state of a version's server, as the supervisor would."""
        server = await self.fleet.ensure_running("mlp", version)
        await self.fleet.observe(server.lead.id, state=State.BOOTING, phase=Phase.SPAWNING)
        if state is not State.BOOTING:
            await self.fleet.observe(server.lead.id, state=state, **seen)

    async def wanted(self, version: int, *, generation: int = 1) -> InferenceServer:
        """Return the server of a version once it is wanted for the n-th time."""
        while True:
            for server in await self.fleet.desired_running():
                if (server.version, server.generation) == (version, generation):
                    return server
            await asyncio.sleep(0.01)

    async def live(self) -> int:
        """Return the number of the live version."""
        return (await self.services.deployments.get(self.profile_id, self.id)).row.live_version

    def versions(self, ready_timeout: float = 60.0) -> VersionService:
        """Return the service, which waits for servers up to `ready_timeout` seconds."""
        servers = ServerPreparation(self.fleet, ready_timeout=ready_timeout, connect_seconds=0)
        db = self.in_process_gateway.db
        return VersionService(db, self.snapshots, servers, kept_versions=100)


_INPUT = {"id": "input", "type": "api_input", "config": {}}
_OUTPUT = {"id": "output", "type": "api_output", "config": {}}
_EDGE = {"source": "input", "target": "output"}


def _draft(version: str) -> Draft:
    flow = flow_json(version=version)
    return Draft(name=flow["name"], nodes=flow["nodes"], edges=flow["edges"])


@pytest.fixture
async def site(in_process_gateway: InProcessGateway, profile: Profile) -> Site:
    """The deployment."""
    opened = Site(in_process_gateway, profile)
    await opened.open()
    return opened


async def test_the_new_version_goes_live_when_its_server_is_ready(site: Site) -> None:
    await site.serve(1)
    switching = asyncio.create_task(site.versions().redeploy(site.profile_id, site.id))
    server = await site.wanted(2)
    await site.fleet.observe(server.lead.id, state=State.BOOTING, phase=Phase.SPAWNING)
    assert not switching.done()
    assert await site.live() == 1
    await site.fleet.observe(server.lead.id, state=State.READY)
    assert (await switching).row.live_version == 2
    assert await site.live() == 2


async def test_the_new_version_has_as_many_replicas_and_waits_for_all(site: Site) -> None:
    hosts = HostStore(site.in_process_gateway.db)
    await hosts.claim(name="first", owner="first", has_ended=lambda _: False)
    await site.serve(1)
    for replica in (await site.fleet.ensure_running("mlp", 1, replicas=3)).replicas[1:]:
        await site.fleet.observe(replica.id, state=State.BOOTING, phase=Phase.SPAWNING)
        await site.fleet.observe(replica.id, state=State.READY)
    switching = asyncio.create_task(site.versions().redeploy(site.profile_id, site.id))
    replicas = (await site.wanted(2)).replicas
    assert len(replicas) == 3
    for replica in replicas[:2]:
        await site.fleet.observe(replica.id, state=State.BOOTING, phase=Phase.SPAWNING)
        await site.fleet.observe(replica.id, state=State.READY)
    await asyncio.sleep(0.2)
    assert not switching.done()
    await site.fleet.observe(replicas[2].id, state=State.STOPPED, reason="no host has the memory")
    assert (await switching).row.live_version == 2
    await site.fleet.ensure_running("mlp", 1, replicas=1)
    await site.versions(ready_timeout=0).promote(site.profile_id, site.id, 1)
    assert await site.live() == 1, "some replicas are ready, and the time is over"
    assert (await site.fleet.ensure_running("mlp", 1)).replica_count == 3


async def test_a_version_of_a_mode_with_the_engine_is_started_if_the_live_one_runs(
    site: Site,
) -> None:
    sync = DeploymentSettings(execution_mode=ExecutionMode.SYNC)
    await site.draft("1")
    flow_id = (await site.services.deployments.get(site.profile_id, site.id)).row.flow_id
    site.id = (await site.services.deployments.create(site.profile_id, flow_id, sync)).row.id
    await site.draft("2")
    await site.versions().redeploy(site.profile_id, site.id)
    assert [server.version for server in await site.fleet.desired_running()] == [1]
    flows = site.services.flows
    await flows.update(site.profile_id, flow_id, nodes=[_INPUT, _OUTPUT], edges=[_EDGE])
    await site.versions().redeploy(site.profile_id, site.id)
    whole = _draft("2")
    await flows.update(site.profile_id, flow_id, nodes=whole.nodes, edges=whole.edges)
    await site.versions().redeploy(site.profile_id, site.id)
    assert [server.version for server in await site.fleet.desired_running()] == [1]
    await site.draft("1")
    await site.versions().redeploy(site.profile_id, site.id)
    await site.serve(1)
    await site.draft("2")
    switching = asyncio.create_task(site.versions().redeploy(site.profile_id, site.id))
    server = await site.wanted(2)
    await site.fleet.observe(server.lead.id, state=State.BOOTING, phase=Phase.SPAWNING)
    assert not switching.done()
    await site.fleet.observe(server.lead.id, state=State.READY)
    assert (await switching).row.live_version == 6


async def test_a_model_that_cannot_be_loaded_changes_nothing(site: Site) -> None:
    await site.serve(1)
    switching = asyncio.create_task(site.versions().redeploy(site.profile_id, site.id))
    server = await site.wanted(2)
    await site.fleet.observe(server.lead.id, state=State.BOOTING, phase=Phase.SPAWNING)
    await site.fleet.observe(server.lead.id, state=State.FAILED, reason="out of memory")
    with pytest.raises(GatewayError, match="out of memory") as caught:
        await switching
    assert caught.value.code is ErrorCode.INFERENCE_SERVER_FAILED
    assert await site.live() == 1


async def test_the_later_of_two_concurrent_redeploys_wins(site: Site) -> None:
    await site.serve(1)
    first = asyncio.create_task(site.versions().redeploy(site.profile_id, site.id))
    slow = await site.wanted(2)
    await site.fleet.observe(slow.lead.id, state=State.BOOTING, phase=Phase.SPAWNING)
    await site.draft("1")
    second = await site.versions().redeploy(site.profile_id, site.id)
    assert second.row.live_version == 2
    await site.fleet.observe(slow.lead.id, state=State.READY)
    with pytest.raises(
        GatewayError, match="a later redeploy or promotion is already live"
    ) as caught:
        await first
    assert caught.value.code is ErrorCode.CONFLICT
    assert await site.live() == 2
    third = await site.versions().redeploy(site.profile_id, site.id)
    assert (third.row.live_version, third.newest_version) == (3, 3)


async def test_a_failed_later_redeploy_does_not_block_an_earlier_one(site: Site) -> None:
    await site.serve(1)
    first = asyncio.create_task(site.versions().redeploy(site.profile_id, site.id))
    slow = await site.wanted(2)
    await site.fleet.observe(slow.lead.id, state=State.BOOTING, phase=Phase.SPAWNING)
    with pytest.raises(GatewayError, match="nothing was changed"):
        await site.versions(ready_timeout=0).redeploy(site.profile_id, site.id)
    await site.fleet.observe(slow.lead.id, state=State.READY)
    assert (await first).row.live_version == 2


async def test_a_later_promotion_wins_over_a_redeploy(site: Site) -> None:
    await site.serve(1)
    first = asyncio.create_task(site.versions().redeploy(site.profile_id, site.id))
    slow = await site.wanted(2)
    await site.fleet.observe(slow.lead.id, state=State.BOOTING, phase=Phase.SPAWNING)
    await site.versions().promote(site.profile_id, site.id, 1)
    await site.fleet.observe(slow.lead.id, state=State.READY)
    with pytest.raises(GatewayError, match="already live, as version 1"):
        await first
    assert await site.live() == 1


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_server_that_failed_before_is_started_again(site: Site) -> None:
    await site.serve(2, State.FAILED, reason="out of memory")
    await site.serve(1)
    switching = asyncio.create_task(site.versions().redeploy(site.profile_id, site.id))
    server = await site.wanted(2, generation=2)
    await site.fleet.observe(server.lead.id, state=State.BOOTING, phase=Phase.SPAWNING)
    await site.fleet.observe(server.lead.id, state=State.READY)
    assert (await switching).row.live_version == 2


async def test_a_boot_timeout_changes_nothing_and_the_boot_continues(site: Site) -> None:
    await site.serve(1)
    with pytest.raises(GatewayError, match="nothing was changed") as caught:
        await site.versions(ready_timeout=0).redeploy(site.profile_id, site.id)
    assert caught.value.code is ErrorCode.INFERENCE_SERVER_BOOTING
    assert await site.live() == 1
    await site.serve(2)
    deployed = await site.versions(ready_timeout=0).redeploy(site.profile_id, site.id)
    assert deployed.row.live_version == 2


async def test_there_is_no_wait_if_the_live_version_is_not_serving(site: Site) -> None:
    await site.serve(1, State.BOOTING)
    deployed = await site.versions().redeploy(site.profile_id, site.id)
    assert deployed.row.live_version == 2
    assert (await site.wanted(2)).desired == "running"


async def test_a_promotion_waits_like_a_redeploy(site: Site) -> None:
    await site.versions().redeploy(site.profile_id, site.id)
    await site.serve(2)
    with pytest.raises(GatewayError) as caught:
        await site.versions(ready_timeout=0).promote(site.profile_id, site.id, 1)
    assert caught.value.code is ErrorCode.INFERENCE_SERVER_BOOTING
    assert await site.live() == 2
    await site.serve(1)
    deployed = await site.versions(ready_timeout=0).promote(site.profile_id, site.id, 1)
    assert deployed.row.live_version == 1
