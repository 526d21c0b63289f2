"""Keyset pagination: the cursor names the last row of a page, so new rows do not shift pages."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

from annotated_types import Interval
from pydantic import StringConstraints
from sqlalchemy import ColumnElement, Select, Tuple, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.errors import GatewayError
from gateway.ids import is_id
from gateway.storage.tables import Listed
from protos.errors import ErrorCode

Row = TypeVar("Row")
ListedRow = TypeVar("ListedRow", bound=Listed)
RowKey = tuple[datetime | str | int, str]
"""What a list is ordered by: the value of a column, such as the time of creation, and the id."""


NamePart = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""A part of a name, in any case: a list has what contains it."""


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


def _time(text: str) -> datetime:
    """Return a time with its zone; raise ValueError for any other text."""
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(text)
    return time


@dataclass(frozen=True, slots=True, kw_only=True)
class PageOrder:
    """The order of a list: by a column, and by the id where it is equal."""

    column: str
    descends: bool
    parse: Callable[[str], datetime | str | int] = _time
    """Reads the column's value in a cursor; raises ValueError."""

    def key(self, table: type[Listed]) -> Tuple:
        """Return what rows are compared by."""
        return tuple_(getattr(table, self.column), table.id)

    # Any: of a column's type
    def ends(self, table: type[Listed]) -> Sequence[ColumnElement[Any]]:
        """Return what rows are sorted by."""
        columns = (getattr(table, self.column), table.id)
        return [column.desc() if self.descends else column.asc() for column in columns]


NEWEST_FIRST = PageOrder(column="created_at", descends=True)


async def fetch_page(
    session: AsyncSession,
    statement: Select[ListedRow],
    table: type[Listed],
    request: PageRequest,
    order: PageOrder = NEWEST_FIRST,
    *,
    last: RowKey | None = None,
) -> Page[ListedRow]:
    """Return the requested page of `statement`, in the given order of `table`'s rows.

    Rows after the one of the key `last` are left to the next page, even if this one has room.

    Raises:
        GatewayError: INVALID_REQUEST for a cursor of another list.
    """
    key = order.key(table)
    statement = _after_cursor(statement, table, request, order)
    if last is not None:
        end = tuple_(*last)
        statement = statement.where(key >= end if order.descends else key <= end)
    ordered = statement.order_by(*order.ends(table))
    rows = list((await session.execute(ordered.limit(request.limit + 1))).scalars())
    items = rows[: request.limit]
    if len(rows) > request.limit:
        last = getattr(items[-1], order.column), items[-1].id
    return Page(items=items, next_cursor=None if last is None else _encode(last))


async def nth_key(
    session: AsyncSession,
    statement: Select[ListedRow],
    table: type[Listed],
    request: PageRequest,
    number: int,
) -> RowKey | None:
    """Return the key of the last of `number` rows after the cursor, newest first.

    None: there are fewer.

    Raises:
        GatewayError: as `fetch_page`.
    """
    after = _after_cursor(statement, table, request, NEWEST_FIRST)
    keys = after.with_only_columns(table.created_at, table.id)
    ordered = keys.order_by(*NEWEST_FIRST.ends(table))
    row = (await session.execute(ordered.offset(number - 1).limit(1))).one_or_none()
    return None if row is None else (row.created_at, row.id)


def _after_cursor(
    statement: Select[ListedRow], table: type[Listed], request: PageRequest, order: PageOrder
) -> Select[ListedRow]:
    if request.cursor is None:
        return statement
    key, seen = order.key(table), tuple_(*_decode(request.cursor, order))
    return statement.where(key < seen if order.descends else key > seen)


def _encode(key: RowKey) -> str:
    value, row_id = key
    text = f"{value.isoformat() if isinstance(value, datetime) else value} {row_id}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode(cursor: str, order: PageOrder) -> RowKey:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        text, _, row_id = base64.urlsafe_b64decode(padded).decode().rpartition(" ")
        value = order.parse(text)
    except (ValueError, binascii.Error):
        row_id = ""
    if not is_id(row_id) or "\0" in text:
        message = "cursor: expected a next_cursor of this list, got another value: leave it out"
        raise GatewayError(ErrorCode.INVALID_REQUEST, message)
    return value, row_id
