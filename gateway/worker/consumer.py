"""Celery's consumer, which comes back sooner when its broker does."""

from __future__ import annotations

from typing import Any

from celery.worker.consumer import Consumer as CeleryConsumer
from celery.worker.state import maybe_shutdown

from telemetry.logs import logger, reason_of

_MIN_RETRY_SECONDS = 0.2
_RETRY_STEP_SECONDS = 0.2
_MAX_RETRY_SECONDS = 2.0
"""Celery's own would be 30: longer than anybody waits for a sync run."""

_POOL_CHECK_SECONDS = 0.5

log = logger("gateway.worker.consumer")


class ReconnectingConsumer(CeleryConsumer):  # type: ignore[misc]  # published without types
    """Tries again for ever, every two seconds at the least."""

    def register_with_event_loop(self, hub: Any) -> None:  # Any: kombu's Hub
        """Do what Celery does, and look more often for children that were killed.

        Until it is noticed, such a child counts as busy, and a lane of one child takes nothing.
        """
        super().register_with_event_loop(hub)
        hub.call_repeatedly(_POOL_CHECK_SECONDS, self.pool._pool.maintain_pool)  # noqa: SLF001 - no other way

    def ensure_connected(self, conn: Any) -> Any:  # Any: kombu's Connection
        """Return the connection once it stands; ends by WorkerShutdown where that is asked for."""
        told = False

        def failed(error: Exception, _pause: float) -> None:
            nonlocal told
            if not told:
                log.warning("broker_lost", reason=reason_of(error))
            told = True

        conn = conn.ensure_connection(
            failed,
            None,
            interval_start=_MIN_RETRY_SECONDS,
            interval_step=_RETRY_STEP_SECONDS,
            interval_max=_MAX_RETRY_SECONDS,
            callback=maybe_shutdown,
        )
        self.first_connection_attempt = False
        return conn
