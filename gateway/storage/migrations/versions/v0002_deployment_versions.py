"""More about deployments and their versions."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# Plain ADD COLUMN, each NOT NULL with a default for the rows that are there. Alembic's batch mode
# would copy the table and drop the old one, and on SQLite a dropped table takes the rows that
# refer to it along.
_SETTINGS: tuple[tuple[str, Any, Any], ...] = (
    ("cold_start_wait_seconds", sa.Integer(), "20"),
    ("on_timeout", sa.String(length=32), "stop"),
    ("include_node_outputs", sa.Boolean(), sa.true()),
    ("retry_safe", sa.Boolean(), sa.false()),
    ("require_idempotency_key", sa.Boolean(), sa.false()),
    ("record_runs", sa.String(length=32), "all"),
    ("record_sample", sa.Float(), "0.1"),
)

_VERSIONS = sa.table(
    "deployment_versions",
    sa.column("deployment_id", sa.String),
    sa.column("version", sa.Integer),
    sa.column("definition", sa.JSON),
    sa.column("input_schema", sa.JSON(none_as_null=True)),
)


def upgrade() -> None:
    """Add the columns, and fill in what is known of the snapshots that are there."""
    op.add_column("deployments", sa.Column("queue_timeout_seconds", sa.Integer(), nullable=True))
    for name, kind, default in _SETTINGS:
        column = sa.Column(name, kind, nullable=False, server_default=default)
        op.add_column("deployments", column)
    for column in (
        sa.Column("input_schema", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("drafted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("name", sa.String(length=200), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("created_by", sa.String(length=36), nullable=True),
        sa.Column("created_by_key", sa.String(length=36), nullable=True),
    ):
        op.add_column("deployment_versions", column)
    op.execute(
        "UPDATE deployment_versions SET created_by ="
        " (SELECT profile_id FROM deployments WHERE id = deployment_versions.deployment_id)"
    )
    _fill_in_schemas(op.get_bind())


def _fill_in_schemas(connection: sa.Connection) -> None:
    key = (_VERSIONS.c.deployment_id, _VERSIONS.c.version)
    for deployment_id, version in connection.execute(sa.select(*key)).all():
        this = sa.and_(key[0] == deployment_id, key[1] == version)
        # One at a time: a definition may take megabytes.
        definition = connection.execute(sa.select(_VERSIONS.c.definition).where(this)).scalar_one()
        schema = _input_schema(definition)
        if schema is not None:
            connection.execute(sa.update(_VERSIONS).where(this).values(input_schema=schema))


def _input_schema(definition: dict[str, Any]) -> dict[str, Any] | None:
    for node in definition["nodes"]:
        if node["type"] == "api_input":
            schema: dict[str, Any] | None = node.get("config", {}).get("schema")
            return schema
    return None
