"""The process around a server, however it was started: settings, limits, the loop, the end."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import uvloop

from inference_server import settings
from inference_server.parent import end_with_parent
from inference_server.runtime import memory
from inference_server.server import ListenError, Server
from telemetry import logs

_NAME = Path("/proc/self/comm")


def serve(arguments: Sequence[str], *, began: float) -> None:
    """Be an inference server until told to stop.

    Ends the process: by SystemExit where the arguments are wrong or an address cannot be listened
    on, with the reason on stderr. `began` is the `perf_counter()` that boot time counts from.
    """
    chosen = settings.read(arguments)
    name_process(f"{chosen.model} {chosen.version}")
    logs.configure(chosen.log_level, process="inference_server")
    if chosen.lifeline_fd is not None:
        end_with_parent(chosen.lifeline_fd)
        # Ctrl-C reaches the whole group of processes; the parent decides what stops when.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    memory.cap(memory.available())
    try:
        uvloop.run(_run(chosen, began))
    except ListenError as error:
        sys.exit(f"inference_server: {error}")
    sys.stderr.flush()
    # A thread may be inside ONNX Runtime still, with a load or a run that outlived the grace.
    # It cannot be interrupted, and an orderly exit would wait for it.
    os._exit(0)


def name_process(name: str) -> None:
    """Have `top` and `ps` show `name`, or the first 15 bytes of it, where the system can."""
    with suppress(OSError):
        _NAME.write_text(name)


async def _run(chosen: settings.Settings, began: float) -> None:
    await Server(chosen, began=began).run()
