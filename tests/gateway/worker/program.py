"""A worker whose runs do what their ids say, and log what they did.

Run without `--status-fd` it is `slipstream worker`, whose process is this program again.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from telemetry import garbage_collection

if __name__ == "__main__":
    garbage_collection.pause()

from gateway.execution.lent_slots import GiveBack
from gateway.settings import Settings

if TYPE_CHECKING:
    from gateway.worker import consumer

FOLDER = Path(os.environ["TEST_FOLDER"])
RUN_LOG = FOLDER / "runs.log"


def note(event: str, run_id: str = "-") -> None:
    """Append a line; short enough to be written at once."""
    with RUN_LOG.open("a") as log:
        log.write(f"{event} {run_id} {os.getpid()}\n")


async def _released() -> None:
    while not (FOLDER / "release").exists():  # noqa: ASYNC110 - it is another process
        await asyncio.sleep(0.02)


class Executor:
    """`hold-…` runs until the file `release` is there; `burn-…` never gives the loop back.

    `wait-…` is like `hold-…`, but holds no slot meanwhile.
    """

    def __init__(self, settings: Settings, _metrics: Path) -> None:
        self._settings = settings

    async def start(self) -> None:
        if (FOLDER / "closed").exists():
            note("waits")
            raise ConnectionRefusedError("the database is away")
        note("started")

    async def run(self, run_id: str, give_back: GiveBack) -> None:
        note("began", run_id)
        if run_id.startswith("hold"):
            await _released()
        if run_id.startswith("wait"):
            with give_back():
                await _released()
        if run_id.startswith("burn"):
            while True:
                pass
        if run_id.startswith("break"):
            raise RuntimeError("broken on purpose")
        note("ended", run_id)

    async def close(self) -> None:
        note("closed")


def upset(self: consumer._IdConsumer) -> None:
    """Break what the test has asked for, once Celery takes messages."""
    stalled, closed = FOLDER / "stalled", FOLDER / "channel-closed"
    if stalled.exists():  # Celery takes no more, as after a reconnect that went wrong
        stalled.unlink()
        self.task_consumer.cancel()
    if closed.exists():  # RabbitMQ closes the channel, as where nothing is acknowledged for long
        closed.unlink()
        self.task_consumer.channel.basic_ack(99_999)
    ON_READY(self)


if __name__ == "__main__":
    # Each role imports only what it needs, as the real programs do.
    if "--status-fd" in sys.argv:
        from gateway.worker import consumer
        from gateway.worker import stall as stall_check
        from gateway.worker.worker import main as worker_process

        if (FOLDER / "stalled").exists():
            stall_check._CHECK_SECONDS = 0.5
        ON_READY = consumer._IdConsumer.on_ready
        consumer._IdConsumer.on_ready = upset  # type: ignore[method-assign]
        sys.exit(worker_process(sys.argv[1:], Executor))

    from slipstream.commands.worker import main as worker

    worker(sys.argv[1:], module="tests.gateway.worker.program")
