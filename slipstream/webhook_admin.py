"""Webhooks, as the administrator uses them from the command line: no gateway needs to be there."""

from __future__ import annotations

from gateway.webhooks.service import WebhookService
from gateway.webhooks.station import Station
from slipstream.workspace import Workspace


def webhook_service(workspace: Workspace) -> WebhookService:
    """Return the service; it sends tests from this process, and leaves all else to gateways."""
    return WebhookService(workspace.db, workspace.services.vault, _LocalSender(workspace))


class _LocalSender:
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
