"""Rows that belong to a profile. Other profiles get NOT_FOUND, as if the row did not exist."""

from __future__ import annotations

from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.errors import GatewayError
from gateway.ids import is_id
from gateway.storage.tables import Owned
from protos.errors import ErrorCode

OwnedRow = TypeVar("OwnedRow", bound=Owned)


async def find_owned(
    session: AsyncSession,
    table: type[OwnedRow],
    profile_id: str,
    row_id: str,
    *,
    lock: bool = False,
) -> OwnedRow:
    """Return the profile's row; `lock` locks it until the transaction ends.

    Raises:
        GatewayError: NOT_FOUND.
    """
    row = None
    if is_id(row_id):
        row = await session.get(table, row_id.lower(), with_for_update=lock)
    if row is None or row.profile_id != profile_id:
        raise GatewayError(ErrorCode.NOT_FOUND, f"there is no {table.noun} '{row_id}'")
    return row
