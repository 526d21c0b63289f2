"""`/node/webhooks/`."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime

from gateway.auth.access import Access
from gateway.auth.identity import Identity
from gateway.operations import DocumentedRouter
from gateway.storage.paging import PageRequest
from gateway.webhooks.listing import DeliveryFilter
from gateway.webhooks.schemas import (
    DeliveryOut,
    DeliveryPage,
    EndpointOut,
    EndpointPage,
    EndpointPatch,
    EndpointSecretOut,
    ReplayedOut,
    ReplayIn,
    RotateIn,
    VerifyIn,
)
from gateway.webhooks.service import WebhookService
from gateway.webhooks.states import DeliveryStatus
from gateway.webhooks.verification import VerdictOut, verify_request


def build_router(service: WebhookService, access: Access) -> APIRouter:
    """Return the routes of webhooks; all need a `manage` key."""
    router = DocumentedRouter(prefix="/node/webhooks", tags=["Webhooks"])
    _add_endpoints(router, service, access)
    _add_deliveries(router, service, access)
    _add_verification(router, access)
    return router


def _add_endpoints(router: APIRouter, service: WebhookService, access: Access) -> None:
    one = "/endpoints/{deployment_id}/"

    @router.get("/endpoints/")
    async def list_endpoints(
        page: PageRequest = Depends(), actor: Identity = Depends(access.manager)
    ) -> EndpointPage:
        """List the webhooks of your deployments, newest first."""
        return EndpointPage.of(await service.page(actor.profile_id, page))

    @router.get(one)
    async def show_endpoint(
        deployment_id: str, actor: Identity = Depends(access.manager)
    ) -> EndpointOut:
        """Show a deployment's webhook and its health."""
        return EndpointOut.of(await service.get(actor.profile_id, deployment_id))

    @router.patch(one)
    async def change_endpoint(
        deployment_id: str, body: EndpointPatch, actor: Identity = Depends(access.manager)
    ) -> EndpointOut:
        """Change the events, or enable or disable the webhook."""
        endpoint = await service.change(
            actor.profile_id, deployment_id, events=body.events, state=body.state
        )
        return EndpointOut.of(endpoint)

    @router.post(f"{one}rotate/")
    async def rotate(
        deployment_id: str,
        body: RotateIn | None = None,
        actor: Identity = Depends(access.manager),
    ) -> EndpointSecretOut:
        """Create a new secret, shown this once. The previous one also signs for 24 hours."""
        force = body is not None and body.force
        endpoint = await service.rotate(actor.profile_id, deployment_id, force=force)
        return EndpointSecretOut.of(endpoint)

    @router.post(f"{one}end-overlap/")
    async def end_overlap(
        deployment_id: str, actor: Identity = Depends(access.manager)
    ) -> EndpointOut:
        """Stop signing with the previous secret."""
        return EndpointOut.of(await service.end_overlap(actor.profile_id, deployment_id))

    @router.post(f"{one}test/")
    async def test(deployment_id: str, actor: Identity = Depends(access.manager)) -> DeliveryOut:
        """Send the event `webhook.test` now, once, and show the result."""
        return DeliveryOut.of_shown(await service.test(actor.profile_id, deployment_id))

    @router.post(f"{one}replay/", status_code=202)
    async def replay_since(
        deployment_id: str, body: ReplayIn, actor: Identity = Depends(access.manager)
    ) -> ReplayedOut:
        """Send the events since a time again, each under its original id."""
        count = await service.replay_since(
            actor.profile_id, deployment_id, body.since, only_failed=body.only_failed
        )
        return ReplayedOut(replayed=count)


class DeliveryFilterParams:
    """Query parameters that select deliveries; a FastAPI dependency."""

    def __init__(  # noqa: PLR0917 - query parameters, which FastAPI gives by name
        self,
        deployment: str | None = None,
        run: str | None = None,
        status: DeliveryStatus | None = None,
        event: Annotated[str | None, Query(pattern=r"^[a-z0-9_.]{1,32}$")] = None,
        since: Annotated[AwareDatetime | None, Query(alias="from")] = None,
        before: Annotated[AwareDatetime | None, Query(alias="to")] = None,
    ) -> None:
        self.which = DeliveryFilter(
            deployment_id=deployment,
            run_id=run,
            status=status,
            event=event,
            since=since,
            before=before,
        )


def _add_deliveries(router: APIRouter, service: WebhookService, access: Access) -> None:
    @router.get("/deliveries/")
    async def list_deliveries(
        filters: DeliveryFilterParams = Depends(),
        page: PageRequest = Depends(),
        actor: Identity = Depends(access.manager),
    ) -> DeliveryPage:
        """List deliveries, newest first; `to` is exclusive."""
        return DeliveryPage.of(await service.deliveries(actor.profile_id, filters.which, page))

    @router.get("/deliveries/{delivery_id}/")
    async def show_delivery(
        delivery_id: str, actor: Identity = Depends(access.manager)
    ) -> DeliveryOut:
        """Show an event, and the request and response of each attempt."""
        return DeliveryOut.of_shown(await service.delivery(actor.profile_id, delivery_id))

    @router.post("/deliveries/{delivery_id}/replay/", status_code=202)
    async def replay(delivery_id: str, actor: Identity = Depends(access.manager)) -> DeliveryOut:
        """Send one event again, under its original id."""
        return DeliveryOut.of_shown(await service.replay(actor.profile_id, delivery_id))


def _add_verification(router: APIRouter, access: Access) -> None:
    @router.post("/verify/", dependencies=[Depends(access.manager)])
    async def verify(body: VerifyIn) -> VerdictOut:
        """Verify a request's signature, and give the reason if it is invalid. Stores nothing."""
        previous = body.previous_secret
        return verify_request(
            body.headers,
            body.body.encode("utf-8", "surrogatepass"),
            body.secret.get_secret_value(),
            at=body.at.timestamp() if body.at else time.time(),
            previous_secret=previous.get_secret_value() if previous else None,
        )
