"""`/node/api-keys/`."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from gateway.auth.access import Access
from gateway.auth.identity import Identity
from gateway.auth.schemas import (
    IssuedKeyOut,
    KeyOut,
    KeyPage,
    KeyPatch,
    NewKey,
    RotationIn,
)
from gateway.auth.service import ApiKeyService
from gateway.operations import DocumentedRouter
from gateway.storage.paging import PageRequest


def build_router(service: ApiKeyService, access: Access) -> APIRouter:
    """Return the routes for API keys; all need a `manage` key or a session."""
    router = DocumentedRouter(prefix="/node/api-keys", tags=["API keys"])

    @router.post("/", status_code=201)
    async def create(body: NewKey, actor: Identity = Depends(access.manager)) -> IssuedKeyOut:
        """Create a key. Only this response shows it."""
        issued = await service.create(actor.profile_id, **body.columns())
        return IssuedKeyOut.of_issued(issued)

    @router.get("/")
    async def list_keys(
        page: PageRequest = Depends(), actor: Identity = Depends(access.manager)
    ) -> KeyPage:
        """List your keys, newest first."""
        return KeyPage.of(await service.page(actor.profile_id, page))

    @router.get("/{key_id}/")
    async def show(key_id: str, actor: Identity = Depends(access.manager)) -> KeyOut:
        """Show one key."""
        return KeyOut.of(await service.get(actor.profile_id, key_id))

    @router.patch("/{key_id}/")
    async def change(
        key_id: str, body: KeyPatch, actor: Identity = Depends(access.manager)
    ) -> KeyOut:
        """Change a key's name, environment, expiry, scope or deployments, at once."""
        return KeyOut.of(await service.change(actor.profile_id, key_id, **body.change()))

    @router.post("/{key_id}/rotate/", status_code=201)
    async def rotate(
        key_id: str, body: RotationIn | None = None, actor: Identity = Depends(access.manager)
    ) -> IssuedKeyOut:
        """Replace a key. Only this response shows the new one.

        The old key stays valid until the grace period ends. A second rotation before that answers
        409.
        """
        rotation = body or RotationIn()
        issued = await service.rotate(
            actor.profile_id, key_id, grace_seconds=rotation.grace_seconds, force=rotation.force
        )
        return IssuedKeyOut.of_issued(issued)

    @router.post("/{key_id}/end-grace/")
    async def end_grace(key_id: str, actor: Identity = Depends(access.manager)) -> KeyOut:
        """End a rotated key's grace period: it answers 401 from now on. Other keys answer 409."""
        return KeyOut.of(await service.end_grace(actor.profile_id, key_id))

    @router.post("/{key_id}/deactivate/")
    async def deactivate(key_id: str, actor: Identity = Depends(access.manager)) -> KeyOut:
        """Make a key answer 401 until it is activated."""
        return KeyOut.of(await service.deactivate(actor.profile_id, key_id))

    @router.post("/{key_id}/activate/")
    async def activate(key_id: str, actor: Identity = Depends(access.manager)) -> KeyOut:
        """Activate a deactivated key."""
        return KeyOut.of(await service.activate(actor.profile_id, key_id))

    @router.delete("/{key_id}/", status_code=204)
    async def delete(key_id: str, actor: Identity = Depends(access.manager)) -> None:
        """Delete a key permanently."""
        await service.delete(actor.profile_id, key_id)

    return router
