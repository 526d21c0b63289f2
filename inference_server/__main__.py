"""`python -m inference_server`: serve one version of one model until told to stop."""

from __future__ import annotations

import os
import signal
import sys
from datetime import UTC, datetime
from time import perf_counter

import psutil
import uvloop

from inference_server import settings
from inference_server.parent import end_with_parent
from inference_server.runtime import memory
from inference_server.server import ListenError, Server
from telemetry import logs


async def _serve(chosen: settings.Settings, began: float) -> None:
    await Server(chosen, began=began).run()


def _age() -> float:
    """Return how many seconds ago the process started: imports are most of a small model's boot."""
    return max(0.0, datetime.now(UTC).timestamp() - psutil.Process().create_time())


def main() -> None:
    """Run the process."""
    began = perf_counter() - _age()
    chosen = settings.read()
    logs.configure(chosen.log_level, process="inference_server")
    if chosen.lifeline_fd is not None:
        end_with_parent(chosen.lifeline_fd)
        # Ctrl-C reaches the whole group of processes; the parent decides what stops when.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    memory.cap(memory.available())
    try:
        uvloop.run(_serve(chosen, began))
    except ListenError as error:
        sys.exit(f"inference_server: {error}")
    sys.stderr.flush()
    # A thread may be inside ONNX Runtime still, with a load or a run that outlived the grace.
    # It cannot be interrupted, and an orderly exit would wait for it.
    os._exit(0)


if __name__ == "__main__":
    main()
