"""The tables that count what stored runs and events take.

Triggers of the database, made by migration 0020, write each change of a row's `stored_bytes` to
`storage_changes`, in the transaction of the change. Nothing is locked, so transactions do not wait
for each other, and one that is rolled back counts nothing. The gateways add the changes to
`storage_usage` every few seconds.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Integer
from sqlalchemy.orm import Mapped, mapped_column

from gateway.storage.tables import Id, Table

ROW_BYTES = 1024
"""What a run or an event counts beside its data: about the size of its rows and index entries."""
INSTALLATION = ""
"""The `profile_id` of the row with the sum over all users."""


class StorageChange(Table):
    """Bytes that a transaction has added for a user, or freed; not yet in StorageUsage."""

    __tablename__ = "storage_changes"

    id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    )
    profile_id: Mapped[str] = mapped_column(Id)
    bytes: Mapped[int] = mapped_column(BigInteger)


class StorageUsage(Table):
    """Bytes of a user's stored runs and events, without the changes that are not yet added."""

    __tablename__ = "storage_usage"

    profile_id: Mapped[str] = mapped_column(Id, primary_key=True)
    bytes: Mapped[int] = mapped_column(BigInteger)
