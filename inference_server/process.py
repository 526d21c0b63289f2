"""The process around a server, however it was started: settings, limits, the loop, the end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import uvloop

from inference_server import settings
from inference_server.exit_status import ServerExitStatus
from inference_server.runtime import memory
from inference_server.server import ListenError, OnnxServer
from telemetry import logs
from telemetry.parent_process import exit_with_parent

_NAME = Path("/proc/self/comm")
_STOPPED_AT_ONCE = 128 + signal.SIGTERM


def serve(arguments: Sequence[str], *, began: float) -> None:
    """Be an inference server until told to stop.

    Ends the process with an ExitStatus; by SystemExit where the arguments are wrong or an address
    cannot be listened on, with the reason on stderr. `began` is the `perf_counter()` that boot time
    counts from.
    """
    chosen = settings.read(arguments)
    set_process_name(f"{chosen.model} {chosen.version}")
    logs.configure(chosen.log_level, process="inference_server")
    if chosen.lifeline_fd is not None:
        exit_with_parent(chosen.lifeline_fd)
        ignore_sigint()
    memory.cap(memory.available())
    try:
        status = uvloop.run(_run(chosen, began))
    except ListenError as error:
        sys.exit(f"inference_server: {error}")
    exit_now(status)


def set_process_name(name: str) -> None:
    """Have `top` and `ps` show `name`, or the first 15 bytes of it, where the system can."""
    with suppress(OSError):
        _NAME.write_text(name)


def ignore_sigint() -> None:
    """Let the parent decide what stops when: Ctrl-C reaches the whole group of processes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def on_signal(number: signal.Signals, stop: Callable[[], None]) -> None:
    """Have a signal call `stop`, and end this process at once when it comes again."""
    loop = asyncio.get_running_loop()

    def heed() -> None:
        loop.add_signal_handler(number, os._exit, _STOPPED_AT_ONCE)
        stop()

    loop.add_signal_handler(number, heed)


def exit_now(status: ServerExitStatus = ServerExitStatus.STOPPED) -> NoReturn:
    """End this process, though a thread may be inside ONNX Runtime still.

    A load or a run that outlived the grace cannot be interrupted, and an orderly exit would wait
    for it.
    """
    sys.stderr.flush()
    os._exit(status)


async def _run(chosen: settings.Settings, began: float) -> ServerExitStatus:
    stopping = asyncio.Event()
    on_signal(signal.SIGTERM, stopping.set)
    if chosen.lifeline_fd is None:
        on_signal(signal.SIGINT, stopping.set)
    return await OnnxServer(chosen, began=began).run(stopping)
