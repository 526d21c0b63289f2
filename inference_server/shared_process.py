"""`python -m inference_server.shared_process`: many servers in one process and on one loop.

For many small models, where memory matters more than isolation: a further server costs little more
than its model. A crash ends all of them, and a run on the event loop delays the others.

Each request arrives as one message on a socket (see `SpawnRequest`). A server drains when its
lifeline closes or when it has been idle for its time-out, then writes its exit status to the
lifeline as one byte. The process exits with its last server.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
import socket
from contextlib import suppress

import uvloop

from inference_server import settings
from inference_server.process import exit_now, ignore_sigint, on_signal, set_process_name
from inference_server.runtime import memory
from inference_server.server import ListenError, OnnxServer
from inference_server.spawn import SpawnRequest
from telemetry import logs
from telemetry.logs import logger
from telemetry.parent_process import exit_with_parent

_FAILED = 1


class ServerHost:
    """The servers of this process."""

    def __init__(self, control: socket.socket) -> None:
        """Take requests from `control`."""
        control.setblocking(False)
        self._control = control
        self._servers: dict[asyncio.Task[None], asyncio.Event] = {}
        self._over = asyncio.Event()
        self._log = logger(__name__)

    async def run(self) -> None:
        """Start servers on request, until the last one has gone."""
        asyncio.get_running_loop().add_reader(self._control.fileno(), self._take)
        on_signal(signal.SIGTERM, self._stop)
        await self._over.wait()

    def _take(self) -> None:
        asked = SpawnRequest.receive(self._control)
        if asked is None:  # our own lifeline has closed as well
            return
        stopping = asyncio.Event()
        server = asyncio.create_task(self._serve(asked, stopping))
        self._servers[server] = stopping
        server.add_done_callback(self._ended)

    def _stop(self) -> None:
        for stopping in self._servers.values():
            stopping.set()
        if not self._servers:
            self._over.set()

    def _ended(self, server: asyncio.Task[None]) -> None:
        del self._servers[server]
        if not self._servers:
            self._over.set()
            return
        # What it has left goes in circles, among objects that `gc.freeze` may have hidden.
        gc.unfreeze()
        gc.collect()
        gc.freeze()

    async def _serve(self, asked: SpawnRequest, stopping: asyncio.Event) -> None:
        with socket.socket(fileno=asked.lifeline_fd) as lifeline:
            status = await self._run(asked, stopping, lifeline)
            os.close(asked.status_fd)
            with suppress(OSError):  # nobody waits for it
                lifeline.send(bytes([status]))

    async def _run(
        self, asked: SpawnRequest, stopping: asyncio.Event, lifeline: socket.socket
    ) -> int:
        """Be one server until it is to stop; return its exit status. Raises nothing."""
        loop = asyncio.get_running_loop()

        def let_go() -> None:
            loop.remove_reader(lifeline)
            stopping.set()

        loop.add_reader(lifeline, let_go)
        try:
            asked.report_birth()
            chosen = settings.read([*asked.arguments, "--status-fd", str(asked.status_fd)])
            return await OnnxServer(chosen, began=asked.requested_at).run(stopping)
        except SystemExit as refused:  # argparse has said why
            return _FAILED if refused.code is None else int(refused.code)
        except BrokenPipeError:  # nobody waits for it
            return _FAILED
        except ListenError as error:
            self._log.error("cannot_listen", reason=str(error))
            return _FAILED
        except Exception:  # noqa: BLE001 - the others in this process go on
            self._log.exception("server_broke", arguments=asked.arguments)
            return _FAILED
        finally:
            loop.remove_reader(lifeline)


def main() -> None:
    """Take requests, until the last server or the parent is gone."""
    given = _parser().parse_args()
    ignore_sigint()
    set_process_name("inference")
    logs.configure(given.log_level, process="inference_server")
    exit_with_parent(given.lifeline_fd)
    memory.cap(memory.available())
    with socket.socket(fileno=given.control_fd) as control:
        uvloop.run(ServerHost(control).run())
        exit_now()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "inference_server.shared_process", description="Serve on request."
    )
    for name, text in (
        ("--control-fd", "socket on which the requests come, one a message"),
        ("--status-fd", "pipe that closes when this process ends"),
        ("--lifeline-fd", "pipe whose closing means that the parent is dead"),
    ):
        parser.add_argument(name, type=int, required=True, help=text)
    parser.add_argument("--log-level", default="info", help="debug, info, warning or error")
    return parser


if __name__ == "__main__":
    main()
