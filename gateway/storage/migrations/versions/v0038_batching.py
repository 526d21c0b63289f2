"""Which calls share runs of a model, by the word of those who serve it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; the default serves gateways of the version before."""
    op.add_column(
        "inference_servers",
        sa.Column("batching", sa.String(32), nullable=False, server_default="auto"),
    )
