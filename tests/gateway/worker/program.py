"""A worker whose runs do what their ids say, and log what they did.

Run without `--status-fd` it is `slipstream worker`, whose queue workers are this program again.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from telemetry import garbage_collection

if __name__ == "__main__":
    garbage_collection.pause()

from gateway.broker.broker import Queue
from gateway.settings import Settings

FOLDER = Path(os.environ["TEST_FOLDER"])
RUN_LOG = FOLDER / "runs.log"


def note(event: str, run_id: str = "-") -> None:
    """Append a line; short enough to be written at once."""
    with RUN_LOG.open("a") as log:
        log.write(f"{event} {run_id} {os.getpid()}\n")


class Executor:
    """`hold-…` runs until the file `release` is there; `burn-…` never gives the loop back."""

    def __init__(self, settings: Settings, _metrics: Path) -> None:
        self._settings = settings

    async def start(self) -> None:
        if (FOLDER / "closed").exists():
            note("waits")
            raise ConnectionRefusedError("the database is away")
        note("started")

    async def run(self, run_id: str) -> None:
        note("began", run_id)
        if run_id.startswith("hold"):
            while not (FOLDER / "release").exists():  # noqa: ASYNC110 - it is another process
                await asyncio.sleep(0.02)
        if run_id.startswith("burn"):
            while True:
                pass
        if run_id.startswith("break"):
            raise RuntimeError("broken on purpose")
        note("ended", run_id)

    async def close(self) -> None:
        note("closed")


def stall(sender: Any, **_: Any) -> None:
    """Have Celery's own consumer take no more, as after a reconnect that went wrong."""
    stalled = FOLDER / "stalled"
    if stalled.exists():
        stalled.unlink()
        prefix = Settings().queue_prefix
        for queue in Queue:
            sender.task_consumer.cancel_by_queue(queue.name_in(prefix))


if __name__ == "__main__":
    # Each role imports only what it needs, as the real programs do.
    if "--status-fd" in sys.argv:
        from celery import signals

        from gateway.worker import monitor
        from gateway.worker.queue_worker import main as queue_worker

        if (FOLDER / "stalled").exists():
            monitor._CHECK_SECONDS = 0.5
        signals.worker_ready.connect(stall, weak=False)
        sys.exit(queue_worker(sys.argv[1:], Executor))

    from slipstream.commands.worker import main as worker

    worker(sys.argv[1:], module="tests.gateway.worker.program")
