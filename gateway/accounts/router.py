"""`/node/users/`; all routes need the role admin or owner."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Response

from gateway.accounts.invitations import InvitationService
from gateway.accounts.schemas import InvitationOut, UserIn, UserOut, UserPage, UserPatch
from gateway.accounts.users import UserRunCanceller, UserService
from gateway.auth.access import Administrator, administrator
from gateway.auth.sessions import SessionService
from gateway.dependencies import from_app
from gateway.operations import DocumentedRouter
from gateway.storage.paging import PageRequest
from gateway.web.public_url import PublicUrl

Service = Annotated[UserService, from_app(UserService)]
Sessions = Annotated[SessionService, from_app(SessionService)]
Invitations = Annotated[InvitationService, from_app(InvitationService)]
Canceller = Annotated[UserRunCanceller, from_app(UserRunCanceller)]
router = DocumentedRouter(
    prefix="/node/users", tags=["Users"], dependencies=[Depends(administrator)]
)


@router.post("/", status_code=201)
async def create(service: Service, actor: Administrator, body: UserIn) -> UserOut:
    """Create a user. Only an owner can create an owner."""
    user = await service.create(body.email, body.role, body.password, by=actor)
    return UserOut.of(user)


@router.get("/")
async def list_users(service: Service, page: PageRequest = Depends()) -> UserPage:
    """List the users, newest first."""
    return UserPage.of(await service.page(page))


@router.get("/{user_id}/")
async def show(service: Service, user_id: str) -> UserOut:
    """Show one user."""
    return UserOut.of(await service.get(user_id))


@router.patch("/{user_id}/")
async def change(service: Service, actor: Administrator, user_id: str, body: UserPatch) -> UserOut:
    """Change a user's address, role, state or password. An admin cannot change an owner."""
    return UserOut.of(await service.change(user_id, body.change(), by=actor))


@router.delete("/{user_id}/", status_code=204)
async def delete(
    service: Service, canceller: Canceller, actor: Administrator, user_id: str
) -> None:
    """Delete a user with their flows, deployments and keys; unfinished runs are cancelled."""
    await service.delete(user_id, canceller, by=actor)


@router.delete("/{user_id}/sessions/", status_code=204)
async def end_sessions(
    service: Service, sessions: Sessions, actor: Administrator, user_id: str
) -> None:
    """End all sessions of a user."""
    await service.check_may_change(user_id, by=actor)
    await sessions.end_all(user_id.lower())


@router.post("/{user_id}/invitation/", operation_id="invite_user", status_code=201)
async def invite(
    *,
    invitations: Invitations,
    actor: Administrator,
    user_id: str,
    url: PublicUrl,
    response: Response,
) -> InvitationOut:
    """Make a link with which a user sets a password and logs in, once, within 72 hours.

    It ends the user's older links. Only this response shows it.
    """
    invitation = await invitations.invite(user_id, by=actor)
    response.headers["cache-control"] = "no-store"
    return InvitationOut(url=invitation.url(url), expires_at=invitation.expires_at)
