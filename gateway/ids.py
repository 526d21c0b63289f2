"""Identifiers: only the gateway mints them; everybody else echoes."""

from __future__ import annotations

from uuid import UUID, uuid4


def new_id() -> str:
    """Return a new id for a row or a run: a random UUID in its 36-character form."""
    return str(uuid4())


def is_id(text: str) -> bool:
    """Whether `text` has the form of an id, so that looking it up can be worth it."""
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False
