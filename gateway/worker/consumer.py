"""Celery's consumer, which comes back sooner when its broker does."""

from __future__ import annotations

from typing import Any

from celery.worker.consumer import Consumer as CeleryConsumer
from celery.worker.state import maybe_shutdown

from telemetry.logs import logger

_FIRST_PAUSE_SECONDS = 0.2
_MORE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 2.0
"""Celery's own would be 30: longer than anybody waits for a sync run."""

log = logger("gateway.worker.consumer")


class Consumer(CeleryConsumer):  # type: ignore[misc]  # published without types
    """Tries again for ever, every two seconds at the least."""

    def ensure_connected(self, conn: Any) -> Any:  # Any: kombu's Connection
        """Return the connection once it stands; ends by WorkerShutdown where that is asked for."""
        told = False

        def failed(error: Exception, _pause: float) -> None:
            nonlocal told
            if not told:
                log.warning("broker_lost", reason=str(error).partition("\n")[0])
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
