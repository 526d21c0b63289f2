"""Looking at a broker over a connection of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.broker.broker import Broker
from gateway.broker.celery_app import build_app
from gateway.broker.queues import Queue
from telemetry.logs import reason_of


def queue_depths(broker: Broker, queues: Sequence[Queue]) -> dict[Queue, int]:
    """Return how many messages wait in each; raise whatever the broker's library raises."""
    app = build_app(broker)
    with app.connection_for_read(heartbeat=0) as connection:
        connection.ensure_connection(max_retries=1, interval_start=0)
        channel = connection.default_channel
        return {queue: _queue_depth(channel, queue.name_in(broker.prefix)) for queue in queues}


def _queue_depth(channel: Any, name: str) -> int:  # Any: each transport has a channel of its own
    declared = channel.queue_declare(
        queue=name, durable=True, exclusive=False, auto_delete=False, nowait=False
    )
    return int(declared.message_count)


def connection_error(broker: Broker) -> str | None:
    """Return why the broker cannot be used; None where it can."""
    try:
        queue_depths(broker, tuple(Queue))
    except Exception as error:  # noqa: BLE001 - each broker's library has exceptions of its own
        return reason_of(error)
    return None
