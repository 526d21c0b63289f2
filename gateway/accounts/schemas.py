"""Users and sessions over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from gateway.accounts.users import UserChange, UserState
from gateway.auth.identity import Role
from gateway.storage.account_tables import ConsoleSession
from gateway.storage.paging import Page
from gateway.storage.tables import Profile

_IN = ConfigDict(extra="forbid", use_attribute_docstrings=True)
_OUT = ConfigDict(use_attribute_docstrings=True)


class UserIn(BaseModel):
    """A user to make."""

    model_config = _IN

    email: str = Field(max_length=254)
    role: Role = Role.MEMBER
    password: str | None = None
    """At least 12 characters, hard to guess. Left out: the user cannot log in yet."""


class UserPatch(BaseModel):
    """What to change of a user; what is left out stays."""

    model_config = _IN

    email: str | None = Field(default=None, max_length=254)
    role: Role | None = None
    state: UserState | None = None
    """`deactivated`: the user's keys and sessions are refused, within a second."""
    password: str | None = None
    """A new one for the user, whose sessions end."""

    def change(self) -> UserChange:
        """Return it as the service takes it."""
        return UserChange(
            email=self.email, role=self.role, state=self.state, password=self.password
        )


class UserOut(BaseModel):
    """A user."""

    model_config = _OUT

    id: str
    email: str
    role: Role
    state: UserState
    has_password: bool
    """Without one nobody can log in as this user."""
    created_at: datetime
    last_login_at: datetime | None

    @classmethod
    def of(cls, row: Profile) -> Self:
        """Return what may be shown of `row`."""
        return cls(
            id=row.id,
            email=row.email,
            role=Role(row.role),
            state=UserState(row.state),
            has_password=row.password_hash is not None,
            created_at=row.created_at,
            last_login_at=row.last_login_at,
        )


class UserPage(BaseModel):
    """A page of users."""

    items: list[UserOut]
    next_cursor: str | None

    @classmethod
    def of(cls, page: Page[Profile]) -> Self:
        """Return the page as it is sent."""
        return cls(items=[UserOut.of(row) for row in page.items], next_cursor=page.next_cursor)


class LoginIn(BaseModel):
    """Who logs in."""

    model_config = _IN

    email: str
    password: str


class PasswordIn(BaseModel):
    """A new password of one's own."""

    model_config = _IN

    old_password: str
    new_password: str
    """At least 12 characters, hard to guess."""


class LoggedInOut(BaseModel):
    """Who is logged in."""

    model_config = _OUT

    session_id: str
    user: UserOut
    csrf_token: str
    """To be sent as `X-CSRF-Token` with every request that is no GET."""
    expires_at: datetime
    """However much the session is used."""
    idle_seconds: float
    """After so long without a request it ends sooner."""


class SessionOut(BaseModel):
    """A browser that is logged in."""

    model_config = _OUT

    id: str
    created_at: datetime
    last_seen_at: datetime
    """To the minute."""
    expires_at: datetime
    address: str | None
    """Where it was logged in from."""
    user_agent: str | None
    current: bool
    """Whether it is the one that asks."""

    @classmethod
    def of(cls, row: ConsoleSession, current: str | None) -> Self:
        """Return what may be shown of `row`; `current` is the id of the session that asks."""
        return cls(
            id=row.id,
            created_at=row.created_at,
            last_seen_at=row.last_seen_at,
            expires_at=row.expires_at,
            address=row.address,
            user_agent=row.user_agent,
            current=row.id == current,
        )


class SessionPage(BaseModel):
    """A page of sessions."""

    items: list[SessionOut]
    next_cursor: str | None

    @classmethod
    def of(cls, page: Page[ConsoleSession], current: str | None) -> Self:
        """Return the page as it is sent."""
        items = [SessionOut.of(row, current) for row in page.items]
        return cls(items=items, next_cursor=page.next_cursor)
