"""Where keys were last used from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column: of uses so far, nobody knows."""
    op.add_column("api_keys", sa.Column("last_address", sa.String(64), nullable=True))
