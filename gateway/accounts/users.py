"""Users: created, listed, changed and deleted by administrators and by the operator."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.accounts import store
from gateway.accounts.audit_events import (
    record_deleted_with_user,
    record_released_model,
    record_user,
)
from gateway.accounts.passwords import PasswordService
from gateway.auth.handles import assign_handle, change_handle, lock_handles
from gateway.auth.identity import Identity, Role, check_administers
from gateway.auth.session_store import end_sessions_of
from gateway.errors import GatewayError
from gateway.ids import is_id, new_id
from gateway.storage.audit_events import AuditTarget, row_snapshot
from gateway.storage.changes import ChangeKind, record_change
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.paging import Page, PageRequest
from gateway.storage.tables import Profile
from gateway.storage.user_storage import forget_stored
from protos.errors import ErrorCode

MAX_EMAIL_LENGTH = 254
"""Characters of an address in SMTP (RFC 5321)."""
_PATTERN = re.compile(r"[^\s@\x00-\x1f\x7f<>]{1,64}@[^\s@\x00-\x1f\x7f<>]{1,253}")


class UserState(StrEnum):
    """Whether a user's keys and sessions are valid."""

    ACTIVE = "active"
    DEACTIVATED = "deactivated"


@dataclass(frozen=True, slots=True, kw_only=True)
class UserChange:
    """Changes to a user; None: unchanged."""

    email: str | None = None
    handle: str | None = None
    role: Role | None = None
    state: UserState | None = None
    password: str | None = None
    """A new password, which ends the user's sessions."""


DeleteWebhook = Callable[[AsyncSession, str], Awaitable[None]]
"""Deletes a deployment's secrets and cancels its deliveries, in the caller's transaction."""


class UserRunCanceller(Protocol):
    """Cancels the runs of a deleted user. `gateway.runs` does so, which is above this package."""

    async def cancel_runs_of_user(self, profile_id: str) -> None:
        """Cancel a user's queued runs and stop the running ones."""


class UserService:
    """The users of an installation.

    `by` is the caller's identity; None is the operator. Changes of role and state are announced to
    all processes (`ChangeKind.PROFILE`).
    """

    def __init__(
        self, db: Database, passwords: PasswordService, delete_webhook: DeleteWebhook
    ) -> None:
        self._db = db
        self._passwords = passwords
        self._delete_webhook = delete_webhook

    async def page(self, request: PageRequest) -> Page[Profile]:
        """Return a page of the users, newest first."""
        async with self._db.read() as session:
            return await store.user_page(session, request)

    async def get(self, user_id: str) -> Profile:
        """Return a user, or raise NOT_FOUND."""
        async with self._db.read() as session:
            return await store.find_user(session, user_id)

    async def find(self, name: str) -> Profile:
        """Return the user with an id or an e-mail address, or raise NOT_FOUND."""
        if is_id(name):
            return await self.get(name)
        async with self._db.read() as session:
            found = await store.user_with_email(session, name.strip().lower())
        if found is None:
            raise GatewayError(ErrorCode.NOT_FOUND, f"unknown user '{name[:80]}'")
        return found

    async def check_may_change(self, user_id: str, *, by: Identity) -> None:
        """Raise NOT_FOUND, or ROLE_FORBIDDEN if `by` may not change the user."""
        check_can_manage(by, Role((await self.get(user_id)).role))

    async def create(
        self, email: str, role: Role, password: str | None, *, by: Identity | None
    ) -> Profile:
        """Create a user; without a password, the user cannot log in yet.

        Raises:
            GatewayError: VALIDATION_FAILED for address or password; CONFLICT if the address is in
                use; ROLE_FORBIDDEN.
        """
        check_can_manage(by, role)
        email = normalize_email(email)
        row = Profile(id=new_id(), email=email, role=role, state=UserState.ACTIVE)
        if password is not None:
            row.password_hash = await self._passwords.accept(password, email)
            row.password_changed_at = now()
        try:
            async with self._db.write() as session:
                await assign_handle(session, row)
                session.add(row)
                await session.flush()
                await record_user(session, "create", row, after=row_snapshot(row))
        except IntegrityError:
            raise email_taken(email) from None
        return row

    async def change(self, user_id: str, change: UserChange, *, by: Identity | None) -> Profile:
        """Change a user.

        Raises:
            GatewayError: NOT_FOUND; VALIDATION_FAILED; ROLE_FORBIDDEN; CONFLICT if the address or
                the handle is in use, no active owner would be left, or the change is to the
                caller's own password, role or state.
        """
        if change.email is not None:
            normalize_email(change.email)
        before = await self.get(user_id)
        check_can_manage(by, Role(before.role), change.role or Role.MEMBER)
        _check_not_yourself(before.id, change, by)
        email = normalize_email(change.email or before.email)
        hashed = None
        if change.password is not None:
            hashed = await self._passwords.accept(change.password, email)
        try:
            async with self._db.write() as session:
                if change.handle is not None:
                    await lock_handles(session)
                owners = await store.active_owners(session)
                row = await store.find_user(session, user_id, lock=True)
                check_can_manage(by, Role(row.role))
                await self._apply(session, row, change, hashed)
                _check_owner_remains(owners, row)
        except IntegrityError:
            raise email_taken(email) from None
        return row

    async def delete(
        self, user_id: str, canceller: UserRunCanceller, *, by: Identity | None
    ) -> None:
        """Delete a user with their flows, deployments and keys.

        Their models stay, with the same visibility, and belong to the installation. Unfinished runs
        are cancelled, and no more webhooks are sent. Rows of runs are deleted when their retention
        ends.

        Raises:
            GatewayError: NOT_FOUND; ROLE_FORBIDDEN; CONFLICT for the caller and the last owner.
        """
        async with self._db.write() as session:
            owners = await store.active_owners(session)
            row = await store.find_user(session, user_id, lock=True)
            check_can_manage(by, Role(row.role))
            if by is not None and by.profile_id == row.id:
                raise _not_on_yourself("delete your own user")
            if owners == {row.id}:
                raise _last_owner()
            deployments = await self._delete_owned(session, row)
            models = await store.models_of(session, row.id)
            for model in models:
                await record_released_model(session, model)
                model.owner_id = None
            await session.delete(row)
            await session.flush()
            await forget_stored(session, row.id)
            await record_user(session, "delete", row, before=row_snapshot(row))
            for deployment_id in deployments:
                record_change(session, ChangeKind.DEPLOYMENT, deployment_id)
            for model in models:
                record_change(session, ChangeKind.MODEL, model.name)
            record_change(session, ChangeKind.PROFILE, row.id)
        await canceller.cancel_runs_of_user(row.id)

    async def _delete_owned(self, session: AsyncSession, row: Profile) -> list[str]:
        """Record what is deleted with a user, and delete the webhooks; return deployment ids."""
        for flow in await store.flows_of(session, row.id):
            await record_deleted_with_user(session, AuditTarget.FLOW, flow)
        for key in await store.keys_of(session, row.id):
            await record_deleted_with_user(session, AuditTarget.API_KEY, key)
        deployments = await store.deployments_of(session, row.id)
        for deployment in deployments:
            await self._delete_webhook(session, deployment.id)
            if deployment.status != "deleted":
                await record_deleted_with_user(session, AuditTarget.DEPLOYMENT, deployment)
        return [deployment.id for deployment in deployments]

    async def _apply(
        self, session: AsyncSession, row: Profile, change: UserChange, hashed: str | None
    ) -> None:
        before = row_snapshot(row)
        row.email = normalize_email(change.email or row.email)
        row.role = change.role or row.role
        row.state = change.state or row.state
        if change.handle is not None:
            await change_handle(session, row, change.handle)
        if hashed is not None:
            row.password_hash, row.password_changed_at = hashed, now()
        ends = hashed is not None or row.state != UserState.ACTIVE
        if ends:
            await end_sessions_of(session, row.id)
        if ends or row.role != before["role"]:  # an admin has the link of a member, not of an owner
            await store.delete_invitation(session, row.id)
        await session.flush()
        await record_user(session, "update", row, before=before, after=row_snapshot(row))
        if ends or (before["role"], before["state"]) != (row.role, row.state):
            record_change(session, ChangeKind.PROFILE, row.id)


