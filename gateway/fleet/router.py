"""`/node/inference-servers/`."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from gateway.auth.access import Access
from gateway.auth.identity import Identity, check_administers
from gateway.fleet.schemas import ServerIn, ServerOut, ServerPage, ServerSettingsIn
from gateway.fleet.service import InferenceServerService
from gateway.operations import DocumentedRouter
from gateway.storage.paging import PageRequest


def build_router(service: InferenceServerService, access: Access) -> APIRouter:
    """Return the routes of inference servers, for a `manage` key or a session.

    Members may read and start; the rest requires the role admin or owner.
    """
    router = DocumentedRouter(
        prefix="/node/inference-servers",
        tags=["Inference servers"],
        dependencies=[Depends(access.manager)],
    )
    administers = [Depends(access.administrator)]
    store = service.store

    @router.post("/", status_code=201)
    async def serve(body: ServerIn, actor: Identity = Depends(access.manager)) -> ServerOut:
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
        return ServerOut.model_validate(server)

    @router.get("/")
    async def list_servers(page: PageRequest = Depends()) -> ServerPage:
        """List the inference servers, newest first."""
        return ServerPage.of(await store.page(page))

    @router.get("/{server_id}/")
    async def show(server_id: str) -> ServerOut:
        """Show one inference server."""
        return ServerOut.model_validate(await store.get(server_id))

    @router.patch("/{server_id}/", dependencies=administers)
    async def change(server_id: str, body: ServerSettingsIn) -> ServerOut:
        """Change an inference server's settings; omitted fields stay as they are."""
        return ServerOut.model_validate(await store.change(server_id, **body.settings()))

    @router.post("/{server_id}/start/")
    async def start(server_id: str) -> ServerOut:
        """Start an inference server, also one that failed or is asleep."""
        return ServerOut.model_validate(await store.start(server_id))

    @router.post("/{server_id}/stop/", dependencies=administers)
    async def stop(server_id: str) -> ServerOut:
        """Stop an inference server after its calls in flight.

        Unlike one that is asleep, it is not started by the next call.
        """
        return ServerOut.model_validate(await store.stop(server_id))

    @router.delete("/{server_id}/", status_code=204, dependencies=administers)
    async def delete(server_id: str) -> None:
        """Stop an inference server and delete it."""
        await store.delete(server_id)

    return router
