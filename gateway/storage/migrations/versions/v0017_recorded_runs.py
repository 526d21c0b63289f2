"""Idempotency keys belong to an API key; what fast calls leave behind is a sample unless chosen."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_KEPT = sa.text("fingerprint IS NOT NULL")


def upgrade() -> None:
    """Widen the index, and name what `all` has been: written later, and only up to a rate."""
    op.drop_index("uq_runs_idempotency", "runs")
    op.create_index(
        "uq_runs_idempotency",
        "runs",
        ["idempotency_key", "profile_id", "deployment_id", "key_id"],
        unique=True,
        sqlite_where=_KEPT,
        postgresql_where=_KEPT,
    )
    op.execute(
        "UPDATE deployments SET record_runs = 'sample', record_sample = 1 WHERE record_runs = 'all'"
    )
