"""The tables that count what is stored: of runs and events, and of what users define.

Triggers of the database, made by migration 0020, write each change of a row's `stored_bytes` to
`storage_changes`, in the transaction of the change. Nothing is locked, so transactions do not wait
for each other, and one that is rolled back counts nothing. The gateways add the changes to
`storage_usage` every few seconds.

Triggers of migration 0040 write to `user_storage` in the same way, for tables that change seldom:
who reads many rows of a user replaces them by their sums, see `user_storage.py`.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Integer
from sqlalchemy.orm import Mapped, mapped_column

from gateway.storage.tables import Id, Table, Word

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


class UserStorage(Table):
    """What a transaction has added for a user, or freed. The sum of all rows is what is stored."""

    __tablename__ = "user_storage"

    id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    )
    profile_id: Mapped[str] = mapped_column(Id, index=True)
    """The owner; of audit events, who has acted."""
    kind: Mapped[str] = mapped_column(Word)
    """See `StorageKind`."""
    number: Mapped[int] = mapped_column(BigInteger)
    bytes: Mapped[int] = mapped_column(BigInteger)
    """With `ROW_BYTES` for each row; 0 for deployments and keys."""
