"""How long a run of a model may take, by the word of those who serve it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; NULL, as a gateway of the version before leaves it, is the default."""
    op.add_column("inference_servers", sa.Column("max_run_seconds", sa.Float(), nullable=True))
