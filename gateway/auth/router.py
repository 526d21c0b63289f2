"""`/node/api-keys/`; all routes need a `manage` key or a session."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Response

from gateway.auth.access import Manager
from gateway.auth.schemas import (
    IssuedKeyOut,
    KeyAddressOut,
    KeyOut,
    KeyPage,
    KeyPatch,
    NewKey,
    RotationIn,
)
from gateway.auth.service import ApiKeyService
from gateway.conditional_requests import (
    CHANGED,
    CREATED,
    SHOWN,
    IfMatch,
    IfNoneMatch,
    set_etag,
    unless_matched,
)
from gateway.dependencies import from_app
from gateway.operations import DocumentedRouter
from gateway.storage.paging import PageRequest

Service = Annotated[ApiKeyService, from_app(ApiKeyService)]
router = DocumentedRouter(prefix="/node/api-keys", tags=["API keys"])


@router.post("/", status_code=201, responses=CREATED)
async def create(
    service: Service, actor: Manager, response: Response, body: NewKey
) -> IssuedKeyOut:
    """Create a key. Only this response shows it."""
    issued = await service.create(actor.profile_id, **body.columns())
    set_etag(response, issued.row)
    return IssuedKeyOut.of_issued(issued)


@router.get("/")
async def list_keys(service: Service, actor: Manager, page: PageRequest = Depends()) -> KeyPage:
    """List your keys, newest first."""
    return KeyPage.of(await service.page(actor.profile_id, page))


@router.get("/{key_id}/", response_model=KeyOut, responses=SHOWN)
async def show(
    service: Service, actor: Manager, response: Response, key_id: str, if_none_match: IfNoneMatch
) -> KeyOut | Response:
    """Show one key."""
    view = await service.get(actor.profile_id, key_id)
    return unless_matched(KeyOut.of(view), view.row, response, if_none_match)


@router.get("/{key_id}/addresses/")
async def list_addresses(service: Service, actor: Manager, key_id: str) -> list[KeyAddressOut]:
    """List the client addresses that a key was used from, the last one first; 50 are kept."""
    found = await service.addresses(actor.profile_id, key_id)
    return [KeyAddressOut.model_validate(row) for row in found]


@router.patch("/{key_id}/", responses=CHANGED)
async def change(
    service: Service,
    actor: Manager,
    response: Response,
    *,
    key_id: str,
    if_match: IfMatch,
    body: KeyPatch,
) -> KeyOut:
    """Change a key's name, environment, expiry, scope or deployments, at once."""
    view = await service.change(actor.profile_id, key_id, if_match=if_match, **body.change())
    set_etag(response, view.row)
    return KeyOut.of(view)


@router.post("/{key_id}/rotate/", status_code=201)
async def rotate(
    service: Service, actor: Manager, key_id: str, body: RotationIn | None = None
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
async def end_grace(service: Service, actor: Manager, key_id: str) -> KeyOut:
    """End a rotated key's grace period: it answers 401 from now on. Other keys answer 409."""
    return KeyOut.of(await service.end_grace(actor.profile_id, key_id))


@router.post("/{key_id}/deactivate/")
async def deactivate(service: Service, actor: Manager, key_id: str) -> KeyOut:
    """Make a key answer 401 until it is activated."""
    return KeyOut.of(await service.deactivate(actor.profile_id, key_id))


@router.post("/{key_id}/activate/")
async def activate(service: Service, actor: Manager, key_id: str) -> KeyOut:
    """Activate a deactivated key."""
    return KeyOut.of(await service.activate(actor.profile_id, key_id))


@router.delete("/{key_id}/", status_code=204)
async def delete(service: Service, actor: Manager, key_id: str, if_match: IfMatch) -> None:
    """Delete a key permanently."""
    await service.delete(actor.profile_id, key_id, if_match=if_match)
