"""How often keys that are not valid were used, and from where."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; the defaults serve gateways of the version before."""
    op.add_column(
        "api_keys", sa.Column("refused_uses", sa.BigInteger(), nullable=False, server_default="0")
    )
    op.add_column("api_keys", sa.Column("last_refused_at", sa.DateTime(timezone=True)))
    op.add_column(
        "api_key_addresses",
        sa.Column("refused", sa.BigInteger(), nullable=False, server_default="0"),
    )
