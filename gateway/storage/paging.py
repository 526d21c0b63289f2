"""Keyset pagination: the cursor names the last row of a page, so new rows do not shift pages."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Generic, TypeVar

from annotated_types import Interval
from sqlalchemy import Select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.errors import GatewayError
from gateway.ids import is_id
from gateway.storage.tables import Listed
from protos.errors import ErrorCode

Row = TypeVar("Row")
ListedRow = TypeVar("ListedRow", bound=Listed)


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """The requested page: `limit` rows after the one that `cursor` names. A FastAPI dependency."""

    limit: Annotated[int, Interval(ge=1, le=200)] = 50
    cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[Row]):
    """Some rows, and the cursor of the next page, if there is one."""

    items: list[Row]
    next_cursor: str | None


async def fetch_page(
    session: AsyncSession,
    statement: Select[ListedRow],
    table: type[ListedRow],
    request: PageRequest,
) -> Page[ListedRow]:
    """Return the requested page of `statement`, newest rows first.

    Raises:
        GatewayError: INVALID_REQUEST for a cursor of another list.
    """
    key = tuple_(table.created_at, table.id)
    if request.cursor is not None:
        statement = statement.where(key < tuple_(*_decode(request.cursor)))
    ordered = statement.order_by(table.created_at.desc(), table.id.desc())
    rows = list((await session.execute(ordered.limit(request.limit + 1))).scalars())
    items = rows[: request.limit]
    more = len(rows) > request.limit
    return Page(items=items, next_cursor=_encode(items[-1]) if more else None)


def _encode(row: Listed) -> str:
    text = f"{row.created_at.isoformat()} {row.id}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode(cursor: str) -> tuple[datetime, str]:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        time, _, row_id = base64.urlsafe_b64decode(padded).decode().partition(" ")
        created_at = datetime.fromisoformat(time)
    except (ValueError, binascii.Error):
        created_at = None
    if created_at is None or created_at.tzinfo is None or not is_id(row_id):
        message = "cursor: expected a next_cursor of this list, got another value: leave it out"
        raise GatewayError(ErrorCode.INVALID_REQUEST, message)
    return created_at, row_id
