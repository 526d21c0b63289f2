"""Rows of console sessions."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.storage.account_tables import ConsoleSession
from gateway.storage.paging import Page, PageRequest, fetch_page
from gateway.storage.tables import Profile


async def session_with_hash(
    session: AsyncSession, token_hash: str
) -> tuple[ConsoleSession, Profile] | None:
    """Return the session with this token hash, and its user."""
    statement = (
        select(ConsoleSession, Profile)
        .join(Profile, Profile.id == ConsoleSession.profile_id)
        .where(ConsoleSession.token_hash == token_hash)
    )
    row = (await session.execute(statement)).one_or_none()
    return None if row is None else (row[0], row[1])


async def session_page(
    session: AsyncSession,
    profile_id: str,
    request: PageRequest,
    *,
    moment: datetime,
    seen_after: datetime,
) -> Page[ConsoleSession]:
    """Return a page of a user's sessions that have not expired."""
    statement = select(ConsoleSession).where(
        ConsoleSession.profile_id == profile_id,
        ConsoleSession.expires_at > moment,
        ConsoleSession.last_seen_at > seen_after,
    )
    return await fetch_page(session, statement, ConsoleSession, request)


async def touch_session(session: AsyncSession, session_id: str, moment: datetime) -> None:
    """Update when a session was last used."""
    later = ConsoleSession.last_seen_at < moment
    statement = update(ConsoleSession).where(ConsoleSession.id == session_id, later)
    await session.execute(statement.values(last_seen_at=moment))


async def end_sessions_of(session: AsyncSession, profile_id: str, *, but: str | None = None) -> int:
    """Delete a user's sessions except the one with the id `but`; return how many."""
    statement = delete(ConsoleSession).where(ConsoleSession.profile_id == profile_id)
    if but is not None:
        statement = statement.where(ConsoleSession.id != but)
    ended = await session.execute(statement.returning(ConsoleSession.id))
    return len(ended.all())


async def delete_ended_sessions(
    session: AsyncSession, moment: datetime, *, seen_after: datetime
) -> None:
    """Delete all expired sessions."""
    ended = or_(ConsoleSession.expires_at <= moment, ConsoleSession.last_seen_at <= seen_after)
    await session.execute(delete(ConsoleSession).where(ended))
