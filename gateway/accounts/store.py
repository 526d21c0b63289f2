"""Rows of users, their sessions, and failed log-ins."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.auth.identity import Role
from gateway.errors import GatewayError
from gateway.ids import is_id
from gateway.storage.account_tables import ConsoleSession, LoginFailures
from gateway.storage.paging import Page, PageRequest, fetch_page
from gateway.storage.sql import dialect_insert
from gateway.storage.tables import ApiKey, Deployment, Flow, Profile
from protos.errors import ErrorCode


async def user_page(session: AsyncSession, request: PageRequest) -> Page[Profile]:
    """Return a page of all users."""
    return await fetch_page(session, select(Profile), Profile, request)


async def find_user(session: AsyncSession, user_id: str, *, lock: bool = False) -> Profile:
    """Return a user, or raise NOT_FOUND; with `lock` nobody else changes it meanwhile."""
    row = None
    if is_id(user_id):
        row = await session.get(Profile, user_id.lower(), with_for_update=lock)
    if row is None:
        raise GatewayError(ErrorCode.NOT_FOUND, f"there is no user '{user_id}'")
    return row


async def user_with_email(session: AsyncSession, email: str) -> Profile | None:
    """Return the user with the address, which is in lower case."""
    statement = select(Profile).where(Profile.email == email)
    return (await session.execute(statement)).scalar_one_or_none()


async def active_owners(session: AsyncSession) -> set[str]:
    """Return the ids of the owners who can act, and let nobody change them meanwhile."""
    statement = select(Profile).where(Profile.role == Role.OWNER, Profile.state == "active")
    ordered = statement.order_by(Profile.id).with_for_update()
    return {owner.id for owner in (await session.execute(ordered)).scalars()}


async def deployments_of(session: AsyncSession, profile_id: str) -> list[Deployment]:
    """Return all deployments of a user, the deleted ones, too."""
    statement = select(Deployment).where(Deployment.profile_id == profile_id)
    return list((await session.execute(statement)).scalars())


async def flows_of(session: AsyncSession, profile_id: str) -> list[Flow]:
    """Return all flows of a user."""
    statement = select(Flow).where(Flow.profile_id == profile_id)
    return list((await session.execute(statement)).scalars())


async def keys_of(session: AsyncSession, profile_id: str) -> list[ApiKey]:
    """Return all API keys of a user."""
    statement = select(ApiKey).where(ApiKey.profile_id == profile_id)
    return list((await session.execute(statement)).scalars())


async def session_with_hash(
    session: AsyncSession, token_hash: str
) -> tuple[ConsoleSession, Profile] | None:
    """Return the session whose token hashes so, with its user."""
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
    """Return a page of a user's sessions that have not ended by themselves."""
    statement = select(ConsoleSession).where(
        ConsoleSession.profile_id == profile_id,
        ConsoleSession.expires_at > moment,
        ConsoleSession.last_seen_at > seen_after,
    )
    return await fetch_page(session, statement, ConsoleSession, request)


async def touch_session(session: AsyncSession, session_id: str, moment: datetime) -> None:
    """Note that a session was used."""
    later = ConsoleSession.last_seen_at < moment
    statement = update(ConsoleSession).where(ConsoleSession.id == session_id, later)
    await session.execute(statement.values(last_seen_at=moment))


async def end_sessions_of(session: AsyncSession, profile_id: str, *, but: str | None = None) -> int:
    """Delete a user's sessions, except for the one with the id `but`; return how many."""
    statement = delete(ConsoleSession).where(ConsoleSession.profile_id == profile_id)
    if but is not None:
        statement = statement.where(ConsoleSession.id != but)
    ended = await session.execute(statement.returning(ConsoleSession.id))
    return len(ended.all())


async def delete_ended_sessions(
    session: AsyncSession, moment: datetime, *, seen_after: datetime
) -> None:
    """Delete everybody's sessions that have ended by themselves."""
    ended = or_(ConsoleSession.expires_at <= moment, ConsoleSession.last_seen_at <= seen_after)
    await session.execute(delete(ConsoleSession).where(ended))


async def failures_of(session: AsyncSession, subjects: list[str]) -> dict[str, LoginFailures]:
    """Return what is counted of each subject."""
    statement = select(LoginFailures).where(LoginFailures.subject.in_(subjects))
    return {row.subject: row for row in (await session.execute(statement)).scalars()}


async def count_failure(session: AsyncSession, dialect: str, subject: str, moment: datetime) -> int:
    """Add one to a subject's failures, and return how many there are."""
    statement = (
        dialect_insert(LoginFailures, dialect)
        .values(subject=subject, count=1, since=moment)
        .on_conflict_do_update(
            index_elements=[LoginFailures.subject], set_={"count": LoginFailures.count + 1}
        )
        .returning(LoginFailures.count)
    )
    count: int = (await session.execute(statement)).scalar_one()
    return count


async def decrement_failures(session: AsyncSession, subject: str) -> None:
    """Subtract one from a subject's failures."""
    statement = update(LoginFailures).where(LoginFailures.subject == subject)
    await session.execute(statement.values(count=LoginFailures.count - 1))


async def reset_failures(session: AsyncSession, subject: str) -> None:
    """Begin a subject's count again."""
    await session.execute(delete(LoginFailures).where(LoginFailures.subject == subject))


async def delete_failures_before(session: AsyncSession, moment: datetime) -> None:
    """Delete the counts whose window is over."""
    await session.execute(delete(LoginFailures).where(LoginFailures.since <= moment))
