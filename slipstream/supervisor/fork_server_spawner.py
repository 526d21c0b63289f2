"""Starts inference servers by a fork server, or directly where there is none."""

from __future__ import annotations

import asyncio
import ctypes
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from slipstream.status_printer import StatusPrinter
from slipstream.supervisor.fork_server import ForkServer
from slipstream.supervisor.handover import Handover, PassedSharedProcess
from slipstream.supervisor.process import AdoptedProcess, ChildProcess, Lifeline
from slipstream.supervisor.process_manager import ProcessManager
from slipstream.supervisor.spawn_request import await_pid
from slipstream.supervisor.spawner import spawn_directly
from slipstream.supervisor.status_reader import StatusLine

_KEY = "fork server"
_ATTEMPTS = 2
"""A fork server may end before it answers a request; its successor is tried once."""
_BOOT_SECONDS = 20.0
"""How long to wait for a starting fork server. Starting a server directly is no faster."""
_FORK_SECONDS = 5.0
"""How long to wait for the answer of a ready fork server. It takes milliseconds."""
_END_SECONDS = 1.0
"""What the fork server has to end."""
_SOON_SECONDS = 1.0
"""Wait for a fork server that restarts within this time."""

_SET_CHILD_SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of prctl(2)."""


class ForkServerSpawner:
    """A ServerSpawner. `run` restarts the fork server when it ends."""

    def __init__(
        self,
        lifeline: Lifeline,
        printer: StatusPrinter,
        *,
        running: ForkServer | None,
        count_exit: Callable[[str], None],
    ) -> None:
        """Use the fork server `running`; None if the system supports none.

        Its ends are counted as ProcessManager does.
        """
        self._lifeline = lifeline
        self._printer = printer
        self._newest = running
        self._ready: ForkServer | None = None
        self._expected = running is not None
        self._changed = asyncio.Event()
        self._lock = asyncio.Lock()
        children = {_KEY: running.child} if running else {}
        self._manager = ProcessManager(self._start, self, running=children, count_exit=count_exit)
        self._manager.set_desired(dict.fromkeys(children, 1))

    async def run(self) -> None:
        """Replace the fork server whenever it ends, until cancelled."""
        await self._manager.run()

    def adopt(self, predecessor: Handover) -> dict[str, ChildProcess]:
        """See ServerSpawner."""
        return {
            server.key: ChildProcess(
                AdoptedProcess(server.pid), server.status_fd, started_at=server.started_at
            )
            for server in predecessor.servers
        }

    async def detach(self) -> Sequence[PassedSharedProcess]:
        """See ServerSpawner: the servers that it has forked are our children."""
        await self._manager.drain(_END_SECONDS)
        return ()

    async def drain(self, grace: float) -> None:
        """Stop the fork server. The servers that it has forked are our children, and go on."""
        await self._manager.drain(grace)

    def kill(self) -> None:
        """End the fork server at once."""
        self._manager.kill()

    async def spawn(self, arguments: Sequence[str], *, group: str = "") -> ChildProcess:  # noqa: ARG002 - each has a process of its own
        """See ServerSpawner."""
        requested_at = time.perf_counter()
        async with self._lock:
            for _ in range(_ATTEMPTS):
                fork_server = await self.ready_fork_server()
                if fork_server is None:
                    break
                try:
                    return await _fork(fork_server, arguments, requested_at)
                except OSError as error:  # a TimeoutError is one
                    self._printer.step(_KEY, f"forked no server: {error or 'no answer'}", "red")
                    self._dismiss(fork_server)
        return spawn_directly(arguments, self._lifeline)

    def spawned(self, _key: str, child: ChildProcess) -> None:
        """A fork server is starting."""
        self._printer.step(_KEY, f"process {child.pid}", "dim")

    def reported(self, _key: str, line: StatusLine) -> None:
        """The fork server has imported everything."""
        if line["event"] == "ready":
            self._printer.step(_KEY, "ready", "green")
            self._ready = self._newest
            self._expected = True
            self._changed.set()

    def exited(self, _key: str, *, requested: bool, reason: str, retry_in: float) -> None:
        """The fork server has ended; the servers that it has forked go on."""
        if self._newest:
            self._newest.end()
        self._newest = self._ready = None
        self._expected &= not requested and retry_in < _SOON_SECONDS
        self._changed.set()
        text = "stopped" if requested else f"{reason}; started again in {retry_in:.1f} s"
        self._printer.step(_KEY, text, "dim" if requested else "red")

    def removed(self, _key: str) -> None:
        """Part of ProcessListener; nothing to do."""

    async def _start(self, _key: str) -> ChildProcess:
        self._newest = ForkServer.start(self._lifeline)
        return self._newest.child

    async def ready_fork_server(self) -> ForkServer | None:
        """Return the fork server once it is ready, or None if that will not be soon."""
        try:
            async with asyncio.timeout(_BOOT_SECONDS):
                while self._ready is None and self._expected:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            self._expected = (
                False  # the next servers do not wait until a fork server is ready again
            )
        return self._ready

    def _dismiss(self, fork_server: ForkServer) -> None:
        fork_server.end()
        if self._ready is fork_server:
            self._ready = None


async def _fork(
    fork_server: ForkServer, arguments: Sequence[str], requested_at: float
) -> ChildProcess:
    """Return the server that `fork_server` forks; raise OSError if there is none."""
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
    return ChildProcess(AdoptedProcess(pid), read_fd)


@contextmanager
def subreaper() -> Iterator[None]:
    """Make this process the parent of every descendant that is orphaned within the context.

    No longer than needed: other orphans would not be waited for, and would stay zombies.

    Raises:
        OSError: the kernel refuses.
    """
    _set_subreaper(yes=True)
    try:
        yield
    finally:
        _set_subreaper(yes=False)


def _set_subreaper(*, yes: bool) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(_SET_CHILD_SUBREAPER, int(yes), 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, f"prctl(PR_SET_CHILD_SUBREAPER): {os.strerror(number)}")
