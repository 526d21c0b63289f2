"""The audit log, which the database itself keeps from being changed.

SQLite drops a table's triggers when alembic rebuilds the table in batch mode: a migration that does
so to `audit_acts` has to make them again.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_SQLITE = (
    """
    CREATE TRIGGER audit_acts_never_change BEFORE UPDATE ON audit_acts
    BEGIN SELECT RAISE(ABORT, 'audit_acts is append-only'); END
    """,
    """
    CREATE TRIGGER audit_acts_stay BEFORE DELETE ON audit_acts
    WHEN OLD.created_at >= strftime('%Y-%m-%d %H:%M:%f', 'now', '-90 days')
    BEGIN SELECT RAISE(ABORT, 'audit_acts is append-only: acts stay for 90 days'); END
    """,
    # INSERT OR REPLACE deletes without asking the trigger above.
    """
    CREATE TRIGGER audit_acts_replace_nothing BEFORE INSERT ON audit_acts
    WHEN EXISTS (SELECT 1 FROM audit_acts WHERE id = NEW.id)
    BEGIN SELECT RAISE(ABORT, 'audit_acts is append-only'); END
    """,
)

_POSTGRESQL = (
    """
    CREATE FUNCTION audit_acts_stay() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'DELETE' THEN
            IF OLD.created_at < now() - interval '90 days' THEN
                RETURN OLD;
            END IF;
        END IF;
        RAISE EXCEPTION 'audit_acts is append-only: acts stay for 90 days'
            USING ERRCODE = 'restrict_violation';
    END $$
    """,
    """
    CREATE TRIGGER audit_acts_stay BEFORE UPDATE OR DELETE ON audit_acts
    FOR EACH ROW EXECUTE FUNCTION audit_acts_stay()
    """,
    """
    CREATE TRIGGER audit_acts_stay_all BEFORE TRUNCATE ON audit_acts
    FOR EACH STATEMENT EXECUTE FUNCTION audit_acts_stay()
    """,
)


def upgrade() -> None:
    """Create the table, its indexes and its triggers."""
    op.create_table(
        "audit_acts",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("subject_kind", sa.String(length=32), nullable=False),
        sa.Column("subject_id", sa.String(length=200), nullable=False),
        sa.Column("subject_name", sa.String(length=200), nullable=True),
        sa.Column("owner_id", sa.String(length=36), nullable=True),
        sa.Column("actor_id", sa.String(length=36), nullable=True),
        sa.Column("actor_name", sa.String(length=320), nullable=True),
        sa.Column("key_id", sa.String(length=36), nullable=True),
        sa.Column("session_id", sa.String(length=36), nullable=True),
        sa.Column("address", sa.String(length=64), nullable=True),
        sa.Column("system_user", sa.String(length=200), nullable=True),
        sa.Column("request_id", sa.String(length=200), nullable=True),
        sa.Column("before", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("after", sa.JSON(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_acts")),
    )
    page = ["created_at", "id"]
    op.create_index("ix_audit_acts_page", "audit_acts", page)
    op.create_index("ix_audit_acts_owner_page", "audit_acts", ["owner_id", *page])
    op.create_index("ix_audit_acts_subject_page", "audit_acts", ["subject_id", *page])
    for statement in _SQLITE if op.get_bind().dialect.name == "sqlite" else _POSTGRESQL:
        op.get_bind().exec_driver_sql(statement)
