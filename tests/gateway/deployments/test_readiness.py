"""How the inference servers of a deployment are, as one state."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from gateway.deployments.readiness import ReadinessState, readiness_of
from gateway.fleet.states import Phase, State
from gateway.storage.tables import InferenceServer, Profile
from tests.gateway.in_process_gateway import DEPLOYMENTS, InProcessGateway, deploy, flow_json

PINS = {"model": {"model": "mlp", "version": 2}}


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_boot_shows_its_phase_and_what_the_last_one_took(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    store = in_process_gateway.services.fleet.store
    made = await deploy(user, flow_json(), start_server=True)
    server = await store.ensure_running("mlp", 2)

    async def shown() -> dict[str, Any]:
        readiness: dict[str, Any] = (await user.get(f"{DEPLOYMENTS}{made['id']}/")).json()[
            "readiness"
        ]
        return readiness

    assert (await shown())["elapsed_seconds"] is None
    await store.observe(server.lead.id, state=State.BOOTING, phase=Phase.LOADING)
    booting = await shown()
    assert (booting["state"], booting["phase"]) == ("booting", "loading")
    assert booting["elapsed_seconds"] >= 0
    assert booting["expected_seconds"] is None
    await store.observe(server.lead.id, state=State.READY, boot_seconds=1.5)
    ready = await shown()
    assert (ready["state"], ready["phase"], ready["elapsed_seconds"]) == ("ready", None, None)
    await store.observe(server.lead.id, state=State.BOOTING, phase=Phase.SPAWNING)
    assert (await shown())["expected_seconds"] == 1.5
    await store.observe(server.lead.id, state=State.FAILED, reason="no such file")
    failed = await shown()
    assert (failed["state"], failed["reason"]) == ("failed", "no such file")
    async with in_process_gateway.db.write() as session:
        await session.execute(update(Profile).values(role="member"))
    failed = await shown()  # the model belongs to the installation: why it fails is not for members
    assert (failed["state"], failed["reason"]) == ("failed", "the model failed to load")


def test_the_least_ready_server_counts() -> None:
    assert readiness_of({}, {}) is None
    server = InferenceServer(id="a", model="mlp", version=2, desired="asleep", replicas=[])
    asleep = readiness_of(PINS, {("mlp", 2): server})
    assert asleep is not None
    assert (asleep.state, asleep.server_id) == (ReadinessState.ASLEEP, "a")
    both = readiness_of({**PINS, "other": {"model": "iris", "version": 1}}, {("mlp", 2): server})
    assert both is not None
    assert (both.state, both.server_id) == (ReadinessState.STOPPED, None)
