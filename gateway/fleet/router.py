"""`/node/inference-servers/`, for a `manage` key or a session.

Users see and start the servers of the models that they may use; who manages a model does the rest.
Processes that no host starts register themselves, with a key of scope `serve`.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query

from gateway.auth.access import Manager, manager, registrar
from gateway.auth.identity import Identity
from gateway.dependencies import from_app
from gateway.fleet.registrations import RegistrationService
from gateway.fleet.schemas import (
    LogOut,
    LogQuery,
    RegisteredOut,
    RegistrationIn,
    ServerIn,
    ServerOut,
    ServerPage,
    ServerSettingsIn,
)
from gateway.fleet.service import InferenceServerService
from gateway.operations import DocumentedRouter
from gateway.storage.paging import PageRequest
from gateway.storage.tables import InferenceServer
from gateway.upstream.servers import InferenceServers

Service = Annotated[InferenceServerService, from_app(InferenceServerService)]
Registrations = Annotated[RegistrationService, from_app(RegistrationService)]
Servers = Annotated[InferenceServers, from_app(InferenceServers)]
router = DocumentedRouter(
    prefix="/node/inference-servers",
    tags=["Inference servers"],
    dependencies=[Depends(manager)],
)

registrations = DocumentedRouter(
    prefix="/node/inference-servers/registered",
    tags=["Inference servers"],
    dependencies=[Depends(registrar)],
)


@router.post("/", status_code=201)
async def serve(service: Service, servers: Servers, actor: Manager, body: ServerIn) -> ServerOut:
    """Start an inference server; one that runs already is returned as it is.

    Only those who manage the model may send settings.
    """
    user, settings = actor.profile_id, body.settings()
    if body.flow_id is not None:
        server = await service.serve_flow(user, body.flow_id, **settings)
    elif body.deployment_id is not None:
        server = await service.serve_deployment(user, body.deployment_id, **settings)
    else:
        server = await service.serve_model(user, str(body.model), str(body.version), **settings)
    return await _shown(service, servers, actor, server)


@router.get("/")
async def list_servers(
    service: Service, servers: Servers, actor: Manager, page: PageRequest = Depends()
) -> ServerPage:
    """List the inference servers of the models that you may use, newest first."""
    found = await service.page(actor.profile_id, page)
    return ServerPage.of(found, servers, await service.managed(actor.profile_id, found.items))


@router.get("/{server_id}/")
async def show(service: Service, servers: Servers, actor: Manager, server_id: str) -> ServerOut:
    """Show one inference server.

    Where it runs, and what for, is shown to those who manage its model.
    """
    server = await service.get(actor.profile_id, server_id)
    return await _shown(service, servers, actor, server)


@router.get("/{server_id}/logs/")
async def logs(
    service: Service, actor: Manager, server_id: str, asked: Annotated[LogQuery, Query()]
) -> LogOut:
    """Show the last lines of an inference server's log, for those who manage its model.

    Up to 200 of each replica are kept, also after its process has ended. Processes that have
    registered themselves keep their logs.
    """
    replicas = await service.logs(actor.profile_id, server_id)
    return LogOut.of(replicas, asked.tail, asked.after())


@router.patch("/{server_id}/")
async def change(
    service: Service,
    servers: Servers,
    actor: Manager,
    server_id: str,
    body: ServerSettingsIn,
) -> ServerOut:
    """Change an inference server's settings; omitted fields stay as they are."""
    server = await service.change(actor.profile_id, server_id, **body.settings())
    return await _shown(service, servers, actor, server)


@router.post("/{server_id}/start/")
async def start(service: Service, servers: Servers, actor: Manager, server_id: str) -> ServerOut:
    """Start an inference server, also one that failed or is asleep."""
    server = await service.start(actor.profile_id, server_id)
    return await _shown(service, servers, actor, server)


@router.post("/{server_id}/stop/")
async def stop(service: Service, servers: Servers, actor: Manager, server_id: str) -> ServerOut:
    """Stop an inference server after its calls in flight.

    Unlike one that is asleep, it is not started by the next call.
    """
    server = await service.stop(actor.profile_id, server_id)
    return await _shown(service, servers, actor, server)


@router.delete("/{server_id}/", status_code=204)
async def delete(service: Service, actor: Manager, server_id: str) -> None:
    """Stop an inference server and delete it."""
    await service.delete(actor.profile_id, server_id)


async def _shown(
    service: InferenceServerService,
    servers: InferenceServers,
    actor: Identity,
    server: InferenceServer,
) -> ServerOut:
    return ServerOut.of(server, servers, await service.managed(actor.profile_id, [server]))


@registrations.put("/{registration_id}/")
async def register(
    service: Registrations, registration_id: str, body: RegistrationIn
) -> RegisteredOut:
    """Register a process that serves a model, or say how it is; within `lease_seconds` again.

    For admins and owners. The process chooses the id, a UUID. Gateways and workers connect to it,
    and send it calls while the server of its model version is to run.
    """
    desired = await service.register(registration_id, body.model, body.version, body.seen())
    return RegisteredOut(desired=desired)


@registrations.delete("/{registration_id}/", status_code=204)
async def remove(service: Registrations, registration_id: str) -> None:
    """Remove a process that has ended. Without this it is removed when its lease ends."""
    await service.remove(registration_id)
