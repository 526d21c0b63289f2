"""Sleeping inference servers: as rows, over REST, and woken by several gateways at once."""

from __future__ import annotations

import asyncio

import pytest

from gateway.fleet.states import Desired, State
from gateway.fleet.store import FleetStore
from gateway.fleet.waker import Waker
from gateway.storage.database import Database
from gateway.storage.tables import InferenceServer
from tests.gateway.databases import without_counter
from tests.gateway.in_process_gateway import InProcessGateway, flow_json
from tests.gateway.test_fleet import SERVERS, revision
from tests.timing import TIMEOUT_SECONDS

pytestmark = pytest.mark.databases("sqlite", "postgresql")


async def asleep(store: FleetStore) -> InferenceServer:
    """Return a server that was ready and is asleep."""
    row = await store.ensure_running("mlp", 1, idle_timeout_seconds=60)
    await store.observe(row.lead.id, state=State.BOOTING, pid=7, address="unix:/run/a.sock")
    await store.observe(row.lead.id, state=State.READY, boot_seconds=0.3)
    await store.observe(row.lead.id, state=State.DRAINING)
    assert await store.mark_asleep(row.lead.id, row.generation)
    return await store.get(row.id)


async def test_a_sleeping_server_has_no_process_and_is_not_desired_to_run(
    database: Database,
) -> None:
    store = FleetStore(database)
    row = await asleep(store)
    assert (row.desired, row.state) == (Desired.ASLEEP, State.STOPPED)
    assert (row.lead.pid, row.lead.address, row.boot_seconds) == (None, None, 0.3)
    assert await store.desired_running() == []
    assert [each.id for each in await store.running_or_asleep()] == [row.id]


async def test_a_call_wakes_a_server_once(database: Database) -> None:
    store = FleetStore(database)
    row = await asleep(store)
    before = await revision(database)
    assert await store.wake("mlp", 1)
    assert not await store.wake("mlp", 1)
    assert await revision(database) == before + 1
    (woken,) = await store.desired_running()
    assert (woken.id, woken.generation) == (row.id, row.generation + 1)
    assert not await store.wake("mlp", 9)


async def test_a_server_stopped_by_a_user_is_not_woken(database: Database) -> None:
    store = FleetStore(database)
    row = await asleep(store)
    await store.stop(row.id)
    assert not await store.wake("mlp", 1)
    assert (await store.get(row.id)).desired == Desired.STOPPED
    assert await store.running_or_asleep() == []


async def test_a_server_stopped_while_falling_asleep_stays_stopped(database: Database) -> None:
    store = FleetStore(database)
    row = await store.ensure_running("mlp", 1)
    await store.observe(row.lead.id, state=State.BOOTING)
    await store.observe(row.lead.id, state=State.READY)
    await store.stop(row.id)
    assert await store.mark_asleep(row.lead.id, row.generation)
    after = await store.get(row.id)
    assert (after.desired, after.state) == (Desired.STOPPED, State.STOPPED)


async def test_a_server_restarted_while_falling_asleep_runs(database: Database) -> None:
    store = FleetStore(database)
    row = await store.ensure_running("mlp", 1)
    await store.observe(row.lead.id, state=State.BOOTING)
    await store.stop(row.id)
    newer = await store.start(row.id)
    assert await store.mark_asleep(row.lead.id, row.generation)
    after = await store.get(row.id)
    assert (after.desired, after.state) == (Desired.RUNNING, State.STOPPED)
    assert await store.mark_asleep(row.lead.id, newer.generation)
    assert (await store.get(row.id)).desired == Desired.ASLEEP


async def test_a_replica_that_was_to_sleep_alone_is_started_again_beside_others(
    database: Database,
) -> None:
    store = FleetStore(database)
    row = await store.ensure_running("mlp", 1)
    await store.observe(row.lead.id, state=State.BOOTING)
    await store.change(row.id, replicas=2)
    assert await store.mark_asleep(row.lead.id, row.generation)
    after = await store.get(row.id)
    assert (after.desired, after.state) == (Desired.RUNNING, State.STOPPED)
    assert after.generation == row.generation + 1, "by that, the supervisor starts it again"


async def test_a_deleted_server_cannot_fall_asleep(database: Database) -> None:
    store = FleetStore(database)
    row = await store.ensure_running("mlp", 1)
    await store.delete(row.id)
    assert not await store.mark_asleep(row.lead.id, row.generation)


@pytest.mark.parametrize("how", ["start", "serve"])
async def test_a_user_can_wake_a_server(database: Database, how: str) -> None:
    store = FleetStore(database)
    row = await asleep(store)
    woken = await store.start(row.id) if how == "start" else await store.ensure_running("mlp", 1)
    assert (woken.desired, woken.generation) == (Desired.RUNNING, row.generation + 1)
    assert woken.idle_timeout_seconds == 60


