"""Alembic's entry point: runs the migrations in the transaction of `migrate`."""

from __future__ import annotations

from alembic import context

from gateway.storage import (  # noqa: F401 - their tables
    call_tables,
    flow_tables,
    key_tables,
    quota_tables,
    rehearsal_tables,
    usage_tables,
    watch_tables,
    webhook_tables,
)
from gateway.storage.account_tables import ConsoleSession
from gateway.storage.run_tables import RunRow

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=[table.metadata for table in (ConsoleSession, RunRow)],
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
