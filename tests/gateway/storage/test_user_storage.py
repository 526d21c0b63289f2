"""What is counted of a user: what the rows say, whatever wrote or deleted them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, func, insert, select, text, update

from gateway.storage.audit_tables import AuditEvent
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.flow_tables import FlowRevision
from gateway.storage.quota_tables import ROW_BYTES, UserStorage
from gateway.storage.stored_json import dump_stored
from gateway.storage.tables import ApiKey, Deployment, DeploymentVersion, Flow, Profile
from gateway.storage.user_storage import (
    USER_QUOTA,
    StorageKind,
    Stored,
    UserLimits,
    check_change,
    read_stored,
)
from tests.gateway.in_process_gateway import InProcessGateway, deploy, flow_json

pytestmark = pytest.mark.databases("sqlite", "postgresql")

NOTHING = dict.fromkeys(StorageKind, Stored(0, 0))
LIMITS = UserLimits(definition_bytes=10**9, deployments=9, api_keys=9, audit_bytes=10**9)


async def counted(database: Database, profile_id: str) -> dict[StorageKind, Stored]:
    """Return what is counted of a user."""
    async with database.read() as session:
        return dict(await read_stored(session, profile_id))


def size(value: Any) -> int:  # Any: JSON
    """Return the bytes of a column."""
    if isinstance(value, str):
        return len(value.encode())
    return 0 if value is None else len(dump_stored(value))


async def in_rows(database: Database, profile_id: str) -> dict[StorageKind, Stored]:
    """Return what the rows of a user take."""
    async with database.read() as session:
        flows = list(await session.scalars(select(Flow).where(Flow.profile_id == profile_id)))
        revisions = list(
            await session.scalars(
                select(FlowRevision).where(FlowRevision.flow_id.in_([flow.id for flow in flows]))
            )
        )
        deployments = list(
            await session.scalars(select(Deployment).where(Deployment.profile_id == profile_id))
        )
        of_deployments = DeploymentVersion.deployment_id.in_([each.id for each in deployments])
        versions = list(await session.scalars(select(DeploymentVersion).where(of_deployments)))
        keys = select(func.count()).where(ApiKey.profile_id == profile_id)
        events = list(
            await session.scalars(select(AuditEvent).where(AuditEvent.actor_id == profile_id))
        )
        return {
            StorageKind.FLOWS: Stored(
                len(flows),
                sum(ROW_BYTES + size(flow.definition) for flow in flows)
                + sum(ROW_BYTES + size(revision.definition) for revision in revisions),
            ),
            StorageKind.VERSIONS: Stored(
                len(versions),
                sum(
                    ROW_BYTES
                    + sum(map(size, (it.definition, it.models, it.input_schema, it.description)))
                    for it in versions
                ),
            ),
            StorageKind.DEPLOYMENTS: Stored(
                len([each for each in deployments if each.status != "deleted"]), 0
            ),
            StorageKind.API_KEYS: Stored(int(await session.scalar(keys) or 0), 0),
            StorageKind.AUDIT_EVENTS: Stored(
                len(events),
                sum(ROW_BYTES + size(event.before) + size(event.after) for event in events),
            ),
        }


async def test_counts_agree_with_rows_after_every_change(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    me, db = user.headers["x-test-profile"], in_process_gateway.db
    seen: list[dict[StorageKind, Stored]] = []

    async def agree() -> None:
        found = await counted(db, me)
        assert found == await in_rows(db, me)
        assert found not in seen, "it has changed"
        seen.append(found)

    made = await deploy(user, {**flow_json(), "name": "Größe"})
    flow, deployment = f"/node/flows/{made['flow_id']}/", f"/node/deployments/{made['id']}/"
    await agree()
    assert (await user.put(flow, json=flow_json("scaled"))).is_success
    await agree()
    assert (await user.post(f"{flow}revisions/", json={"name": "Good"})).is_success
    assert (await user.put(flow, json=flow_json())).is_success
    await agree()
    assert (await user.post(f"{deployment}redeploy/", json={"description": "ä"})).is_success
    await agree()
    described = await user.patch(f"{deployment}versions/2/", json={"description": "ü" * 99})
    assert described.is_success
    await agree()
    key = (await user.post("/node/api-keys/", json={"name": "k"})).json()["id"]
    assert (await user.post(f"/node/api-keys/{key}/rotate/")).is_success
    await agree()
    assert (await user.delete(f"/node/api-keys/{key}/")).is_success
    await agree()
    assert (await user.delete(deployment)).is_success
    await agree()
    assert (await user.delete(flow)).is_success
    await agree()
    found = await counted(db, me)
    assert found[StorageKind.FLOWS] == Stored(0, 0)
    async with db.write() as session:
        versions = delete(DeploymentVersion).where(DeploymentVersion.deployment_id == made["id"])
        await session.execute(versions)
    assert (await counted(db, me))[StorageKind.VERSIONS] == Stored(0, 0)


async def test_a_deleted_user_leaves_no_counts(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    me, db = user.headers["x-test-profile"], in_process_gateway.db
    await deploy(user, flow_json())
    async with db.write() as session:
        await session.execute(delete(Profile).where(Profile.id == me))
    kept = {StorageKind.AUDIT_EVENTS: (await counted(db, me))[StorageKind.AUDIT_EVENTS]}
    assert await counted(db, me) == {**NOTHING, **kept}, "as all else was deleted with the user"
    admin = await in_process_gateway.user("admin@example.com")
    other = await in_process_gateway.user("other@example.com")
    await deploy(other, flow_json())
    them = other.headers["x-test-profile"]
    async with db.write() as session:
        owner = update(Profile).where(Profile.id == admin.headers["x-test-profile"])
        await session.execute(owner.values(role="owner"))
    assert (await admin.delete(f"/node/users/{them}/")).status_code == 204
    async with db.read() as session:
        rows = select(func.count()).where(UserStorage.profile_id == them)
        assert await session.scalar(rows) == 0


async def test_old_audit_events_that_are_deleted_make_room(
    database: Database, profile: Profile
) -> None:
    async with database.write() as session:
        for days in (91, 0):
            event = AuditEvent(action="flow.create", subject_kind="flow", subject_id="f")
            event.actor_id, event.created_at = profile.id, now() - timedelta(days=days)
            event.after = {"name": "é"}
            session.add(event)
    one = ROW_BYTES + size({"name": "é"})
    assert (await counted(database, profile.id))[StorageKind.AUDIT_EVENTS] == Stored(2, 2 * one)
    async with database.write() as session:
        old = delete(AuditEvent).where(AuditEvent.created_at < now() - timedelta(days=90))
        await session.execute(old)
    assert (await counted(database, profile.id))[StorageKind.AUDIT_EVENTS] == Stored(1, one)


async def test_many_rows_are_replaced_by_their_sums(
    database: Database, url: str, profile: Profile
) -> None:
    limited = Database(url, LIMITS)
    row = {"profile_id": profile.id, "kind": "flows", "number": 1, "bytes": 3}
    async with limited.write() as session:
        assert USER_QUOTA in session.info
        await session.execute(insert(UserStorage), [row] * 250)
        await session.execute(insert(UserStorage), [{**row, "kind": "of another release"}] * 2)
        await check_change(session, "flow.create", actor_id=profile.id, owner_id=None)
    async with database.read() as session:
        rows = await session.execute(text("SELECT kind, number, bytes FROM user_storage"))
        assert sorted(tuple(row) for row in rows) == [
            ("flows", 250, 750),
            ("of another release", 2, 6),
        ]
    await limited.close()
