"""How long a run of a model may take, and which call has ended a process of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; NULL, as a gateway of the version before leaves them, is the default."""
    op.add_column("inference_servers", sa.Column("max_run_seconds", sa.Float(), nullable=True))
    op.add_column("replicas", sa.Column("crashed_call", sa.String(32), nullable=True))
