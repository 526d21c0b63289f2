"""What stored runs and events take, counted by triggers.

Rows from before this migration count as nothing: they are deleted when their retention ends.
SQLite drops a table's triggers when alembic rebuilds the table in batch mode: a migration that does
so to `runs` or `webhook_deliveries` has to make them again.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_COUNTED = ("runs", "webhook_deliveries")

_SQLITE = (
    """
    CREATE TRIGGER {table}_storage_added AFTER INSERT ON {table} WHEN NEW.stored_bytes <> 0
    BEGIN INSERT INTO storage_changes (profile_id, bytes)
    VALUES (NEW.profile_id, NEW.stored_bytes); END
    """,
    """
    CREATE TRIGGER {table}_storage_changed AFTER UPDATE OF stored_bytes ON {table}
    WHEN NEW.stored_bytes <> OLD.stored_bytes
    BEGIN INSERT INTO storage_changes (profile_id, bytes)
    VALUES (NEW.profile_id, NEW.stored_bytes - OLD.stored_bytes); END
    """,
    """
    CREATE TRIGGER {table}_storage_freed AFTER DELETE ON {table} WHEN OLD.stored_bytes <> 0
    BEGIN INSERT INTO storage_changes (profile_id, bytes)
    VALUES (OLD.profile_id, -OLD.stored_bytes); END
    """,
)

_FUNCTION = """
CREATE FUNCTION count_storage() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO storage_changes (profile_id, bytes) VALUES (NEW.profile_id, NEW.stored_bytes);
    ELSIF TG_OP = 'UPDATE' THEN
        INSERT INTO storage_changes (profile_id, bytes)
        VALUES (NEW.profile_id, NEW.stored_bytes - OLD.stored_bytes);
    ELSE
        INSERT INTO storage_changes (profile_id, bytes) VALUES (OLD.profile_id, -OLD.stored_bytes);
    END IF;
    RETURN NULL;
END $$
"""

_POSTGRESQL = (
    """
    CREATE TRIGGER {table}_storage_added AFTER INSERT ON {table}
    FOR EACH ROW WHEN (NEW.stored_bytes <> 0) EXECUTE FUNCTION count_storage()
    """,
    """
    CREATE TRIGGER {table}_storage_changed AFTER UPDATE OF stored_bytes ON {table}
    FOR EACH ROW WHEN (NEW.stored_bytes <> OLD.stored_bytes) EXECUTE FUNCTION count_storage()
    """,
    """
    CREATE TRIGGER {table}_storage_freed AFTER DELETE ON {table}
    FOR EACH ROW WHEN (OLD.stored_bytes <> 0) EXECUTE FUNCTION count_storage()
    """,
)


def upgrade() -> None:
    """Add the columns, the two tables and the triggers."""
    for table in _COUNTED:
        op.add_column(
            table, sa.Column("stored_bytes", sa.BigInteger(), nullable=False, server_default="0")
        )
    op.create_table(
        "storage_changes",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True),
        sa.Column("profile_id", sa.String(length=36), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_storage_changes")),
    )
    op.create_table(
        "storage_usage",
        sa.Column("profile_id", sa.String(length=36), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("profile_id", name=op.f("pk_storage_usage")),
    )
    connection = op.get_bind()
    sqlite = connection.dialect.name == "sqlite"
    if not sqlite:
        connection.exec_driver_sql(_FUNCTION)
    for table in _COUNTED:
        for statement in _SQLITE if sqlite else _POSTGRESQL:
            connection.exec_driver_sql(statement.format(table=table))
