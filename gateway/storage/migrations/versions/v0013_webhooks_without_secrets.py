"""Webhooks and secrets that have lost each other."""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
    UPDATE deployments SET notification_method = 'none'
    WHERE notification_method = 'webhook' AND status <> 'deleted'
    AND id NOT IN (SELECT deployment_id FROM webhook_endpoints)
    """,
    """
    UPDATE webhook_deliveries SET status = 'cancelled', due_at = NULL
    WHERE status IN ('pending', 'held') AND deployment_id NOT IN (SELECT id FROM deployments)
    """,
    "DELETE FROM webhook_endpoints WHERE deployment_id NOT IN (SELECT id FROM deployments)",
)


def upgrade() -> None:
    """Turn off webhooks that never had a secret, and forget those whose user was deleted.

    The first were saved before anything was sent: the user who turns one on is shown its secret.
    """
    for statement in _STATEMENTS:
        op.execute(statement)
