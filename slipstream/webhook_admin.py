"""Webhooks, as the administrator uses them from the command line: no gateway needs to be there."""

from __future__ import annotations

from gateway.webhooks.delivery_service import WebhookDeliveryService
from gateway.webhooks.service import WebhookService
from slipstream.workspace import Workspace


def webhook_service(workspace: Workspace) -> WebhookService:
    """Return the service; it sends tests from this process, and leaves all else to gateways."""
    return WebhookService(workspace.db, workspace.services.secret_box, _LocalSender(workspace))


class _LocalSender:
    """Sends tests from this process; all else is the gateways', which look twice a second."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def wake(self) -> None:
        """Leave it to the gateways."""

    async def send_test(self, delivery_id: str) -> None:
        """Send a test now, once, with the settings of this process."""
        workspace = self._workspace
        webhook_delivery = WebhookDeliveryService(
            workspace.settings, workspace.db, workspace.services.secret_box
        )
        try:
            await webhook_delivery.dispatcher.send_test(delivery_id)
        finally:
            await webhook_delivery.close()