async def test_concurrent_gateways_wake_a_server_once(database: Database, url: str) -> None:
    other = Database(url)
    row = await asleep(FleetStore(database))
    wakers = [Waker(FleetStore(db)) for db in (database, other) * 3]
    for waker in wakers:
        waker.wake("mlp", 1)
    await asyncio.gather(*(waker.stop() for waker in wakers))
    await other.close()
    woken = await FleetStore(database).get(row.id)
    assert (woken.desired, woken.generation) == (Desired.RUNNING, row.generation + 1)


async def test_waking_is_retried_while_the_database_is_unavailable(database: Database) -> None:
    store = FleetStore(database)
    row = await asleep(store)
    waker = Waker(store)
    async with without_counter(database):
        waker.wake("mlp", 1)
        await asyncio.sleep(0.2)
        assert (await store.get(row.id)).desired == Desired.ASLEEP
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while (await store.get(row.id)).desired == Desired.ASLEEP:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.05)
    await waker.stop()


async def test_the_idle_timeout_is_set_changed_and_removed(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    first = (await user.post(SERVERS, json={"model": "mlp"})).json()
    assert first["idle_timeout_seconds"] is None
    url = f"{SERVERS}{first['id']}/"

    async def after(body: dict[str, object], path: str = SERVERS) -> object:
        answer = await (user.patch if path == url else user.post)(path, json=body)
        assert answer.is_success, answer.text
        assert answer.json()["id"] == first["id"]
        shown: object = (await user.get(url)).json()["idle_timeout_seconds"]
        assert answer.json()["idle_timeout_seconds"] == shown
        return shown

    assert await after({"model": "mlp", "idle_timeout_seconds": 300}) == 300
    assert await after({"model": "mlp"}) == 300
    assert await after({"idle_timeout_seconds": 60}, url) == 60
    assert await after({}, url) == 60
    assert await after({"model": "mlp", "idle_timeout_seconds": None}) is None
    assert await after({"idle_timeout_seconds": 1}, url) == 1
    assert await after({"idle_timeout_seconds": None}, url) is None
    flow = (await user.post("/node/flows/", json=flow_json())).json()
    assert await after({"flow_id": flow["id"], "idle_timeout_seconds": 7}) == 7
    assert (await user.get(url)).json()["desired"] == "running"


@pytest.mark.parametrize("value", [0, -1, 0.5, "soon", 10**12, []])
async def test_invalid_idle_timeouts_are_refused(
    in_process_gateway: InProcessGateway, value: object
) -> None:
    user = await in_process_gateway.user()
    made = (await user.post(SERVERS, json={"model": "mlp"})).json()
    for answer in (
        await user.post(SERVERS, json={"model": "mlp", "idle_timeout_seconds": value}),
        await user.patch(f"{SERVERS}{made['id']}/", json={"idle_timeout_seconds": value}),
    ):
        assert answer.status_code == 422
        assert "idle_timeout_seconds" in answer.text


async def test_which_calls_share_runs_is_set_kept_and_inherited(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    first = (await user.post(SERVERS, json={"model": "mlp", "version": 1})).json()
    assert first["batching"] == "auto"
    url = f"{SERVERS}{first['id']}/"
    assert (await user.patch(url, json={"batching": "declared"})).json()["batching"] == "declared"
    assert (await user.patch(url, json={"replicas": 2})).json()["batching"] == "declared"
    second = (await user.post(SERVERS, json={"model": "mlp", "version": 2})).json()
    assert second["batching"] == "declared"
    refused = await user.patch(url, json={"batching": "always"})
    assert refused.status_code == 422
    assert "'auto', 'off' or 'declared'" in refused.text


async def test_how_long_a_run_may_take_is_set_kept_inherited_and_derived(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    first = (await user.post(SERVERS, json={"model": "mlp", "version": 1})).json()
    assert first["max_run_seconds"] is None
    url = f"{SERVERS}{first['id']}/"
    assert (await user.patch(url, json={"max_run_seconds": 2.5})).json()["max_run_seconds"] == 2.5
    assert (await user.patch(url, json={"replicas": 2})).json()["max_run_seconds"] == 2.5
    second = (await user.post(SERVERS, json={"model": "mlp", "version": 2})).json()
    assert second["max_run_seconds"] == 2.5
    assert (await user.patch(url, json={"max_run_seconds": None})).json()["max_run_seconds"] is None
    for wrong in (0, 0.01, 1e9, "long"):
        assert (await user.patch(url, json={"max_run_seconds": wrong})).status_code == 422


async def test_only_settings_of_existing_servers_can_be_changed(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = (await user.post(SERVERS, json={"model": "mlp"})).json()
    wrong = await user.patch(f"{SERVERS}{made['id']}/", json={"model": "scaled"})
    assert wrong.status_code == 422
    missing = await user.patch(f"{SERVERS}nowhere/", json={"idle_timeout_seconds": 5})
    assert missing.status_code == 404


async def test_a_version_with_a_sleeping_server_is_in_use(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    store = in_process_gateway.services.fleet.store
    row = await store.ensure_running("mlp", 2)
    await store.mark_asleep(row.lead.id, row.generation)
    refused = await user.delete("/node/models/mlp/versions/2/")
    assert refused.status_code == 409
    assert row.id in refused.json()["message"]
