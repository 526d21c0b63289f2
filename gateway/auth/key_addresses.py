"""The addresses that keys are used from: collected in memory, and as rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.storage.key_tables import KeyAddress
from gateway.storage.sql import dialect_insert
from gateway.storage.tables import ApiKey

KEPT_ADDRESSES = 50
"""Of a key: those that were used last."""
_MAX_ROWS = 1_000
"""Rows in one statement: each needs six of SQLite's 32,766 parameters."""


@dataclass(slots=True, kw_only=True)
class AddressUsage:
    """Uses of a key from one address."""

    calls: int = 0
    refused: int = 0
    first_at: datetime
    last_at: datetime


@dataclass(slots=True, kw_only=True)
class KeyUsage:
    """Uses to add to a key's row."""

    total: int = 0
    since_rotation: int = 0
    refused: int = 0
    last_at: datetime | None = None
    """Of a request that was not refused; None: all were."""
    last_refused_at: datetime | None = None
    last_address: str = ""
    """Empty for a Unix socket."""
    addresses: dict[str, AddressUsage] = field(default_factory=dict)
    """By address, the one that was used last at the end; without Unix sockets."""

    def add(self, calls: int, address: str, moment: datetime, *, rotated: bool) -> None:
        """Add calls from an address; `rotated`: they were made after the key was replaced."""
        self.total += calls
        self.since_rotation += calls if rotated else 0
        self.last_at, self.last_address = moment, address
        if address:
            self._of(address, moment).calls += calls

    def add_refused(self, calls: int, address: str, moment: datetime) -> None:
        """Add calls from an address that were refused, as the key is not valid."""
        self.refused += calls
        self.last_refused_at = moment
        if address:
            self._of(address, moment).refused += calls

    def _of(self, address: str, moment: datetime) -> AddressUsage:
        known = self.addresses.pop(address, None)
        if known is None:
            known = AddressUsage(first_at=moment, last_at=moment)
        known.last_at = moment
        self.addresses[address] = known
        if len(self.addresses) > KEPT_ADDRESSES:
            del self.addresses[next(iter(self.addresses))]
        return known


async def add_addresses(session: AsyncSession, dialect: str, uses: Mapping[str, KeyUsage]) -> None:
    """Add the addresses of keys that exist, and keep the last ones of each key.

    The transaction has locked the rows of the keys, which keeps other processes from these rows.
    """
    rows = [
        {
            "key_id": key_id,
            "address": address,
            "first_at": usage.first_at,
            "last_at": usage.last_at,
            "calls": usage.calls,
            "refused": usage.refused,
        }
        for key_id, each in uses.items()
        for address, usage in each.addresses.items()
    ]
    grown: set[str] = set()
    for start in range(0, len(rows), _MAX_ROWS):
        grown |= await _upsert(session, dialect, rows[start : start + _MAX_ROWS])
    if grown:
        await _delete_old(session, grown)


async def addresses_of(session: AsyncSession, key: ApiKey) -> Sequence[KeyAddress]:
    """Return the addresses of a key, the one that was used last first."""
    statement = (
        select(KeyAddress)
        .where(KeyAddress.key_id == key.id)
        .order_by(KeyAddress.last_at.desc(), KeyAddress.address)
        .limit(KEPT_ADDRESSES)
    )
    return (await session.execute(statement)).scalars().all()


# Any: the columns have several types
async def _upsert(session: AsyncSession, dialect: str, rows: list[dict[str, Any]]) -> set[str]:
    """Add the rows to those that exist; return the ids of the keys that have new addresses."""
    insert = dialect_insert(KeyAddress, dialect).values(rows)
    statement = insert.on_conflict_do_update(
        index_elements=[KeyAddress.key_id, KeyAddress.address],
        set_={
            "calls": KeyAddress.calls + insert.excluded.calls,
            "refused": KeyAddress.refused + insert.excluded.refused,
            "last_at": insert.excluded.last_at,
        },
    ).returning(KeyAddress.key_id, KeyAddress.address, KeyAddress.first_at)
    written = (await session.execute(statement)).all()
    first = {(row["key_id"], row["address"]): row["first_at"] for row in rows}
    return {key_id for key_id, address, at in written if first[key_id, address] == at}


async def _delete_old(session: AsyncSession, key_ids: set[str]) -> None:
    place = func.row_number().over(
        partition_by=KeyAddress.key_id,
        # Those with nothing but refused calls go first: who has a leaked key can make many of them.
        order_by=((KeyAddress.calls == 0), KeyAddress.last_at.desc(), KeyAddress.address),
    )
    ranked = (
        select(KeyAddress.key_id, KeyAddress.address, place.label("place"))
        .where(KeyAddress.key_id.in_(key_ids))
        .subquery()
    )
    old = select(ranked.c.key_id, ranked.c.address).where(ranked.c.place > KEPT_ADDRESSES)
    these = tuple_(KeyAddress.key_id, KeyAddress.address).in_(old)
    await session.execute(
        delete(KeyAddress).where(these), execution_options={"synchronize_session": False}
    )
