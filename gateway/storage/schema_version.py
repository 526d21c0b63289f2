"""The version of the tables that this code works with. Standard library only: `up` imports it."""

from __future__ import annotations

from pathlib import Path

MIGRATIONS = Path(__file__).parent / "migrations"


def newest_revision() -> str:
    """Return the revision of the last migration: the number in its file name, `v0001_….py`."""
    return max(file.name for file in MIGRATIONS.glob("versions/v*_*.py"))[1:5]
