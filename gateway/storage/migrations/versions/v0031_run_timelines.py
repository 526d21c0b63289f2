"""What the timeline of a run needs, and indexes of runs by the code of their error."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

_WITH_ERROR = sa.text("error_code IS NOT NULL")


def upgrade() -> None:
    """Add the columns: of existing runs it is not known. Only runs with an error are indexed."""
    op.add_column("runs", sa.Column("request_id", sa.String(length=128), nullable=True))
    op.add_column(
        "runs", sa.Column("cancel_requested_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.add_column("run_events", sa.Column("attempt", sa.Integer(), nullable=True))
    for name, owner in (
        ("ix_runs_code_page", "profile_id"),
        ("ix_runs_deployment_code_page", "deployment_id"),
    ):
        op.create_index(
            name,
            "runs",
            [owner, "error_code", "created_at", "id"],
            sqlite_where=_WITH_ERROR,
            postgresql_where=_WITH_ERROR,
        )
