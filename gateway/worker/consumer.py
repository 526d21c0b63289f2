"""Celery's consumer, which comes back sooner when its broker does."""

from __future__ import annotations

from typing import Any

from celery.worker.consumer import Consumer as CeleryConsumer
from celery.worker.state import maybe_shutdown

from telemetry.logs import logger, reason_of

_FIRST_PAUSE_SECONDS = 0.2
_MORE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 2.0
"""Celery's own would be 30: longer than anybody waits for a sync run."""

_CHILDREN_SECONDS = 0.5

log = logger("gateway.worker.consumer")


class Consumer(CeleryConsumer):  # type: ignore[misc]  # published without types
    """Tries again for ever, every two seconds at the least."""

    def register_with_event_loop(self, hub: Any) -> None:  # Any: kombu's Hub
        """Do what Celery does, and look more often for children that were killed.

        Until it is noticed, such a child counts as busy, and a lane of one child takes nothing.
        """
        super().register_with_event_loop(hub)
        hub.call_repeatedly(_CHILDREN_SECONDS, self.pool._pool.maintain_pool)  # noqa: SLF001 - no other way

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
            interval_start=_FIRST_PAUSE_SECONDS,
            interval_step=_MORE_SECONDS,
            interval_max=_LONGEST_PAUSE_SECONDS,
            callback=maybe_shutdown,
        )
        self.first_connection_attempt = False
        return conn
