"""INSERT … ON CONFLICT: both databases have it, and SQLAlchemy a class for each."""

from __future__ import annotations

from sqlalchemy import Table as SqlTable
from sqlalchemy.dialects import postgresql, sqlite

from gateway.storage.tables import Table


def insert_into(table: SqlTable | type[Table], dialect: str) -> postgresql.Insert | sqlite.Insert:
    """Return an INSERT that can say what to do where the row is there already."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
