"""Whose models are, and who may use them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table, empty: models that exist belong to the installation and are shared."""
    op.create_table(
        "models",
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("owner_id", sa.String(36), nullable=True),
        sa.Column("visibility", sa.String(32), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_models"),
        sa.ForeignKeyConstraint(
            ["owner_id"], ["profiles.id"], name="fk_models_owner_id", ondelete="SET NULL"
        ),
    )
    op.create_index("ix_models_owner_id", "models", ["owner_id"])
