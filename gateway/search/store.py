"""Rows that match a search.

Each query follows an index and looks at MAX_EXAMINED rows at most, so that its cost does not grow
with what is stored.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Select, case, func, or_, select, true
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.search.ids import IdRange
from gateway.storage.run_tables import RunRow
from gateway.storage.tables import ApiKey, Deployment, Flow

MAX_EXAMINED = 5_000
_WORD_STARTS = " -_./:("
"""What stands before a later word of a name."""
_MASK_START = 8
"""Characters that a mask shows before its stars."""

Named = type[Flow] | type[Deployment] | type[ApiKey]


async def ids_named(
    session: AsyncSession, table: Named, profile_id: str, text: str, limit: int
) -> Sequence[str]:
    """Return the ids of the profile's rows with a word in their name that begins with `text`.

    Of the newest MAX_EXAMINED; those whose name itself begins with it come first.
    """
    newest = (
        select(table.id, table.name, table.created_at, _is_shown(table))
        .where(table.profile_id == profile_id)
        .order_by(table.created_at.desc(), table.id.desc())
        .limit(MAX_EXAMINED)
        .subquery()
    )
    name = newest.c.name
    begins = name.istartswith(text, autoescape=True)
    later = [name.icontains(start + text, autoescape=True) for start in _WORD_STARTS]
    statement = (
        select(newest.c.id)
        .where(newest.c.is_shown, or_(begins, *later))
        .order_by(case((begins, 0), else_=1), newest.c.created_at.desc(), newest.c.id)
    )
    return await _ids(session, statement.limit(limit))


async def ids_between(
    session: AsyncSession,
    table: Named | type[RunRow],
    profile_id: str,
    which: IdRange,
    limit: int,
) -> Sequence[str]:
    """Return the profile's ids in a range.

    The index has the ids of all users: only the last MAX_EXAMINED of the range are looked at.
    """
    near = (
        select(table.id, table.profile_id, _is_shown(table))
        .where(table.id.between(which.low, which.high))
        .order_by(table.id.desc())
        .limit(MAX_EXAMINED)
        .subquery()
    )
    statement = select(near.c.id).where(near.c.profile_id == profile_id, near.c.is_shown)
    return await _ids(session, statement.limit(limit))


async def keys_masked(
    session: AsyncSession, profile_id: str, start: str, end: str, limit: int
) -> Sequence[str]:
    """Return the ids of the profile's keys whose masks have `start`, and `end` after the stars.

    Both may be only the beginnings of what a mask shows. If `start` is shorter than that, only the
    newest MAX_EXAMINED are looked at.
    """
    keys = select(ApiKey.id, ApiKey.display_prefix, ApiKey.display_suffix).where(
        ApiKey.profile_id == profile_id
    )
    if len(start) == _MASK_START:
        keys = keys.where(ApiKey.display_prefix == start)
    else:
        keys = keys.order_by(ApiKey.created_at.desc(), ApiKey.id.desc())
    masks = keys.limit(MAX_EXAMINED).subquery()
    statement = select(masks.c.id).where(
        func.substr(masks.c.display_prefix, 1, len(start)) == start,
        func.substr(masks.c.display_suffix, 1, len(end)) == end,
    )
    return await _ids(session, statement.limit(limit))


def _is_shown(table: Named | type[RunRow]) -> ColumnElement[bool]:
    """Return the condition for rows to exist for users: deleted deployments stay in the table."""
    shown = Deployment.status != "deleted" if table is Deployment else true()
    return shown.label("is_shown")


async def _ids(session: AsyncSession, statement: Select[str]) -> Sequence[str]:
    return (await session.execute(statement)).scalars().all()
