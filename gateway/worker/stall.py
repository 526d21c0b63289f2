"""Detects a consumer that receives nothing although messages wait."""

from __future__ import annotations

import asyncio

from gateway.broker.broker import Broker
from gateway.broker.celery_app import queue_depths
from gateway.worker.slots import RunSlots

_CHECK_SECONDS = 5.0
_MAX_STALLED_CHECKS = 3


async def until_stalled(broker: Broker, slots: RunSlots) -> None:
    """Return when the worker takes nothing that it could take.

    Celery's consumers have been known to reconnect and then receive nothing. That is the case when,
    in three consecutive checks, nothing came although there were slots and the broker, asked over a
    new connection, said that messages were waiting.
    """
    taken, stalled_checks = 0, 0
    while stalled_checks < _MAX_STALLED_CHECKS:
        await asyncio.sleep(_CHECK_SECONDS)
        before, taken = taken, slots.taken
        idle = taken == before and any(slots.free(queue) for queue in slots.queues)
        waits = idle and await asyncio.to_thread(_messages_wait, broker, slots)
        stalled_checks = stalled_checks + 1 if waits else 0


def _messages_wait(broker: Broker, slots: RunSlots) -> bool:
    free = [queue for queue in slots.queues if slots.free(queue)]
    try:
        return any(queue_depths(broker, free).values())
    except Exception:  # noqa: BLE001 - without a broker no worker receives anything
        return False
