"""What users' flows, deployments, keys and audit events take, counted by triggers.

SQLite drops a table's triggers when alembic rebuilds the table in batch mode: a migration that does
so to one of the tables here has to make them again.
"""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None

_ROW_BYTES = 1024
_SIZES = {
    "sqlite": "coalesce(length(CAST({value} AS BLOB)), 0)",
    "postgresql": "coalesce(octet_length({value}::text), 0)",
}
_INSERT = "INSERT INTO user_storage (profile_id, kind, number, bytes)"
_SQLITE = "CREATE TRIGGER {name} {event} ON {table} {when} BEGIN {statements} END"
_FUNCTION = """
CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN {statements} RETURN {result}; END $$
"""
_POSTGRESQL = """
CREATE TRIGGER {name} {event} ON {table} FOR EACH ROW {when} EXECUTE FUNCTION {name}()
"""


def upgrade() -> None:
    """Add the table and the triggers, and count what is stored."""
    op.create_table(
        "user_storage",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True),
        sa.Column("profile_id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_storage")),
    )
    op.create_index("ix_user_storage_profile_id", "user_storage", ["profile_id"])
    dialect = op.get_bind().dialect.name
    for name, table, event, when, statements in _triggers(_SIZES[dialect]):
        values = {
            "name": f"{table}_{name}",
            "table": table,
            "event": event,
            "when": when and f"WHEN ({when})",
            "statements": f"{statements};",
            "result": "OLD" if event.startswith("BEFORE") else "NULL",
        }
        if dialect == "sqlite":
            op.get_bind().exec_driver_sql(_SQLITE.format(**values))
        else:
            op.get_bind().exec_driver_sql(_FUNCTION.format(**values))
            op.get_bind().exec_driver_sql(_POSTGRESQL.format(**values))
    for statement in _present(_SIZES[dialect]):
        op.get_bind().exec_driver_sql(f"{_INSERT} {statement}")


def _flow(row: str, size: str) -> str:
    return f"{_ROW_BYTES} + {size.format(value=f'{row}definition')}"


def _version(row: str, size: str) -> str:
    columns = ("definition", "models", "input_schema", "description")
    sizes = (size.format(value=f"{row}{column}") for column in columns)
    return f"{_ROW_BYTES} + {' + '.join(sizes)}"


def _event(row: str, size: str) -> str:
    sizes = (size.format(value=f'{row}"{column}"') for column in ("before", "after"))
    return f"{_ROW_BYTES} + {' + '.join(sizes)}"


