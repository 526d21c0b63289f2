"""Locks that last as long as a transaction."""

from __future__ import annotations

from hashlib import blake2b

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

_LOCK = text("SELECT pg_advisory_xact_lock(:key)")


async def lock_name(session: AsyncSession, name: str) -> None:
    """Have every other transaction that locks `name` wait until this one has ended.

    For a `write` session: SQLite's have the whole database to themselves anyway.
    """
    if session.get_bind().dialect.name == "postgresql":
        digest = blake2b(name.encode(), digest_size=8).digest()
        await session.execute(_LOCK, {"key": int.from_bytes(digest, "big", signed=True)})
