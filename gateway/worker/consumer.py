"""Celery's consumer, with a faster reconnect."""

from __future__ import annotations

from typing import Any

from celery.worker.consumer import Consumer
from celery.worker.state import maybe_shutdown

from telemetry.logs import logger, reason_of

_MIN_RETRY_SECONDS = 0.2
_RETRY_STEP_SECONDS = 0.2
_MAX_RETRY_SECONDS = 2.0
"""Celery's own maximum is 30, longer than callers wait for a sync run."""

_POOL_CHECK_SECONDS = 0.5

log = logger("gateway.worker.consumer")


class ReconnectingConsumer(Consumer):  # type: ignore[misc]  # published without types
    """Retries a lost connection without limit, at least every two seconds."""

    def register_with_event_loop(self, hub: Any) -> None:  # Any: kombu's Hub
        """Do what Celery does, and check more often for children that were killed.

        Until it is noticed, such a child counts as busy, and a queue worker with one child takes
        no runs.
        """
        super().register_with_event_loop(hub)
        hub.call_repeatedly(_POOL_CHECK_SECONDS, self.pool._pool.maintain_pool)  # noqa: SLF001 - no other way

    def ensure_connected(self, conn: Any) -> Any:  # Any: kombu's Connection
        """Return the connection once it is established; raises WorkerShutdown on a shutdown."""
        logged = False

        def on_error(error: Exception, _pause: float) -> None:
            nonlocal logged
            if not logged:
                log.warning("broker_lost", reason=reason_of(error))
            logged = True

        conn = conn.ensure_connection(
            on_error,
            None,
            interval_start=_MIN_RETRY_SECONDS,
            interval_step=_RETRY_STEP_SECONDS,
            interval_max=_MAX_RETRY_SECONDS,
            callback=maybe_shutdown,
        )
        self.first_connection_attempt = False
        return conn
