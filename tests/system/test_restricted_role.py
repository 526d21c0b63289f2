"""A gateway whose database role may read and write but not alter tables."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from gateway.storage.migrate import migrate
from tests.gateway.databases import SERVER, PostgresDatabase
from tests.slipstream.running import NO_WORKER, Up
from tests.system.installation import Installation

pytestmark = pytest.mark.services

GRANTS = """
CREATE ROLE {role} LOGIN;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role};
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role};
"""


async def execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
def restricted() -> Iterator[str]:
    """The URL of a migrated database for a role that owns none of its tables."""
    database = PostgresDatabase()
    role = f"{database.name}_app"
    database.create()
    try:
        asyncio.run(migrate(database.url))
        asyncio.run(execute(database.url, GRANTS.format(role=role)))
        yield database.url.replace("postgres@", f"{role}@")
    finally:
        database.drop()
        asyncio.run(execute(f"{SERVER}/postgres", f"DROP ROLE IF EXISTS {role}"))


def test_a_restricted_role_serves_calls_and_cannot_change_the_audit_log(
    restricted: str, tmp_path: Path
) -> None:
    up = Up(tmp_path / "state", *NO_WORKER, SLIPSTREAM_DATABASE_URL=restricted)
    up.until("documentation")
    installation = Installation(up)
    assert installation.http.get("/node/audit/").json()["items"]
    for statement in (
        "ALTER TABLE audit_acts DISABLE TRIGGER ALL",
        "DROP TABLE audit_acts",
        "TRUNCATE audit_acts",
        "SET session_replication_role = replica",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            asyncio.run(execute(restricted, statement))
    for statement in ("DELETE FROM audit_acts", "UPDATE audit_acts SET action = 'nothing'"):
        with pytest.raises(asyncpg.RestrictViolationError):
            asyncio.run(execute(restricted, statement))
    installation.stop()
