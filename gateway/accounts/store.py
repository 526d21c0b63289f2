"""Rows of users, failed logins, set-up links and invitations."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, exists, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.auth.identity import Role
from gateway.errors import GatewayError
from gateway.ids import is_id
from gateway.storage.account_tables import Invitation, LoginFailures, SetupToken
from gateway.storage.paging import Page, PageRequest, fetch_page
from gateway.storage.sql import dialect_insert, seconds_from_now
from gateway.storage.tables import ApiKey, Deployment, Flow, Host, Model, Profile
from protos.errors import ErrorCode


async def user_page(session: AsyncSession, request: PageRequest) -> Page[Profile]:
    """Return a page of all users."""
    return await fetch_page(session, select(Profile), Profile, request)


async def find_user(session: AsyncSession, user_id: str, *, lock: bool = False) -> Profile:
    """Return a user, or raise NOT_FOUND; `lock` locks the row until the transaction ends."""
    row = None
    if is_id(user_id):
        row = await session.get(Profile, user_id.lower(), with_for_update=lock)
    if row is None:
        raise GatewayError(ErrorCode.NOT_FOUND, f"unknown user '{user_id}'")
    return row


async def user_with_email(session: AsyncSession, email: str) -> Profile | None:
    """Return the user with the e-mail address, given in lower case."""
    statement = select(Profile).where(Profile.email == email)
    return (await session.execute(statement)).scalar_one_or_none()


async def active_owners(session: AsyncSession) -> set[str]:
    """Return the ids of the active owners, and lock their rows."""
    statement = select(Profile).where(Profile.role == Role.OWNER, Profile.state == "active")
    ordered = statement.order_by(Profile.id).with_for_update()
    return {owner.id for owner in (await session.execute(ordered)).scalars()}


async def deployments_of(session: AsyncSession, profile_id: str) -> list[Deployment]:
    """Return all deployments of a user, including deleted ones."""
    statement = select(Deployment).where(Deployment.profile_id == profile_id)
    return list((await session.execute(statement)).scalars())


async def flows_of(session: AsyncSession, profile_id: str) -> list[Flow]:
    """Return all flows of a user."""
    statement = select(Flow).where(Flow.profile_id == profile_id)
    return list((await session.execute(statement)).scalars())


async def models_of(session: AsyncSession, profile_id: str) -> list[Model]:
    """Return the rows of all models of a user."""
    statement = select(Model).where(Model.owner_id == profile_id)
    return list((await session.execute(statement)).scalars())


async def keys_of(session: AsyncSession, profile_id: str) -> list[ApiKey]:
    """Return all API keys of a user."""
    statement = select(ApiKey).where(ApiKey.profile_id == profile_id)
    return list((await session.execute(statement)).scalars())


async def failures_of(session: AsyncSession, subjects: list[str]) -> dict[str, LoginFailures]:
    """Return the counts of the subjects."""
    statement = select(LoginFailures).where(LoginFailures.subject.in_(subjects))
    return {row.subject: row for row in (await session.execute(statement)).scalars()}


async def count_failure(session: AsyncSession, dialect: str, subject: str, moment: datetime) -> int:
    """Increment a subject's count and return it."""
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
    """Decrement a subject's count."""
    statement = update(LoginFailures).where(LoginFailures.subject == subject)
    await session.execute(statement.values(count=LoginFailures.count - 1))


async def reset_failures(session: AsyncSession, subject: str) -> None:
    """Reset a subject's count."""
    await session.execute(delete(LoginFailures).where(LoginFailures.subject == subject))


async def delete_failures_before(session: AsyncSession, moment: datetime) -> None:
    """Delete the counts whose window has ended."""
    await session.execute(delete(LoginFailures).where(LoginFailures.since <= moment))


async def has_password(session: AsyncSession) -> bool:
    """Whether any user has a password."""
    statement = select(exists().where(Profile.password_hash.is_not(None)))
    return bool((await session.execute(statement)).scalar_one())


async def setup_token_hashes(session: AsyncSession, moment: datetime) -> list[str]:
    """Return the hashes of the tokens that are valid: one of each host that runs, at most."""
    statement = (
        select(SetupToken.token_hash)
        .join(Host, Host.id == SetupToken.host_id)
        .where(SetupToken.expires_at > moment, Host.lease_until > seconds_from_now())
    )
    return list((await session.execute(statement)).scalars())


async def delete_setup_tokens(session: AsyncSession) -> None:
    """Delete the tokens of all hosts."""
    await session.execute(delete(SetupToken))


async def invited_user(session: AsyncSession, token_hash: str, moment: datetime) -> Profile | None:
    """Return the active user whose invitation has this token, if it has not expired."""
    statement = (
        select(Profile)
        .join(Invitation, Invitation.profile_id == Profile.id)
        .where(
            Invitation.token_hash == token_hash,
            Invitation.expires_at > moment,
            Profile.state == "active",
        )
    )
    return (await session.execute(statement)).scalar_one_or_none()


async def delete_invitation(session: AsyncSession, profile_id: str) -> None:
    """Delete a user's invitation, if there is one."""
    await session.execute(delete(Invitation).where(Invitation.profile_id == profile_id))