def _triggers(size: str) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield name, table, event, condition and statements of each trigger.

    Revisions and versions belong to the user of a flow and a deployment. Those deleted with it are
    counted before, as their own triggers do not find it.
    """
    yield (
        *("storage_added", "flows", "AFTER INSERT", ""),
        f"{_INSERT} VALUES (NEW.profile_id, 'flows', 1, {_flow('NEW.', size)})",
    )
    yield (
        *("storage_changed", "flows", "AFTER UPDATE OF definition"),
        f"{_flow('NEW.', size)} <> {_flow('OLD.', size)}",
        f"{_INSERT} VALUES (NEW.profile_id, 'flows', 0, "
        f"({_flow('NEW.', size)}) - ({_flow('OLD.', size)}))",
    )
    yield (
        *("storage_freed", "flows", "BEFORE DELETE", ""),
        f"{_INSERT} VALUES (OLD.profile_id, 'flows', -1, -({_flow('OLD.', size)}) - "
        f"(SELECT coalesce(sum({_ROW_BYTES} + definition_bytes), 0) FROM flow_revisions "
        "WHERE flow_id = OLD.id))",  # nosec B608 # constants
    )
    of_flow = "FROM flows WHERE id ="
    yield (
        *("storage_added", "flow_revisions", "AFTER INSERT", ""),
        f"{_INSERT} SELECT profile_id, 'flows', 0, {_ROW_BYTES} + NEW.definition_bytes "
        f"{of_flow} NEW.flow_id",
    )
    yield (
        *("storage_changed", "flow_revisions", "AFTER UPDATE OF definition_bytes"),
        "NEW.definition_bytes <> OLD.definition_bytes",
        f"{_INSERT} SELECT profile_id, 'flows', 0, NEW.definition_bytes - OLD.definition_bytes "
        f"{of_flow} NEW.flow_id",
    )
    yield (
        *("storage_freed", "flow_revisions", "AFTER DELETE", ""),
        f"{_INSERT} SELECT profile_id, 'flows', 0, -{_ROW_BYTES} - OLD.definition_bytes "
        f"{of_flow} OLD.flow_id",
    )
    yield (
        *("storage_added", "deployments", "AFTER INSERT", "NEW.status <> 'deleted'"),
        f"{_INSERT} VALUES (NEW.profile_id, 'deployments', 1, 0)",
    )
    yield (
        *("storage_changed", "deployments", "AFTER UPDATE OF status"),
        "OLD.status <> 'deleted' AND NEW.status = 'deleted'",
        f"{_INSERT} VALUES (NEW.profile_id, 'deployments', -1, 0)",
    )
    yield (
        *("storage_freed", "deployments", "BEFORE DELETE", ""),
        f"{_INSERT} VALUES (OLD.profile_id, 'deployments', "
        "CASE OLD.status WHEN 'deleted' THEN 0 ELSE -1 END, 0); "
        f"{_INSERT} SELECT OLD.profile_id, 'versions', -count(*), "
        f"-coalesce(sum({_version('', size)}), 0) "  # nosec B608 # constants
        "FROM deployment_versions WHERE deployment_id = OLD.id",
    )
    of_deployment = "FROM deployments WHERE id ="
    yield (
        *("storage_added", "deployment_versions", "AFTER INSERT", ""),
        f"{_INSERT} SELECT profile_id, 'versions', 1, {_version('NEW.', size)} "
        f"{of_deployment} NEW.deployment_id",
    )
    yield (
        *("storage_changed", "deployment_versions", "AFTER UPDATE OF description"),
        f"{_version('NEW.', size)} <> {_version('OLD.', size)}",
        f"{_INSERT} SELECT profile_id, 'versions', 0, "
        f"({_version('NEW.', size)}) - ({_version('OLD.', size)}) "
        f"{of_deployment} NEW.deployment_id",
    )
    yield (
        *("storage_freed", "deployment_versions", "AFTER DELETE", ""),
        f"{_INSERT} SELECT profile_id, 'versions', -1, -({_version('OLD.', size)}) "
        f"{of_deployment} OLD.deployment_id",
    )
    yield (
        *("storage_added", "api_keys", "AFTER INSERT", ""),
        f"{_INSERT} VALUES (NEW.profile_id, 'api_keys', 1, 0)",
    )
    yield (
        *("storage_freed", "api_keys", "AFTER DELETE", ""),
        f"{_INSERT} VALUES (OLD.profile_id, 'api_keys', -1, 0)",
    )
    yield (
        *("storage_added", "audit_acts", "AFTER INSERT", "NEW.actor_id IS NOT NULL"),
        f"{_INSERT} VALUES (NEW.actor_id, 'audit_events', 1, {_event('NEW.', size)})",
    )
    yield (  # an event outlives its actor, whose counts are deleted
        *("storage_freed", "audit_acts", "AFTER DELETE", "OLD.actor_id IS NOT NULL"),
        f"{_INSERT} SELECT id, 'audit_events', -1, -({_event('OLD.', size)}) "
        "FROM profiles WHERE id = OLD.actor_id",  # nosec B608 # constants
    )


def _present(size: str) -> Iterator[str]:
    """Yield queries for what is stored."""
    yield (
        f"SELECT profile_id, 'flows', count(*), sum({_flow('', size)}) FROM flows "
        "GROUP BY profile_id"  # nosec B608 # constants
    )
    yield (
        f"SELECT profile_id, 'flows', 0, sum({_ROW_BYTES} + definition_bytes) "  # nosec B608 # constants
        "FROM flow_revisions JOIN flows ON flows.id = flow_id GROUP BY profile_id"
    )
    version = _version("deployment_versions.", size)
    yield (
        f"SELECT profile_id, 'versions', count(*), sum({version}) "
        "FROM deployment_versions JOIN deployments ON deployments.id = deployment_id "
        "GROUP BY profile_id"  # nosec B608 # constants
    )
    yield (
        "SELECT profile_id, 'deployments', count(*), 0 FROM deployments "
        "WHERE status <> 'deleted' GROUP BY profile_id"
    )
    yield "SELECT profile_id, 'api_keys', count(*), 0 FROM api_keys GROUP BY profile_id"
    yield (
        f"SELECT actor_id, 'audit_events', count(*), sum({_event('', size)}) FROM audit_acts "
        "WHERE actor_id IS NOT NULL GROUP BY actor_id"  # nosec B608 # constants
    )
