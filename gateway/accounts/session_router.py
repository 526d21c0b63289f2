"""`/node/session/`, the current session, and `/node/sessions/`, all sessions of its user."""

from __future__ import annotations

from datetime import timedelta

from fastapi import APIRouter, Depends, Request, Response

from gateway.accounts.login import ClientInfo, LoginService
from gateway.accounts.schemas import LoggedInOut, LoginIn, PasswordIn, SessionPage, UserOut
from gateway.accounts.users import UserService
from gateway.auth.access import Access, SessionRequest
from gateway.auth.csrf import csrf_token
from gateway.auth.identity import Identity
from gateway.auth.request_credentials import SECURE_SESSION_COOKIE, SESSION_COOKIE, session_token
from gateway.auth.sessions import SessionService
from gateway.operations import DocumentedRouter
from gateway.storage.account_tables import ConsoleSession
from gateway.storage.audit_events import ACTOR
from gateway.storage.paging import PageRequest
from gateway.storage.tables import Profile


def build_router(
    login: LoginService,
    sessions: SessionService,
    users: UserService,
    access: Access,
    *,
    secure_cookies: bool,
) -> APIRouter:
    """Return the routes for sessions.

    With `secure_cookies`, cookies are marked as TLS-only even for plain HTTP requests, which a
    proxy that terminates TLS sends.
    """
    router = DocumentedRouter(tags=["Sessions"])

    @router.post(
        "/node/session/", operation_id="log_in", dependencies=[Depends(access.same_origin)]
    )
    async def log_in(body: LoginIn, request: Request, response: Response) -> LoggedInOut:
        """Log in. The response sets the session's cookie; a session that it replaces ends."""
        ACTOR.set(access.actor_of(request))
        before = session_token(dict(request.scope["headers"]))
        user, opened = await login.log_in(body.email, body.password, _client(request))
        if before is not None:
            await sessions.discard(before)
        secure = secure_cookies or request.url.scheme == "https"
        _set_cookie(response, opened.token, sessions.lifetime, secure=secure)
        return _session_out(user, opened.row, opened.token)

    @router.get("/node/session/", operation_id="get_session")
    async def show(
        response: Response, current: SessionRequest = Depends(access.session)
    ) -> LoggedInOut:
        """Show the current user and the session's CSRF token."""
        response.headers["cache-control"] = "no-store"
        user = await users.get(current.identity.profile_id)
        row = await sessions.get(user.id, str(current.identity.session_id))
        return _session_out(user, row, current.token)

    @router.delete("/node/session/", operation_id="log_out", status_code=204)
    async def log_out(
        response: Response, current: SessionRequest = Depends(access.session)
    ) -> None:
        """Log out."""
        await sessions.end(current.identity.profile_id, str(current.identity.session_id))
        _clear_cookie(response)

    @router.post("/node/session/password/", operation_id="change_password", status_code=204)
    async def change_password(
        body: PasswordIn, request: Request, current: SessionRequest = Depends(access.session)
    ) -> None:
        """Change your password. Your other sessions end."""
        await login.change_password(
            current.identity, body.old_password, body.new_password, _client(request)
        )

    @router.get("/node/sessions/")
    async def list_sessions(
        page: PageRequest = Depends(), actor: Identity = Depends(access.manager)
    ) -> SessionPage:
        """List your sessions, newest first."""
        found = await sessions.page(actor.profile_id, page)
        return SessionPage.of(found, actor.session_id)

    @router.delete("/node/sessions/{session_id}/", operation_id="end_session", status_code=204)
    async def end(session_id: str, actor: Identity = Depends(access.manager)) -> None:
        """End one of your sessions."""
        await sessions.end(actor.profile_id, session_id)

    def _client(request: Request) -> ClientInfo:
        address = access.actor_of(request).address
        return ClientInfo(address=address, user_agent=request.headers.get("user-agent"))

    def _session_out(user: Profile, row: ConsoleSession, token: str) -> LoggedInOut:
        return LoggedInOut(
            session_id=row.id,
            user=UserOut.of(user),
            csrf_token=csrf_token(token),
            expires_at=row.expires_at,
            idle_seconds=sessions.idle.total_seconds(),
        )

    return router


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
