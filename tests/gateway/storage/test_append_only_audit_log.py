"""The database enforces an append-only audit log: SQL can insert events, not change them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from gateway.audit.service import AuditLog
from gateway.errors import GatewayError
from gateway.storage.audit_events import ACTOR, Actor, AuditTarget, record_event
from gateway.storage.audit_tables import MIN_RETENTION_DAYS
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.tables import Profile
from tests.gateway.audit.audit_log_entries import acts_in, write_acts

pytestmark = pytest.mark.databases("sqlite", "postgresql")

OLD = timedelta(days=MIN_RETENTION_DAYS, minutes=1)
YOUNG = timedelta(days=MIN_RETENTION_DAYS) - timedelta(minutes=1)

FORBIDDEN = (
    "UPDATE audit_acts SET action = 'nothing'",
    "UPDATE audit_acts SET created_at = '2001-01-01 00:00:00.000000'",
    "DELETE FROM audit_acts",
)
OF_A_DIALECT = {
    "sqlite": "INSERT OR REPLACE INTO audit_acts SELECT * FROM audit_acts",
    "postgresql": "TRUNCATE audit_acts",
}


async def test_no_statement_changes_or_deletes_an_event(database: Database) -> None:
    await write_acts(database, 2, name="kept")
    for statement in (*FORBIDDEN, OF_A_DIALECT[database.dialect]):
        with pytest.raises(DBAPIError, match="append-only"):
            async with database.write() as session:
                await session.execute(text(statement))
    assert [act.subject_name for act in await acts_in(database)] == ["kept", "kept"]


async def test_old_events_cannot_be_changed_either(database: Database) -> None:
    await write_acts(database, 1, at=now() - OLD)
    with pytest.raises(DBAPIError, match="append-only"):
        async with database.write() as session:
            await session.execute(text(FORBIDDEN[0]))


async def test_the_database_rejects_the_deletion_of_young_events(database: Database) -> None:
    await write_acts(database, 1, at=now() - OLD, name="old")
    await write_acts(database, 1, at=now() - YOUNG, name="young")
    async with database.write() as session:
        await session.execute(text("DELETE FROM audit_acts WHERE subject_name = 'old'"))
    with pytest.raises(DBAPIError, match="append-only"):
        async with database.write() as session:
            await session.execute(text("DELETE FROM audit_acts"))
    assert [act.subject_name for act in await acts_in(database)] == ["young"]


async def test_pruning_deletes_old_events_and_is_recorded(
    database: Database, profile: Profile
) -> None:
    await write_acts(database, 4500, at=now() - 2 * OLD, name="old")
    await write_acts(database, 1, name="new")
    before = now() - OLD
    ACTOR.set(Actor(profile_id=profile.id, system_user="ada"))
    assert await AuditLog(database).prune(before) == 4500
    new, pruned = await acts_in(database)
    assert new.subject_name == "new"
    assert (pruned.action, pruned.system_user) == ("audit_log.prune", "ada")
    assert pruned.after == {"before": before.isoformat()}
    assert await AuditLog(database).prune(before) == 0
    assert len(await acts_in(database)) == 2, "nothing was deleted, so nothing was done"


async def test_pruning_within_the_minimum_retention_is_rejected(database: Database) -> None:
    with pytest.raises(GatewayError, match="90 days"):
        await AuditLog(database).prune(now() - YOUNG)


async def test_a_rolled_back_transaction_records_no_event(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        await _act_and_fail(database)
    assert await acts_in(database) == []


async def _act_and_fail(db: Database) -> None:
    async with db.write() as session:
        await record_event(
            session, action="flow.create", target_kind=AuditTarget.FLOW, target_id="x", after={}
        )
        await session.flush()
        raise ZeroDivisionError


async def test_events_name_deleted_users(database: Database, profile: Profile) -> None:
    ACTOR.set(Actor(profile_id=profile.id))
    async with database.write() as session:
        await record_event(session, action="x.y", target_kind=AuditTarget.USER, target_id="x")
    async with database.write() as session:
        await session.execute(text("DELETE FROM profiles"))
    (act,) = await acts_in(database)
    assert (act.actor_id, act.actor_name) == (profile.id, "ada@example.com")
