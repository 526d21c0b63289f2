"""Handles of users and slugs of deployments, of which readable addresses are made.

Both may be NULL: a gateway of the version before leaves them so, while it runs during an upgrade.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from uuid import UUID

import sqlalchemy as sa
from alembic import op

revision = "0046"
down_revision = "0045"
branch_labels = None
depends_on = None

_HANDLE_LENGTH = 39
_SLUG_LENGTH = 63
_NOT_DELETED = sa.text("status <> 'deleted'")
_BATCH = 1000


def upgrade() -> None:
    """Add the columns, fill them, oldest rows first, and make their indexes."""
    op.add_column("profiles", sa.Column("handle", sa.String(_HANDLE_LENGTH), nullable=True))
    op.add_column("deployments", sa.Column("slug", sa.String(_SLUG_LENGTH), nullable=True))
    _fill_handles(op.get_bind())
    _fill_slugs(op.get_bind())
    op.create_index("ix_profiles_handle", "profiles", ["handle"], unique=True)
    op.create_index(
        "ix_deployments_slug",
        "deployments",
        ["profile_id", "slug"],
        unique=True,
        sqlite_where=_NOT_DELETED,
        postgresql_where=_NOT_DELETED,
    )
    op.create_index(
        "ix_deployments_tombstones", "deployments", ["profile_id", "slug", "created_at", "id"]
    )


def _fill_handles(connection: sa.Connection) -> None:
    rows = connection.execute(sa.text("SELECT id, email FROM profiles ORDER BY created_at, id"))
    free = _FreeNames()
    handles = [
        (row.id, free.take("", _slug(row.email.partition("@")[0], "user", _HANDLE_LENGTH)))
        for row in rows
    ]
    _write(connection, sa.text("UPDATE profiles SET handle = :name WHERE id = :id"), handles)


def _fill_slugs(connection: sa.Connection) -> None:
    """A tombstone has the slug of its name, whichever others have it."""
    rows = connection.execute(
        sa.text("SELECT id, profile_id, name, status FROM deployments ORDER BY created_at, id")
    )
    free = _FreeNames()
    slugs = []
    for row in rows:
        slug = _slug(row.name, "deployment", _SLUG_LENGTH)
        if row.status != "deleted":
            slug = free.take(row.profile_id, slug, _SLUG_LENGTH)
        slugs.append((row.id, slug))
    _write(connection, sa.text("UPDATE deployments SET slug = :name WHERE id = :id"), slugs)


class _FreeNames:
    """What is taken, by owner."""

    def __init__(self) -> None:
        self._taken: set[tuple[str, str]] = set()
        self._next: dict[tuple[str, str], int] = {}

    def take(self, owner: str, name: str, max_length: int = _HANDLE_LENGTH) -> str:
        """Return `name`, or with `-2`, `-3` and so on behind it the first that is free."""
        found, number = name, self._next.get((owner, name), 2)
        while (owner, found) in self._taken:
            end = f"-{number}"
            found = name[: max_length - len(end)].rstrip("-") + end
            number += 1
        self._next[owner, name] = number
        self._taken.add((owner, found))
        return found


def _slug(text: str, kind: str, max_length: int) -> str:
    plain = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:max_length].rstrip("-")
    if not words:
        return kind
    try:
        is_id = str(UUID(words)) == words
    except ValueError:
        is_id = False
    reserved = is_id or (kind == "deployment" and words == "presets")
    return f"{kind}-{words}"[:max_length].rstrip("-") if reserved else words


def _write(
    connection: sa.Connection, statement: sa.TextClause, names: Iterable[tuple[str, str]]
) -> None:
    for batch in _batches([{"id": row_id, "name": name} for row_id, name in names]):
        connection.execute(statement, batch)


def _batches(values: list[dict[str, str]]) -> Iterator[list[dict[str, str]]]:
    for start in range(0, len(values), _BATCH):
        yield values[start : start + _BATCH]
