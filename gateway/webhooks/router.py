"""`/node/webhooks/`; all routes need a `manage` key or a session."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import Depends, Query

from gateway.auth.access import Manager, manager
from gateway.dependencies import from_app
from gateway.operations import DocumentedRouter
from gateway.storage.clock import UtcDatetime
from gateway.storage.paging import PageRequest
from gateway.web.row_names import DeploymentFilterId, DeploymentId
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

Service = Annotated[WebhookService, from_app(WebhookService)]
router = DocumentedRouter(prefix="/node/webhooks", tags=["Webhooks"])
_ENDPOINT = "/endpoints/{deployment_id}/"


@router.get("/endpoints/")
async def list_endpoints(
    service: Service, actor: Manager, page: PageRequest = Depends()
) -> EndpointPage:
    """List the webhooks of your deployments, newest first."""
    return EndpointPage.of(await service.page(actor.profile_id, page))


@router.get(_ENDPOINT)
async def show_endpoint(
    service: Service, actor: Manager, deployment_id: DeploymentId
) -> EndpointOut:
    """Show a deployment's webhook and its health."""
    return EndpointOut.of(await service.get(actor.profile_id, deployment_id))


@router.patch(_ENDPOINT)
async def change_endpoint(
    service: Service, actor: Manager, deployment_id: DeploymentId, body: EndpointPatch
) -> EndpointOut:
    """Change the events, or enable or disable the webhook."""
    endpoint = await service.change(
        actor.profile_id, deployment_id, events=body.events, state=body.state
    )
    return EndpointOut.of(endpoint)


@router.post(f"{_ENDPOINT}rotate/")
async def rotate(
    service: Service, actor: Manager, deployment_id: DeploymentId, body: RotateIn | None = None
) -> EndpointSecretOut:
    """Create a new secret, shown this once. The previous one also signs for 24 hours."""
    force = body is not None and body.force
    endpoint = await service.rotate(actor.profile_id, deployment_id, force=force)
    return EndpointSecretOut.of(endpoint)


@router.post(f"{_ENDPOINT}end-overlap/")
async def end_overlap(service: Service, actor: Manager, deployment_id: DeploymentId) -> EndpointOut:
    """Stop signing with the previous secret."""
    return EndpointOut.of(await service.end_overlap(actor.profile_id, deployment_id))


@router.post(f"{_ENDPOINT}resume/")
async def resume(service: Service, actor: Manager, deployment_id: DeploymentId) -> EndpointOut:
    """Send to a paused webhook again, now: its receiver has been repaired."""
    return EndpointOut.of(await service.resume(actor.profile_id, deployment_id))


@router.post(f"{_ENDPOINT}test/")
async def test(service: Service, actor: Manager, deployment_id: DeploymentId) -> DeliveryOut:
    """Send the event `webhook.test` now, once, and show the result."""
    return DeliveryOut.of_shown(await service.test(actor.profile_id, deployment_id))


@router.post(f"{_ENDPOINT}replay/", status_code=202)
async def replay_since(
    service: Service, actor: Manager, deployment_id: DeploymentId, body: ReplayIn
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
        deployment: DeploymentFilterId,
        run: str | None = None,
        status: DeliveryStatus | None = None,
        event: Annotated[str | None, Query(pattern=r"^[a-z0-9_.]{1,32}$")] = None,
        since: Annotated[UtcDatetime | None, Query(alias="from")] = None,
        before: Annotated[UtcDatetime | None, Query(alias="to")] = None,
    ) -> None:
        self.which = DeliveryFilter(
            deployment_id=deployment,
            run_id=run,
            status=status,
            event=event,
            since=since,
            before=before,
        )


@router.get("/deliveries/")
async def list_deliveries(
    service: Service,
    actor: Manager,
    filters: DeliveryFilterParams = Depends(),
    page: PageRequest = Depends(),
) -> DeliveryPage:
    """List deliveries, newest first; `to` is exclusive."""
    return DeliveryPage.of(await service.deliveries(actor.profile_id, filters.which, page))


@router.get("/deliveries/{delivery_id}/")
async def show_delivery(service: Service, actor: Manager, delivery_id: str) -> DeliveryOut:
    """Show an event, and the request and response of each attempt."""
    return DeliveryOut.of_shown(await service.delivery(actor.profile_id, delivery_id))


@router.post("/deliveries/{delivery_id}/replay/", status_code=202)
async def replay(service: Service, actor: Manager, delivery_id: str) -> DeliveryOut:
    """Send one event again, under its original id."""
    return DeliveryOut.of_shown(await service.replay(actor.profile_id, delivery_id))


@router.post("/verify/", dependencies=[Depends(manager)])
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
