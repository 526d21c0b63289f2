"""Quotas of what a user stores, at the routes: refused with what to delete, and deletable."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any, NamedTuple

import httpx
import pytest
from sqlalchemy import func, insert, select, update

from gateway.accounts.login_throttle import MAX_LOGINS_WITHOUT_ROOM
from gateway.audit.service import AuditLog, KeptAuditEvents
from gateway.settings import Settings
from gateway.storage import disk_space
from gateway.storage.audit_tables import AuditEvent
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.flow_tables import FlowRevision
from gateway.storage.quota_tables import UserStorage
from gateway.storage.run_tables import RunRow
from gateway.storage.tables import Profile
from tests.gateway.in_process_gateway import DEPLOYMENTS, InProcessGateway, deploy, flow_json
from tests.gateway.runs.builders import new_run
from tests.gateway.served_gateway import PASSWORD, ServedGateway

Json = dict[str, Any]
Open = Callable[..., Awaitable[InProcessGateway]]
FLOWS, KEYS, INFO = "/node/flows/", "/node/api-keys/", "/node/info/"
KIB, MIB = 1 << 10, 1 << 20

on_both = pytest.mark.databases("sqlite", "postgresql")


@pytest.fixture
async def gateway_with(database: Database, settings: Settings) -> AsyncIterator[Open]:
    """Opens a gateway with other settings."""
    opened: list[InProcessGateway] = []

    async def open_one(**changes: int) -> InProcessGateway:
        opened.append(InProcessGateway(settings.model_copy(update=changes)))
        return opened[-1]

    yield open_one
    for one in opened:
        await one.close()


def large_flow(size: int = 100 * KIB) -> Json:
    """Return a flow of at least so many bytes."""
    flow = flow_json()
    flow["nodes"][0]["notes"] = "x" * size
    return flow


def refused(answer: httpx.Response) -> str:
    """Return why a request has no room."""
    assert answer.status_code == 507, answer.text
    assert answer.json()["code"] == "storage_quota_exceeded"
    message: str = answer.json()["message"]
    return message


async def stored(user: httpx.AsyncClient, kind: str) -> tuple[int, int]:
    """Return how many of a kind a user has stored, and their bytes."""
    amount = (await user.get(INFO)).json()["stored"][kind]
    return amount["number"], amount["bytes"]


@on_both
async def test_flows_over_the_quota_are_refused_until_some_are_deleted(gateway_with: Open) -> None:
    gateway = await gateway_with(user_definition_bytes=MIB)
    user, other = await gateway.user(), await gateway.user("bob@example.com")
    paths = []
    while (answer := await user.post(FLOWS, json=large_flow())).status_code == 201:
        paths.append(f"{FLOWS}{answer.json()['id']}/")
        assert len(paths) < 10
    assert len(paths) == 5, "each has a revision"
    message = refused(answer)
    assert "SLIPSTREAM_USER_DEFINITION_BYTES" in message
    assert f"of {MIB} together" in message
    assert "delete flows that are not needed" in message
    assert "runs" not in message
    assert len((await user.get(FLOWS)).json()["items"]) == 5, "nothing of it is stored"
    number, size = await stored(user, "flows")
    assert number == 5
    assert MIB - 201 * KIB < size <= MIB
    assert (await other.post(FLOWS, json=large_flow())).status_code == 201
    assert (await user.delete(paths[0])).status_code == 204
    assert (await user.post(FLOWS, json=large_flow())).status_code == 201


@on_both
async def test_revisions_count(gateway_with: Open) -> None:
    gateway = await gateway_with(user_definition_bytes=MIB)
    user = await gateway.user()
    path = f"{FLOWS}{(await user.post(FLOWS, json=large_flow())).json()['id']}/"
    for number in range(20):
        async with gateway.db.write() as session:
            day = now() - timedelta(days=1)
            await session.execute(update(FlowRevision).values(created_at=day))
        answer = await user.put(path, json=large_flow(100 * KIB + number))
        if not answer.is_success:
            break
    assert "delete flows" in refused(answer)
    assert len((await user.get(f"{path}revisions/")).json()["items"]) == 9
    assert (await user.delete(path)).status_code == 204
    assert await stored(user, "flows") == (0, 0)


@on_both
async def test_versions_over_the_quota_are_refused(gateway_with: Open) -> None:
    gateway = await gateway_with(user_definition_bytes=MIB)
    user = await gateway.user()
    made = await deploy(user, large_flow())
    path = f"{DEPLOYMENTS}{made['id']}/"
    deployed = 1
    while (answer := await user.post(f"{path}redeploy/")).is_success:
        deployed += 1
        assert deployed < 12
    assert deployed == 8
    assert "delete deployments that are not needed, and their versions with them" in refused(answer)
    canary = await user.post(f"{path}rollout/", json={"strategy": "canary", "weight": 10})
    assert "delete deployments" in refused(canary)
    assert (await user.get(path)).json()["version"] == 8
    assert (await user.post(f"{path}pause/")).is_success


@on_both
async def test_deployments_and_keys_are_limited_by_number(gateway_with: Open) -> None:
    gateway = await gateway_with(user_deployments=2, user_api_keys=5)
    user, other = await gateway.user(), await gateway.user("bob@example.com")
    first = await deploy(user, flow_json(), api_key="none")
    assert (await deploy(user, flow_json(), api_key="none"))["http"] == 201
    saved = {"flow_id": first["flow_id"], "api_key": "none"}
    message = refused(await user.post(DEPLOYMENTS, json=saved))
    assert message.startswith("you have 2 deployments, of 2 that a user may have (setting SLIPSTR")
    assert "delete deployments" in message
    assert await stored(user, "deployments") == (2, 0)
    assert (await user.delete(f"{DEPLOYMENTS}{first['id']}/")).status_code == 204
    assert (await user.post(DEPLOYMENTS, json=saved)).status_code == 201
    made = []
    while (answer := await user.post(KEYS, json={"name": "k"})).status_code == 201:
        made.append(answer.json()["id"])
    message = refused(answer)
    assert message.startswith("you have 5 API keys, of 5 that a user may have (setting SLIPSTREAM_")
    assert "delete API keys" in message
    assert refused(await user.post(f"{KEYS}{made[0]}/rotate/")) == message
    metrics = (await user.get("/metrics")).text
    assert 'requests_refused_total{reason="user_quota"} 3' in metrics
    assert (await user.post(f"{KEYS}{made[0]}/deactivate/")).is_success
    assert (await user.delete(f"{KEYS}{made[0]}/")).status_code == 204
    assert (await user.post(f"{KEYS}{made[1]}/rotate/")).is_success
    assert (await other.post(KEYS, json={"name": "k"})).status_code == 201


@on_both
async def test_gateways_that_create_at_once_do_not_exceed_a_limit(gateway_with: Open) -> None:
    gateways = [await gateway_with(user_api_keys=5) for _ in range(2)]
    first = await gateways[0].user()
    users = [first, gateways[1].client({"x-api-key": first.headers["x-api-key"]})]
    answers = await asyncio.gather(
        *(user.post(KEYS, json={"name": "k"}) for user in users for _ in range(8))
    )
    assert sorted(answer.status_code for answer in answers) == [201] * 4 + [507] * 12
    assert await stored(first, "api_keys") == (5, 0)


@on_both
async def test_what_is_counted_costs_no_scan(gateway_with: Open) -> None:
    gateway = await gateway_with(user_definition_bytes=10**12)
    user = await gateway.user()
    row = {"profile_id": user.headers["x-test-profile"], "kind": "flows", "number": 1, "bytes": 1}
    async with gateway.db.write() as session:
        await session.execute(insert(UserStorage), [row] * 500)
    assert (await user.post(FLOWS, json=flow_json())).status_code == 201
    async with gateway.db.read() as session:
        assert int(await session.scalar(select(func.count(UserStorage.id))) or 0) < 10
    assert (await stored(user, "flows"))[0] == 501


@on_both
async def test_versions_that_nothing_runs_are_pruned(gateway_with: Open) -> None:
    gateway = await gateway_with(deployment_versions=2)
    user = await gateway.user()
    made = await deploy(user, flow_json())
    path = f"{DEPLOYMENTS}{made['id']}/"

    async def versions() -> list[int]:
        items = (await user.get(f"{path}versions/")).json()["items"]
        return [item["version"] for item in items]

    async def redeploy() -> None:
        assert (await user.post(f"{path}redeploy/")).is_success

    await redeploy()
    await redeploy()
    assert await versions() == [3, 2]
    unfinished = {**new_row(made, user), "version": 2, "status": "queued"}
    async with gateway.db.write() as session:
        await session.execute(insert(RunRow), [unfinished])
    await redeploy()
    await redeploy()
    assert await versions() == [5, 4, 2], "a run needs version 2"
    assert (await user.post(f"{path}versions/2/promote/")).is_success
    async with gateway.db.write() as session:
        await session.execute(update(RunRow).values(status="completed"))
    await redeploy()
    assert await versions() == [6, 5, 2], "it was live until now, and others may still call it"
    canary = {"strategy": "canary", "weight": 10, "version": 5}
    assert (await user.post(f"{path}rollout/", json=canary)).is_success
    assert await versions() == [6, 5]
    for number in (1, 4):
        gone = await user.get(f"{path}versions/{number}/")
        assert (gone.status_code, gone.json()["code"]) == (410, "gone")
        assert "SLIPSTREAM_DEPLOYMENT_VERSIONS" in gone.json()["message"]
    for changed in (
        await user.post(f"{path}versions/4/promote/"),
        await user.get(f"{path}diff/", params={"before": "1"}),
    ):
        assert changed.status_code == 410
    assert (await user.get(f"{path}versions/7/")).status_code == 404
    run = f"/node/flow-runs/{unfinished['id']}/"
    assert (await user.get(run)).json()["deployment_version"] == 2, "it stays readable"


def new_row(made: Json, user: httpx.AsyncClient) -> Json:
    """Return a row of a run of a deployment."""
    new = new_run(profile_id=user.headers["x-test-profile"], deployment_id=made["id"])
    return {
        "id": new.id,
        "created_at": now(),
        "profile_id": new.profile_id,
        "deployment_id": new.deployment_id,
        "flow_id": made["flow_id"],
        "version": 1,
        "mode": "async",
        "type": "server",
        "status": "queued",
        "timeout_seconds": 60,
        "max_attempts": 1,
        "attempt": 0,
        "retry_safe": False,
        "cancel_requested": False,
        "test": False,
        "stored_bytes": 0,
    }


@on_both
async def test_changes_stop_where_their_audit_events_have_no_room(gateway_with: Open) -> None:
    gateway = await gateway_with(user_audit_bytes=40 * KIB)
    user = await gateway.user()
    made = await deploy(user, flow_json())
    path, flow = f"{DEPLOYMENTS}{made['id']}/", f"{FLOWS}{made['flow_id']}/"
    keys = [(await user.post(KEYS, json={"name": "k"})).json()["id"] for _ in range(2)]
    changes = 0
    while (answer := await user.patch(flow, json={"name": f"N{changes}"})).is_success:
        changes += 1
        assert changes < 40
    message = refused(answer)
    assert f"of {40 * KIB} bytes (setting SLIPSTREAM_USER_AUDIT_BYTES)" in message
    assert "slipstream audit prune" in message
    assert (await user.get(flow)).json()["name"] == f"N{changes - 1}"
    number, size = await stored(user, "audit_events")
    assert number > changes
    assert size <= 40 * KIB
    for request in (
        user.post(FLOWS, json=flow_json()),
        user.post(f"{path}redeploy/"),
        user.post(KEYS, json={"name": "k"}),
        user.put("/node/models/mlp/labels/mine/", json={"version": 1}),
    ):
        assert refused(await request).startswith("the audit events of your changes have")
    labels = (await user.get("/node/models/mlp/")).json()["labels"]
    assert "mine" not in labels, "refused before the file is changed"
    assert (await user.post(f"{path}pause/")).is_success
    assert (await user.post(f"{KEYS}{keys[0]}/deactivate/")).is_success
    assert (await user.delete(f"{KEYS}{keys[1]}/")).status_code == 204
    assert (await user.delete(path)).status_code == 204
    assert (await user.delete(flow)).status_code == 204


@on_both
async def test_old_audit_events_are_deleted_where_the_operator_says_so(
    database: Database, profile: Profile
) -> None:
    async with database.write() as session:
        for days in (0, 99, 102, 103):
            event = AuditEvent(action="flow.create", subject_kind="flow", subject_id=str(days))
            event.created_at = now() - timedelta(days=days)
            session.add(event)
    kept = KeptAuditEvents(AuditLog(database), days=100)
    assert await kept.prune(now()) == 2
    assert await kept.prune(now()) == 0
    async with database.read() as session:
        found = await session.execute(select(AuditEvent.action, AuditEvent.subject_id))
        assert sorted(tuple(row) for row in found) == [
            ("audit_log.prune", "audit_log"),
            ("flow.create", "0"),
            ("flow.create", "99"),
        ]


async def test_logins_go_on_where_audit_events_have_no_room_but_do_not_fill_the_disk(
    served_gateway: ServedGateway,
) -> None:
    user = await served_gateway.user("ada@example.com")
    client = served_gateway.client()
    credentials = {"email": user.email, "password": PASSWORD}
    assert (await client.post("/node/session/", json=credentials)).is_success
    full = {"profile_id": user.id, "kind": "audit_events", "number": 1, "bytes": 10**12}
    async with served_gateway.db.write() as session:
        await session.execute(insert(UserStorage), [full])
    for _ in range(2):
        assert (await client.post("/node/session/", json=credentials)).is_success
    async with served_gateway.db.write() as session:
        await served_gateway.container.login._throttle.check_audit_room(session, user.id)
    answers = [
        (await client.post("/node/session/", json=credentials)).status_code
        for _ in range(MAX_LOGINS_WITHOUT_ROOM)
    ]
    assert answers[:-3] == [200] * (MAX_LOGINS_WITHOUT_ROOM - 3)
    assert answers[-3:] == [429] * 3


class Disk(NamedTuple):
    """What the operating system says about a disk, in bytes."""

    total: int
    used: int
    free: int


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets how much of a disk of 100 GiB is free."""

    def set_free(free: int) -> None:
        found = Disk(total=100 << 30, used=(100 << 30) - free, free=free)
        monkeypatch.setattr(disk_space.shutil, "disk_usage", lambda _path: found)

    assert disk_space.shutil is shutil
    return set_free


