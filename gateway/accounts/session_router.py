"""`/node/session/`, the current session; `/node/sessions/`, all of its user; `/node/setup/`."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import Depends, Request, Response

from gateway.accounts.invitations import InvitationAcceptance
from gateway.accounts.login import ClientInfo, LoginService
from gateway.accounts.schemas import (
    InvitationIn,
    LoggedInOut,
    LoginIn,
    PasswordIn,
    SessionPage,
    SetupIn,
    UserOut,
)
from gateway.accounts.setup import SetupService
from gateway.accounts.users import UserService
from gateway.auth.access import CurrentSession, Manager, Sender, same_origin
from gateway.auth.csrf import csrf_token
from gateway.auth.session_cookie import SECURE_SESSION_COOKIE, SESSION_COOKIE, session_token
from gateway.auth.sessions import NewSession, SessionService
from gateway.dependencies import from_app
from gateway.operations import BodyLimit, DocumentedRouter
from gateway.settings import Settings
from gateway.storage.account_tables import ConsoleSession
from gateway.storage.audit_events import ACTOR, Actor
from gateway.storage.paging import PageRequest
from gateway.storage.tables import Profile

Login = Annotated[LoginService, from_app(LoginService)]
Sessions = Annotated[SessionService, from_app(SessionService)]
Invitations = Annotated[InvitationAcceptance, from_app(InvitationAcceptance)]
Setup = Annotated[SetupService, from_app(SetupService)]
GatewaySettings = Annotated[Settings, from_app(Settings)]
Users = Annotated[UserService, from_app(UserService)]
router = DocumentedRouter(tags=["Sessions"])
_LOGIN_CHECKS = [Depends(same_origin), Depends(BodyLimit(4 * 2**10))]


@router.post("/node/session/", operation_id="log_in", dependencies=_LOGIN_CHECKS)
async def log_in(
    *,
    login: Login,
    sessions: Sessions,
    settings: GatewaySettings,
    sender: Sender,
    body: LoginIn,
    request: Request,
    response: Response,
) -> LoggedInOut:
    """Log in. The response sets the session's cookie; a session that it replaces ends."""
    ACTOR.set(sender)
    before = session_token(dict(request.scope["headers"]))
    user, opened = await login.log_in(body.email, body.password, _client(request, sender))
    if before is not None:
        await sessions.discard(before)
    secure = settings.secure_cookies or request.url.scheme == "https"
    return _logged_in(user, opened, sessions, response, secure=secure)


@router.post("/node/setup/", operation_id="set_up", dependencies=_LOGIN_CHECKS)
async def set_up(
    *,
    setup: Setup,
    sessions: Sessions,
    settings: GatewaySettings,
    sender: Sender,
    body: SetupIn,
    request: Request,
    response: Response,
) -> LoggedInOut:
    """Give the owner an address and a password, once, and log in. The link has the token."""
    ACTOR.set(sender)
    user, opened = await setup.set_up(
        body.token, body.email, body.password, _client(request, sender)
    )
    secure = settings.secure_cookies or request.url.scheme == "https"
    return _logged_in(user, opened, sessions, response, secure=secure)


@router.post(
    "/node/session/invitation/", operation_id="accept_invitation", dependencies=_LOGIN_CHECKS
)
async def accept_invitation(
    *,
    invitations: Invitations,
    sessions: Sessions,
    settings: GatewaySettings,
    sender: Sender,
    body: InvitationIn,
    request: Request,
    response: Response,
) -> LoggedInOut:
    """Set a password with the token of an invitation link, once, and log in.

    All earlier sessions of the user end, and one of another user that this browser has.
    """
    ACTOR.set(sender)
    before = session_token(dict(request.scope["headers"]))
    user, opened = await invitations.accept(body.token, body.password, _client(request, sender))
    if before is not None:
        await sessions.discard(before)
    secure = settings.secure_cookies or request.url.scheme == "https"
    return _logged_in(user, opened, sessions, response, secure=secure)


@router.get("/node/session/", operation_id="get_session")
async def show(
    users: Users, sessions: Sessions, current: CurrentSession, response: Response
) -> LoggedInOut:
    """Show the current user and the session's CSRF token."""
    response.headers["cache-control"] = "no-store"
    user = await users.get(current.identity.profile_id)
    row = await sessions.get(user.id, str(current.identity.session_id))
    return _session_out(user, row, current.token, idle=sessions.idle)


@router.delete("/node/session/", operation_id="log_out", status_code=204)
async def log_out(sessions: Sessions, current: CurrentSession, response: Response) -> None:
    """Log out."""
    await sessions.end(current.identity.profile_id, str(current.identity.session_id))
    _clear_cookie(response)


@router.post("/node/session/password/", operation_id="change_password", status_code=204)
async def change_password(
    login: Login, current: CurrentSession, sender: Sender, body: PasswordIn, request: Request
) -> None:
    """Change your password. Your other sessions end."""
    await login.change_password(
        current.identity, body.old_password, body.new_password, _client(request, sender)
    )


@router.get("/node/sessions/")
async def list_sessions(
    sessions: Sessions, actor: Manager, page: PageRequest = Depends()
) -> SessionPage:
    """List your sessions, newest first."""
    found = await sessions.page(actor.profile_id, page)
    return SessionPage.of(found, actor.session_id)


@router.delete("/node/sessions/{session_id}/", operation_id="end_session", status_code=204)
async def end(sessions: Sessions, actor: Manager, session_id: str) -> None:
    """End one of your sessions."""
    await sessions.end(actor.profile_id, session_id)


def _client(request: Request, sender: Actor) -> ClientInfo:
    return ClientInfo(address=sender.address, user_agent=request.headers.get("user-agent"))


def _logged_in(
    user: Profile, opened: NewSession, sessions: SessionService, response: Response, *, secure: bool
) -> LoggedInOut:
    """Return a new session, and set its cookie."""
    _set_cookie(response, opened.token, sessions.lifetime, secure=secure)
    return _session_out(user, opened.row, opened.token, idle=sessions.idle)


def _session_out(user: Profile, row: ConsoleSession, token: str, *, idle: timedelta) -> LoggedInOut:
    return LoggedInOut(
        session_id=row.id,
        user=UserOut.of(user),
        csrf_token=csrf_token(token),
        expires_at=row.expires_at,
        idle_seconds=idle.total_seconds(),
    )


def _set_cookie(response: Response, token: str, lifetime: timedelta, *, secure: bool) -> None:
    """Set the session's cookie: hidden from scripts, never sent for other sites' pages."""
    response.set_cookie(
        SECURE_SESSION_COOKIE if secure else SESSION_COOKIE,
        token,
        max_age=int(lifetime.total_seconds()),
        path="/",
        secure=secure,
        httponly=True,
        samesite="strict",
    )
    response.headers["cache-control"] = "no-store"


def _clear_cookie(response: Response) -> None:
    """Delete the session's cookie under both names."""
    for name in (SESSION_COOKIE, SECURE_SESSION_COOKIE):
        response.delete_cookie(
            name, path="/", secure=name == SECURE_SESSION_COOKIE, httponly=True, samesite="strict"
        )
