"""Inference servers from a fork server, which is kept alive; without one they come directly."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence

from slipstream.status_printer import StatusPrinter
from slipstream.supervisor.fork_server import ForkServer
from slipstream.supervisor.process import ChildProcess, Lifeline
from slipstream.supervisor.process_manager import ProcessManager, StatusLine
from slipstream.supervisor.spawn_request import await_pid
from slipstream.supervisor.spawner import DirectSpawner
from slipstream.supervisor.subreaper import ReparentedProcess, subreaper

_KEY = "fork server"
_ATTEMPTS = 2
"""A fork server may end with a request unanswered; its successor deserves a chance."""
_BOOT_SECONDS = 20.0
"""How long to wait for a fork server that starts. A server that starts directly is no faster."""
_FORK_SECONDS = 5.0
"""How long to wait for the answer of one that is ready. It takes milliseconds."""
_SOON_SECONDS = 1.0
"""A fork server that comes back within that time is worth waiting for."""


class ForkServerSpawner:
    """A Source. `run` keeps the fork server alive."""

    def __init__(
        self, lifeline: Lifeline, printer: StatusPrinter, *, running: ForkServer | None
    ) -> None:
        """Use the fork server that is `running`; None where the system supports none."""
        self._lifeline = lifeline
        self._printer = printer
        self._direct = DirectSpawner(lifeline)
        self._newest = running
        self._ready: ForkServer | None = None
        self._expected = running is not None
        self._changed = asyncio.Event()
        self._lock = asyncio.Lock()
        children = {_KEY: running.child} if running else {}
        self._manager = ProcessManager(self._start, self, running=children)
        self._manager.set_desired(dict.fromkeys(children, 1))

    async def run(self) -> None:
        """Replace the fork server whenever it ends, until cancelled."""
        await self._manager.run()

    async def drain(self, grace: float) -> None:
        """Let the fork server go. The servers that it has started are not its children."""
        await self._manager.drain(grace)

    def kill(self) -> None:
        """End the fork server at once."""
        self._manager.kill()

    async def spawn(self, arguments: Sequence[str]) -> ChildProcess:
        """See Spawner."""
        requested_at = time.perf_counter()
        async with self._lock:
            for _ in range(_ATTEMPTS):
                fork_server = await self.ready_fork_server()
                if fork_server is None:
                    break
                try:
                    return await _fork(fork_server, arguments, requested_at)
                except OSError as error:  # a TimeoutError is one
                    self._printer.step(_KEY, f"gave no server: {error or 'no answer'}", "red")
                    self._dismiss(fork_server)
        return await self._direct.spawn(arguments)

    def spawned(self, _key: str, child: ChildProcess) -> None:
        """A fork server is on its way."""
        self._printer.step(_KEY, f"process {child.pid}", "dim")

    def reported(self, _key: str, line: StatusLine) -> None:
        """It has imported everything."""
        if line["event"] == "ready":
            self._printer.step(_KEY, "ready", "green")
            self._ready = self._newest
            self._expected = True
            self._changed.set()

    def exited(self, _key: str, *, requested: bool, reason: str, retry_in: float) -> None:
        """It has ended. Its children need none."""
        if self._newest:
            self._newest.end()
        self._newest = self._ready = None
        self._expected &= not requested and retry_in < _SOON_SECONDS
        self._changed.set()
        text = "stopped" if requested else f"{reason}; started again in {retry_in:.1f} s"
        self._printer.step(_KEY, text, "dim" if requested else "red")

    def removed(self, _key: str) -> None:
        """Nothing is kept of it."""

    async def _start(self, _key: str) -> ChildProcess:
        self._newest = ForkServer.start(self._lifeline)
        return self._newest.child

    async def ready_fork_server(self) -> ForkServer | None:
        """Return the fork server once it is ready; None where that is not to be expected soon."""
        try:
            async with asyncio.timeout(_BOOT_SECONDS):
                while self._ready is None and self._expected:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            self._expected = False  # until one is ready: the next servers do not wait as long again
        return self._ready

    def _dismiss(self, fork_server: ForkServer) -> None:
        fork_server.end()
        if self._ready is fork_server:
            self._ready = None


async def _fork(
    fork_server: ForkServer, arguments: Sequence[str], requested_at: float
) -> ChildProcess:
    """Return the server that `fork_server` has forked; raise OSError where there is none."""
    read_fd, write_fd = os.pipe()
    try:
        with subreaper():
            try:
                fork_server.request_server(arguments, status_fd=write_fd, requested_at=requested_at)
            finally:
                os.close(write_fd)
            pid = await await_pid(read_fd, within=_FORK_SECONDS)
    except BaseException:
        os.close(read_fd)
        raise
    return ChildProcess(ReparentedProcess(pid), read_fd)
