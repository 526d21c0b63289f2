"""`/node/users/`."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from gateway.accounts.schemas import UserIn, UserOut, UserPage, UserPatch
from gateway.accounts.users import CancelRunsOfUser, UserService
from gateway.auth.access import Access
from gateway.auth.identity import Identity
from gateway.auth.sessions import SessionService
from gateway.operations import DocumentedRouter
from gateway.storage.paging import PageRequest


def build_router(
    service: UserService, sessions: SessionService, access: Access, cancel_runs: CancelRunsOfUser
) -> APIRouter:
    """Return the routes for users; all need the role admin or owner."""
    router = DocumentedRouter(
        prefix="/node/users", tags=["Users"], dependencies=[Depends(access.administrator)]
    )

    @router.post("/", status_code=201)
    async def create(body: UserIn, actor: Identity = Depends(access.administrator)) -> UserOut:
        """Create a user. Only an owner can create an owner."""
        user = await service.create(body.email, body.role, body.password, by=actor)
        return UserOut.of(user)

    @router.get("/")
    async def list_users(page: PageRequest = Depends()) -> UserPage:
        """List the users, newest first."""
        return UserPage.of(await service.page(page))

    @router.get("/{user_id}/")
    async def show(user_id: str) -> UserOut:
        """Show one user."""
        return UserOut.of(await service.get(user_id))

    @router.patch("/{user_id}/")
    async def change(
        user_id: str, body: UserPatch, actor: Identity = Depends(access.administrator)
    ) -> UserOut:
        """Change a user's address, role, state or password. An admin cannot change an owner."""
        return UserOut.of(await service.change(user_id, body.change(), by=actor))

    @router.delete("/{user_id}/", status_code=204)
    async def delete(user_id: str, actor: Identity = Depends(access.administrator)) -> None:
        """Delete a user with their flows, deployments and keys; unfinished runs are cancelled."""
        await service.delete(user_id, cancel_runs, by=actor)

    @router.delete("/{user_id}/sessions/", status_code=204)
    async def end_sessions(user_id: str, actor: Identity = Depends(access.administrator)) -> None:
        """End all sessions of a user."""
        await service.check_may_change(user_id, by=actor)
        await sessions.end_all(user_id.lower())

    return router
