"""An index that finds API keys by the beginning of their masks."""

from __future__ import annotations

from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index."""
    op.create_index("ix_api_keys_mask", "api_keys", ["profile_id", "display_prefix"])
