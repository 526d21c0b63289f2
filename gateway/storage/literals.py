"""Words of our own in the text of a statement: no parameter, so that partial indexes serve it."""

from __future__ import annotations

import sqlalchemy as sa


def literal(value: str) -> sa.ColumnClause[str]:
    """Return one of our own words as a part of a statement's text."""
    return sa.literal_column(f"'{value}'", sa.String())
