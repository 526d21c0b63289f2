"""Users and sessions in requests and responses."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from gateway.accounts.one_time_tokens import MAX_TOKEN_LENGTH
from gateway.accounts.users import UserChange, UserState
from gateway.auth.identity import Role
from gateway.storage.account_tables import ConsoleSession
from gateway.storage.paging import Page
from gateway.storage.slugs import SLUG_PATTERN, check_form
from gateway.storage.tables import MAX_HANDLE_LENGTH, Profile

_IN = ConfigDict(extra="forbid", use_attribute_docstrings=True)
_OUT = ConfigDict(use_attribute_docstrings=True)
_PHRASE, _OTHER_PHRASE = "correct horse battery staple", "seven quiet green lanterns"
_FROM_LINK = "MFIYF1hCx0oQn0gGm8s5dZ7c2Yw4bJ9kT6vXr3LpEaQ"
"""Of examples, as are the phrases."""

Handle = Annotated[
    str,
    AfterValidator(partial(check_form, max_length=MAX_HANDLE_LENGTH)),
    Field(
        json_schema_extra={
            "minLength": 1,
            "maxLength": MAX_HANDLE_LENGTH,
            "pattern": f"^{SLUG_PATTERN}$",
        }
    ),
]


class UserIn(BaseModel):
    """A user to create."""

    model_config = _IN | ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "email": "grace@example.com",
                    "role": "member",
                    "password": _PHRASE,
                }
            ]
        }
    )

    email: str = Field(max_length=254)
    """The e-mail address, with which the user logs in."""
    role: Role = Role.MEMBER
    """`member`: manages what is theirs; `admin`: also all models, members and admins; `owner`: also
    owners."""
    password: str | None = None
    """At least 12 characters, hard to guess. Omitted: the user cannot log in yet."""


class UserPatch(BaseModel):
    """Changes to a user; omitted members stay as they are."""

    model_config = _IN | ConfigDict(json_schema_extra={"examples": [{"role": "admin"}]})

    email: str | None = Field(default=None, max_length=254)
    """The e-mail address, with which the user logs in."""
    handle: Handle | None = None
    """What names the user in the readable addresses of deployments: these change with it."""
    role: Role | None = None
    """`member`: manages what is theirs; `admin`: also all models, members and admins; `owner`: also
    owners."""
    state: UserState | None = None
    """`deactivated`: the user's keys and sessions are rejected within a second."""
    password: str | None = None
    """A new password; it ends the user's sessions."""

    def change(self) -> UserChange:
        """Return the service's argument."""
        return UserChange(
            email=self.email,
            handle=self.handle,
            role=self.role,
            state=self.state,
            password=self.password,
        )


class UserOut(BaseModel):
    """A user."""

    model_config = _OUT

    id: str
    """Id of the user, as its routes take it."""
    email: str
    """The e-mail address, with which the user logs in."""
    handle: str | None
    """What names the user in the readable addresses of deployments. Null: a gateway of an earlier
    release has made the user during an upgrade; the next deployment sets it."""
    role: Role
    """`member`: manages what is theirs; `admin`: also all models, members and admins; `owner`: also
    owners."""
    state: UserState
    """`active`, or `deactivated`: the user's keys and sessions are rejected."""
    has_password: bool
    """Without a password the user cannot log in."""
    created_at: datetime
    """When it was created (UTC)."""
    last_login_at: datetime | None
    """When the user last logged in (UTC); null: never."""

    @classmethod
    def of(cls, row: Profile) -> Self:
        """Return the user's public fields."""
        return cls(
            id=row.id,
            email=row.email,
            handle=row.handle,
            role=Role(row.role),
            state=UserState(row.state),
            has_password=row.password_hash is not None,
            created_at=row.created_at,
            last_login_at=row.last_login_at,
        )


class UserPage(BaseModel):
    """A page of users."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    items: list[UserOut]
    """The users of this page, the newest first."""
    next_cursor: str | None
    """Send it as `cursor` to get the next page; null: this is the last one."""

    @classmethod
    def of(cls, page: Page[Profile]) -> Self:
        """Return the response body."""
        return cls(items=[UserOut.of(row) for row in page.items], next_cursor=page.next_cursor)


class LoginIn(BaseModel):
    """Login credentials."""

    model_config = _IN | ConfigDict(
        json_schema_extra={"examples": [{"email": "grace@example.com", "password": _PHRASE}]}
    )

    email: str
    """The e-mail address, with which the user logs in."""
    password: str
    """The user's password."""


class SetupIn(BaseModel):
    """The first user's credentials, with the token of the set-up link."""

    model_config = _IN | ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "token": _FROM_LINK,
                    "email": "grace@example.com",
                    "password": _PHRASE,
                }
            ]
        }
    )

    token: str = Field(max_length=MAX_TOKEN_LENGTH)
    """Behind `#token=` in the link that `slipstream up` prints."""
    email: str = Field(max_length=254)
    """The e-mail address, with which the user logs in."""
    password: str
    """At least 12 characters, hard to guess."""


class InvitationIn(BaseModel):
    """The token of an invitation link, and the password that its user sets."""

    model_config = _IN | ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "token": _FROM_LINK,
                    "password": _PHRASE,
                }
            ]
        }
    )

    token: str = Field(max_length=MAX_TOKEN_LENGTH)
    """Behind `#token=` in the link."""
    password: str
    """At least 12 characters, hard to guess."""


class InvitationOut(BaseModel):
    """An invitation link, shown this once."""

    model_config = _OUT

    url: str
    """The page of the console where the user sets a password. It works once."""
    expires_at: datetime
    """When the link stops working (UTC)."""


class PasswordIn(BaseModel):
    """A change of one's own password."""

    model_config = _IN | ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "old_password": _PHRASE,
                    "new_password": _OTHER_PHRASE,
                }
            ]
        }
    )

    old_password: str
    """The present password."""
    new_password: str
    """At least 12 characters, hard to guess."""


class LoggedInOut(BaseModel):
    """The current session and its user."""

    model_config = _OUT

    session_id: str
    """Id of the session, as its routes take it."""
    user: UserOut
    """The user who is logged in."""
    csrf_token: str
    """Send it as `X-CSRF-Token` with every request except GET."""
    expires_at: datetime
    """The end of the session, even if it is in use."""
    idle_seconds: float
    """Seconds without a request after which it ends sooner."""


class SessionOut(BaseModel):
    """A browser that is logged in."""

    model_config = _OUT

    id: str
    """Id of the session, as its routes take it."""
    created_at: datetime
    """When it was created (UTC)."""
    last_seen_at: datetime
    """Accurate to the minute."""
    expires_at: datetime
    """The end of the session, even if it is in use."""
    address: str | None
    """The client address at login."""
    user_agent: str | None
    """The `User-Agent` at login; null: there was none."""
    current: bool
    """Whether it is the session of this request."""

    @classmethod
    def of(cls, row: ConsoleSession, current: str | None) -> Self:
        """Return the session's public fields; `current` is the id of the request's session."""
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

    model_config = ConfigDict(use_attribute_docstrings=True)

    items: list[SessionOut]
    """The sessions of this page, the newest first."""
    next_cursor: str | None
    """Send it as `cursor` to get the next page; null: this is the last one."""

    @classmethod
    def of(cls, page: Page[ConsoleSession], current: str | None) -> Self:
        """Return the response body."""
        items = [SessionOut.of(row, current) for row in page.items]
        return cls(items=items, next_cursor=page.next_cursor)
