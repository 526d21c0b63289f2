"""A dispatcher with all that it needs: part of a gateway, or a process of its own."""

from __future__ import annotations

from gateway.outbound.http import GuardedHttpClient
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.webhooks.delivery_sender import DeliverySender
from gateway.webhooks.dispatcher import WebhookDispatcher
from gateway.webhooks.metrics import WebhookMetrics
from gateway.webhooks.options import DispatcherOptions
from gateway.webhooks.secret_box import SecretBox
from gateway.webhooks.store import DeliveryStore
from telemetry.instruments import Registry


class WebhookDeliveryService:
    """Sends an installation's deliveries until it is closed. Made on its event loop."""

    def __init__(
        self,
        settings: Settings,
        db: Database,
        secret_box: SecretBox,
        *,
        registry: Registry | None = None,
        options: DispatcherOptions | None = None,
    ) -> None:
        """Send what `db` has, which whoever has made it closes; `options` are the settings'."""
        numbers = options or DispatcherOptions.of(settings)
        self.store = DeliveryStore(
            db, lease_seconds=numbers.lease_seconds, disable_seconds=numbers.disable_seconds
        )
        self.metrics = WebhookMetrics(registry or Registry())
        self._http = GuardedHttpClient(
            settings.webhook_allow,
            allow_http=settings.webhook_allow_http,
            max_connections=numbers.concurrency,
        )
        sender = DeliverySender(self._http, secret_box, timeout_seconds=numbers.timeout_seconds)
        self.dispatcher = WebhookDispatcher(self.store, sender, numbers, self.metrics)

    def start(self) -> None:
        """Begin to send."""
        self.dispatcher.start()

    async def close(self, drain_seconds: float = 0.0) -> None:
        """Let what is being sent arrive, within limits, and give everything back."""
        await self.dispatcher.stop(drain_seconds)
        await self._http.close()
