"""The process of one server: settings, limits, signals, event loop and exit."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

import uvloop

from inference_server import settings
from inference_server.runtime.host import MemoryLimit, limit_memory
from inference_server.server import REPORTED_EVENTS, ListenError, OnnxServer
from inference_server.spawn import ServerExitStatus
from telemetry import logs
from telemetry.control_groups import available_memory
from telemetry.parent_process import StatusPipe, exit_with_parent
from telemetry.process_name import set_process_name

_KILLED = 128 + signal.SIGTERM


def serve(arguments: Sequence[str], *, started_at: float) -> NoReturn:
    """Run an inference server until it is told to stop or has been idle, then exit.

    The exit status is a ServerExitStatus. Wrong arguments and addresses that cannot be listened on
    raise SystemExit instead, with the reason on stderr. `started_at` is the `perf_counter()` that
    boot time counts from.
    """
    chosen = settings.read(arguments)
    set_process_name(f"{chosen.model} {chosen.version}")
    logs.configure(
        chosen.log_level,
        process="inference_server",
        log_format=chosen.log_format,
        file=chosen.log_file,
    )
    if chosen.status_fd is not None:
        logs.forward(StatusPipe(chosen.status_fd).forward_log, without=REPORTED_EVENTS)
    if chosen.lifeline_fd is not None:
        exit_with_parent(chosen.lifeline_fd)
        ignore_sigint()
    limit_memory(available_memory())
    try:
        status = uvloop.run(_run(chosen, started_at))
    except ListenError as error:
        sys.exit(f"inference_server: {error}")
    exit_now(status)


def ignore_sigint() -> None:
    """Ignore Ctrl-C, which reaches the whole process group: the parent stops its children."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def on_signal(number: signal.Signals, stop: Callable[[], None]) -> None:
    """Call `stop` on the signal; exit at once if it arrives a second time."""
    loop = asyncio.get_running_loop()

    def handle() -> None:
        loop.add_signal_handler(number, os._exit, _KILLED)
        stop()

    loop.add_signal_handler(number, handle)


def exit_now(status: ServerExitStatus = ServerExitStatus.STOPPED) -> NoReturn:
    """Exit without waiting for threads.

    A load or a run that outlasted the grace period cannot be interrupted, and a normal exit would
    wait for it.
    """
    sys.stderr.flush()
    os._exit(status)


async def _run(chosen: settings.Settings, started_at: float) -> ServerExitStatus:
    stopping = asyncio.Event()
    on_signal(signal.SIGTERM, stopping.set)
    if chosen.lifeline_fd is None:
        on_signal(signal.SIGINT, stopping.set)
    return await OnnxServer(chosen, MemoryLimit(), started_at=started_at).run(stopping)
