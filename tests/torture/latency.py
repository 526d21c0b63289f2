"""Delivery latency of a working receiver: alone, and beside dead receivers."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.settings import Settings
from tests.torture.processes import DispatcherProcesses, ReceiverProcess
from tests.torture.sender import DeliveryRow, EventSource, WebhookTarget
from tests.torture.torture_run import DEAD, PrintStatus

_ROUNDS = 3
"""Rounds of each kind, alternating, so that other load affects both equally."""
_EVENTS_PER_SECOND = 50
"""Events per second to the working receiver."""
_DEAD_EVENTS = 200
"""Events pending for dead receivers at the start of a round."""
_DRAIN_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryLatency:
    """99th percentiles of the time from an event's row to its arrival, in seconds."""

    alone: float
    beside_dead: float


async def measure(
    settings: Settings, folder: Path, seconds: float, print_status: PrintStatus
) -> DeliveryLatency:
    """Return the latencies over some rounds of `seconds` each; `folder` gets the receiver's log."""
    receiver = ReceiverProcess(folder, fail=0.0)
    sender, dispatchers = EventSource(settings, receiver), DispatcherProcesses(settings)
    calm, *dead = await sender.open(["/calm/1", *DEAD])
    waited: dict[bool, list[float]] = {False: [], True: []}
    dispatchers.start()
    try:
        for number in range(2 * _ROUNDS):
            beside_dead = bool(number % 2)
            await sender.set_enabled(dead, on=beside_dead)
            if beside_dead:
                await sender.end_runs([dead[each % len(dead)] for each in range(_DEAD_EVENTS)])
            runs = await _end_runs_at_rate(sender, calm, seconds)
            await asyncio.sleep(_DRAIN_SECONDS)
            found = _latencies([row for row in await sender.rows() if row.run_id in runs])
            waited[beside_dead] += found
            words = "beside dead receivers" if beside_dead else "alone"
            print_status(f"{words}: p99 of {len(found):,} events {_p99(found) * 1000:.0f} ms")
        await sender.set_enabled(dead, on=False)
    finally:
        dispatchers.end()
        receiver.close()
        await sender.close()
    return DeliveryLatency(alone=_p99(waited[False]), beside_dead=_p99(waited[True]))


async def _end_runs_at_rate(sender: EventSource, target: WebhookTarget, seconds: float) -> set[str]:
    """End runs one by one at a constant rate; return their ids."""
    began = time.monotonic()
    runs: set[str] = set()
    for number in range(int(seconds * _EVENTS_PER_SECOND)):
        await asyncio.sleep(began + number / _EVENTS_PER_SECOND - time.monotonic())
        runs.update(await sender.end_runs([target]))
    return runs


def _latencies(rows: Sequence[DeliveryRow]) -> list[float]:
    """Return each delivery's latency in seconds; infinity if it has not arrived."""
    return [
        (row.delivered_at - row.created_at).total_seconds() if row.delivered_at else math.inf
        for row in rows
    ]


def _p99(values: Sequence[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]
