"""Webhooks, as the administrator uses them from the command line: no gateway needs to be there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from gateway.storage.paging import Page, PageRequest
from gateway.storage.webhook_tables import WebhookDelivery
from gateway.webhooks.events import WebhookEvent
from gateway.webhooks.listing import DeliveryFilter, Shown
from gateway.webhooks.service import Endpoint, WebhookService
from gateway.webhooks.states import EndpointState
from gateway.webhooks.station import Station
from slipstream.workspace import Workspace


class WebhookDesk:
    """The webhooks of the administrator's profile; what fails, fails as in WebhookService."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._profile_id = workspace.profile.id
        vault = workspace.services.vault
        self._service = WebhookService(workspace.db, vault, _Here(workspace))

    async def page(self, request: PageRequest) -> Page[Endpoint]:
        """Return a page of webhooks, newest first."""
        return await self._service.page(self._profile_id, request)

    async def get(self, deployment_id: str) -> Endpoint:
        """Return a deployment's webhook."""
        return await self._service.get(self._profile_id, deployment_id)

    async def change(
        self,
        deployment_id: str,
        *,
        events: Sequence[WebhookEvent] | None,
        state: EndpointState | None,
    ) -> Endpoint:
        """Subscribe to other events, or turn sending off and on; what is None stays."""
        return await self._service.change(
            self._profile_id, deployment_id, events=events, state=state
        )

    async def rotate(self, deployment_id: str, *, force: bool) -> Endpoint:
        """Make a new secret; the answer alone has it."""
        return await self._service.rotate(self._profile_id, deployment_id, force=force)

    async def end_overlap(self, deployment_id: str) -> Endpoint:
        """Have the previous secret sign no longer."""
        return await self._service.end_overlap(self._profile_id, deployment_id)

    async def test(self, deployment_id: str) -> Shown:
        """Send a test from this process, and return how that went."""
        return await self._service.test(self._profile_id, deployment_id)

    async def deliveries(
        self, which: DeliveryFilter, request: PageRequest
    ) -> Page[WebhookDelivery]:
        """Return a page of deliveries, newest first."""
        return await self._service.deliveries(self._profile_id, which, request)

    async def delivery(self, delivery_id: str) -> Shown:
        """Return one delivery with its attempts."""
        return await self._service.delivery(self._profile_id, delivery_id)

    async def replay(self, delivery_id: str) -> Shown:
        """Have one delivery sent again by the gateways."""
        return await self._service.replay(self._profile_id, delivery_id)

    async def replay_since(self, deployment_id: str, since: datetime, *, only_failed: bool) -> int:
        """Have the events since a time sent again by the gateways; return how many."""
        return await self._service.replay_since(
            self._profile_id, deployment_id, since, only_failed=only_failed
        )


class _Here:
    """Sends tests from this process; all else is the gateways', which look twice a second."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def wake(self) -> None:
        """Leave it to the gateways."""

    async def deliver_test(self, delivery_id: str) -> None:
        """Send a test now, once, with the settings of this process."""
        workspace = self._workspace
        station = Station(workspace.settings, workspace.db, workspace.services.vault)
        try:
            await station.dispatcher.deliver_test(delivery_id)
        finally:
            await station.close()
