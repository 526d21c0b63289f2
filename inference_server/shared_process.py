"""`python -m inference_server.shared_process`: many servers in one process and on one event loop.

For many small models, where memory matters more than isolation: a further server costs little more
than its model. A crash ends all of them, and a run on the event loop delays the others.

Each request arrives as one message on a socket (see `SpawnRequest`). A server drains when its
lifeline closes or when it has been idle for its time-out, then writes its exit status to the
lifeline as one byte. The process exits with its last server, or with the first one that is stuck:
nothing else ends its thread.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
import socket
from contextlib import suppress
from pathlib import Path

import uvloop

from inference_server import settings
from inference_server.process import exit_now, ignore_sigint, on_signal
from inference_server.runtime.host import MemoryLimit, limit_memory
from inference_server.server import ListenError, OnnxServer
from inference_server.spawn import ServerExitStatus, SpawnRequest
from telemetry import allocator, logs
from telemetry.control_groups import available_memory
from telemetry.logs import logger
from telemetry.parent_process import exit_with_parent
from telemetry.process_name import set_process_name

_FAILED = 1
_COLLECT_AFTER_SECONDS = 0.2
"""After the first server that has ended since the last collection."""


class ServerHost:
    """The servers of this process."""

    def __init__(self, control: socket.socket) -> None:
        """Take requests from `control`."""
        control.setblocking(False)
        self._control = control
        self._servers: dict[asyncio.Task[None], asyncio.Event] = {}
        """Each server's task, and the event that tells it to stop."""
        self._memory_limit = MemoryLimit()
        self._finished = asyncio.Event()
        self._collection: asyncio.TimerHandle | None = None
        """The collection that is due; it takes long, so servers that end together share it."""
        self._stopping = False
        self._log = logger(__name__)

    async def run(self) -> None:
        """Start servers on request until the last one has ended."""
        asyncio.get_running_loop().add_reader(self._control.fileno(), self._receive)
        on_signal(signal.SIGTERM, self._stop)
        await self._finished.wait()

    def _receive(self) -> None:
        request = SpawnRequest.receive(self._control)
        if request is None:  # the parent has closed our lifeline as well, which ends the process
            return
        stopping = asyncio.Event()
        server = asyncio.create_task(self._serve(request, stopping))
        self._servers[server] = stopping
        server.add_done_callback(self._on_server_end)

    def _stop(self) -> None:
        self._stopping = True
        for stopping in self._servers.values():
            stopping.set()
        if not self._servers:
            self._finished.set()

    def _on_server_end(self, server: asyncio.Task[None]) -> None:
        del self._servers[server]
        if not self._servers:
            self._finished.set()
            return
        if self._collection is None:
            loop = asyncio.get_running_loop()
            self._collection = loop.call_later(_COLLECT_AFTER_SECONDS, self._collect)

    def _collect(self) -> None:
        """Free the memory of servers that have ended, unless all are ending.

        The parts of a server reference each other, and `gc.freeze` has hidden them from the
        collector: without this their memory would not be freed for the other models. The C library
        would keep what it got back: three times as much as 15 models of 4 MiB.
        """
        self._collection = None
        if self._stopping:
            return
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        asyncio.get_running_loop().run_in_executor(None, allocator.return_freed_memory)

    async def _serve(self, request: SpawnRequest, stopping: asyncio.Event) -> None:
        with socket.socket(fileno=request.lifeline_fd) as lifeline:
            status = await self._run(request, stopping, lifeline)
            if status == ServerExitStatus.STUCK:
                exit_now(ServerExitStatus.STUCK)
            os.close(request.status_fd)
            with suppress(OSError):  # the supervisor has stopped waiting
                lifeline.send(bytes([status]))

    async def _run(
        self, request: SpawnRequest, stopping: asyncio.Event, lifeline: socket.socket
    ) -> int:
        """Run one server until it is to stop; return its exit status. Raises nothing."""
        loop = asyncio.get_running_loop()

        def on_lifeline_closed() -> None:
            loop.remove_reader(lifeline)
            stopping.set()

        loop.add_reader(lifeline, on_lifeline_closed)
        try:
            request.report_pid()
            chosen = settings.read([*request.arguments, "--status-fd", str(request.status_fd)])
            server = OnnxServer(
                chosen, self._memory_limit, started_at=request.requested_at, is_alone=False
            )
            return await server.run(stopping)
        except SystemExit as refused:  # argparse has printed why
            return _FAILED if refused.code is None else int(refused.code)
        except BrokenPipeError:  # the supervisor has stopped waiting
            return _FAILED
        except ListenError as error:
            self._log.error("cannot_listen", reason=str(error))
            return _FAILED
        except Exception:  # noqa: BLE001 - the other servers of this process go on
            self._log.exception("server_failed", arguments=request.arguments)
            return _FAILED
        finally:
            loop.remove_reader(lifeline)


def main() -> None:
    """Take requests until the last server has ended, or the parent has."""
    options = _parser().parse_args()
    allocator.use_one_arena()
    ignore_sigint()
    set_process_name("inference")
    logs.configure(
        options.log_level,
        process="inference_server",
        log_format=options.log_format,
        file=options.log_file,
    )
    exit_with_parent(options.lifeline_fd)
    limit_memory(available_memory())
    with socket.socket(fileno=options.control_fd) as control:
        uvloop.run(ServerHost(control).run())
        exit_now()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "inference_server.shared_process", description="Serve on request."
    )
    for name, text in (
        ("--control-fd", "socket that requests arrive on, one per message"),
        ("--status-fd", "pipe that closes when this process ends"),
        ("--lifeline-fd", "pipe that closes when the parent dies"),
    ):
        parser.add_argument(name, type=int, required=True, help=text)
    parser.add_argument("--log-level", default="info", help="debug, info, warning or error")
    parser.add_argument("--log-format", default="auto", choices=logs.FORMATS)
    parser.add_argument("--log-file", type=Path, help="file to which lines are appended, too")
    return parser


if __name__ == "__main__":
    main()
