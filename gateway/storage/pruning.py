"""Batches of rows to delete."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

BATCH_ROWS = 500
_BATCH_BYTES = 64 * 1024 * 1024
"""Other writers of SQLite wait while a batch is deleted."""


# Any: rows with the columns id and stored_bytes
def ids_of_batch(rows: Iterable[Any]) -> list[str]:
    """Return the ids of the first rows that together are small enough for one transaction.

    A row of any size is a batch by itself.
    """
    ids: list[str] = []
    size = 0
    for row in rows:
        size += row.stored_bytes
        if ids and size > _BATCH_BYTES:
            break
        ids.append(row.id)
    return ids