def _check_not_yourself(user_id: str, change: UserChange, by: Identity | None) -> None:
    if by is None or by.profile_id != user_id:
        return
    if change.password is not None:
        check_not_own_password(user_id, by)
    if change.role not in (None, by.role) or change.state is UserState.DEACTIVATED:
        raise _not_on_yourself("change your own role or state")


def check_not_own_password(user_id: str, by: Identity | None) -> None:
    """Raise CONFLICT if `by` would set the own password without giving the old one."""
    if by is not None and by.profile_id == user_id:
        raise _not_on_yourself("set your own password here: use POST /node/session/password/")


def _check_owner_remains(owners: set[str], row: Profile) -> None:
    remains = row.role == Role.OWNER and row.state == UserState.ACTIVE
    if owners == {row.id} and not remains:
        raise _last_owner()


def _not_on_yourself(action: str) -> GatewayError:
    return GatewayError(ErrorCode.CONFLICT, f"you cannot {action}: another administrator can")


def _last_owner() -> GatewayError:
    message = "this is the only active owner: create another one first"
    return GatewayError(ErrorCode.CONFLICT, message)


def email_taken(email: str) -> GatewayError:
    """Return the error for an address that another user has."""
    return GatewayError(ErrorCode.CONFLICT, f"email: the user '{email}' already exists")


def normalize_email(text: str) -> str:
    """Return the address in lower case; raise VALIDATION_FAILED if it is invalid."""
    email = text.strip().lower()
    if len(email) > MAX_EMAIL_LENGTH or not _PATTERN.fullmatch(email):
        message = f"email: expected an address such as ada@example.com, got '{text[:80]}'"
        raise GatewayError(ErrorCode.VALIDATION_FAILED, message)
    return email


def check_can_manage(by: Identity | None, *roles: Role) -> None:
    """Check that `by` may create, change or delete users with these old and new roles.

    None is the operator on the command line, who may do everything.

    Raises:
        GatewayError: ROLE_FORBIDDEN.
    """
    if by is None:
        return
    check_administers(by)
    if by.role is not Role.OWNER and Role.OWNER in roles:
        message = "role: expected owner to create, change or delete an owner, got admin"
        raise GatewayError(ErrorCode.ROLE_FORBIDDEN, message)