async def test_changes_leave_room_for_the_runs_of_others(
    in_process_gateway: InProcessGateway, disk: Callable[[int], None]
) -> None:
    user = await in_process_gateway.user()
    made = await deploy(user, flow_json())
    flow, path = f"{FLOWS}{made['flow_id']}/", f"{DEPLOYMENTS}{made['id']}/"
    key = (await user.post(KEYS, json={"name": "k"})).json()["id"]
    disk((2 << 30) - 64 * MIB)  # the file has free pages
    folder = in_process_gateway.db.folder
    assert folder is not None
    assert disk_space.room_on_disk(folder) > 0, "runs go on"
    for request in (
        user.post(FLOWS, json=flow_json()),
        user.patch(flow, json={"name": "Other"}),
        user.post(f"{flow}revisions/", json={"name": "Good"}),
        user.post(f"{path}redeploy/"),
        user.patch(path, json={"name": "Other"}),
        user.post(DEPLOYMENTS, json={"flow_id": made["flow_id"]}),
        user.post(KEYS, json={"name": "k"}),
        user.post(f"{KEYS}{key}/rotate/"),
        user.put("/node/models/mlp/labels/mine/", json={"version": 1}),
    ):
        assert refused(await request).startswith("the database's disk has too little room: delete ")
    assert (await user.get(flow)).json()["name"] == "Iris classifier"
    for ends in (
        user.post(f"{path}pause/"),
        user.post(f"{KEYS}{key}/deactivate/"),
        user.delete(f"{KEYS}{key}/"),
        user.delete(path),
        user.delete(flow),
    ):
        assert (await ends).is_success


async def test_one_user_has_at_most_half_of_what_the_disk_holds(
    in_process_gateway: InProcessGateway, disk: Callable[[int], None]
) -> None:
    user = await in_process_gateway.user()
    disk((2 << 30) + MIB)
    made = 0
    while (answer := await user.post(FLOWS, json=large_flow())).is_success:
        made += 1
        assert made < 20
    message = refused(answer)
    assert "at most half of what the disk of SQLite holds" in message
    assert 5 <= made < 20, "as much as is left for others: the disk of this test does not shrink"
