"""Alembic's entry: runs the migrations on the connection, and in the transaction, of `migrate`."""

from __future__ import annotations

from alembic import context

from gateway.storage.run_tables import RunRow
from gateway.storage.webhook_tables import WebhookEndpoint

_TABLES = (RunRow, WebhookEndpoint)  # one of each file: importing them fills the metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=_TABLES[0].metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
