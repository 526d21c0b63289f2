"""What is wrong with the database, in one line for the person who can mend it."""

from __future__ import annotations


class StorageError(Exception):
    """The database cannot be used: unreachable, damaged, or written by another version."""
