"""`/node/inference-servers/`, for a `manage` key or a session.

Members may read and start; the rest requires the role admin or owner.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends

from gateway.auth.access import Manager, administrator, manager
from gateway.auth.identity import check_administers
from gateway.dependencies import from_app
from gateway.fleet.schemas import ServerIn, ServerOut, ServerPage, ServerSettingsIn
from gateway.fleet.service import InferenceServerService
from gateway.operations import DocumentedRouter
from gateway.storage.paging import PageRequest
from gateway.upstream.servers import InferenceServers

Service = Annotated[InferenceServerService, from_app(InferenceServerService)]
Servers = Annotated[InferenceServers, from_app(InferenceServers)]
router = DocumentedRouter(
    prefix="/node/inference-servers",
    tags=["Inference servers"],
    dependencies=[Depends(manager)],
)
_ADMINISTERS = [Depends(administrator)]


@router.post("/", status_code=201)
async def serve(service: Service, servers: Servers, actor: Manager, body: ServerIn) -> ServerOut:
    """Start an inference server; one that runs already is returned as it is.

    Only admins and owners may send settings.
    """
    settings = body.settings()
    if settings:
        check_administers(actor)
    if body.flow_id is not None:
        server = await service.serve_flow(actor.profile_id, body.flow_id, **settings)
    else:
        server = await service.serve_model(str(body.model), str(body.version), **settings)
    return ServerOut.of(server, servers)


@router.get("/")
async def list_servers(
    service: Service, servers: Servers, page: PageRequest = Depends()
) -> ServerPage:
    """List the inference servers, newest first."""
    return ServerPage.of(await service.store.page(page), servers)


@router.get("/{server_id}/")
async def show(service: Service, servers: Servers, server_id: str) -> ServerOut:
    """Show one inference server."""
    return ServerOut.of(await service.store.get(server_id), servers)


@router.patch("/{server_id}/", dependencies=_ADMINISTERS)
async def change(
    service: Service, servers: Servers, server_id: str, body: ServerSettingsIn
) -> ServerOut:
    """Change an inference server's settings; omitted fields stay as they are."""
    return ServerOut.of(await service.store.change(server_id, **body.settings()), servers)


@router.post("/{server_id}/start/")
async def start(service: Service, servers: Servers, server_id: str) -> ServerOut:
    """Start an inference server, also one that failed or is asleep."""
    return ServerOut.of(await service.store.start(server_id), servers)


@router.post("/{server_id}/stop/", dependencies=_ADMINISTERS)
async def stop(service: Service, servers: Servers, server_id: str) -> ServerOut:
    """Stop an inference server after its calls in flight.

    Unlike one that is asleep, it is not started by the next call.
    """
    return ServerOut.of(await service.store.stop(server_id), servers)


@router.delete("/{server_id}/", status_code=204, dependencies=_ADMINISTERS)
async def delete(service: Service, server_id: str) -> None:
    """Stop an inference server and delete it."""
    await service.store.delete(server_id)
