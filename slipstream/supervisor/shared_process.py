"""Inference servers that share processes, so many to a process."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

from slipstream.status_printer import StatusPrinter
from slipstream.supervisor.hosted_server import HostedServer
from slipstream.supervisor.process import ChildProcess, Lifeline, describe_exit
from slipstream.supervisor.spawn_request import await_pid, send_spawn_request

_START_SECONDS = 20.0
"""How long to wait for a server's first word: a new house imports everything before."""
_NAME = "shared process"


class SharedProcess:
    """One process, and the servers in it; see `inference_server.shared_process`."""

    def __init__(self, lifeline: Lifeline, *, log_level: str) -> None:
        """Start it.

        Raises:
            OSError: the system has no room for it.
        """
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.setblocking(False)
        command = [
            sys.executable,
            "-m",
            "inference_server.shared_process",
            "--log-level",
            log_level,
        ]
        command += ["--control-fd", str(theirs.fileno())]
        with theirs:
            try:
                self.child = ChildProcess.spawn(
                    command, lifeline=lifeline, inherit=[theirs.fileno()]
                )
            except OSError:
                self._control.close()
                raise
        self._servers: list[HostedServer] = []
        self.closed = False
        """It takes no more servers."""

    def count(self) -> int:
        """Return how many servers are in it."""
        self._servers = [server for server in self._servers if server.poll() is None]
        return len(self._servers)

    async def start_server(self, arguments: Sequence[str], *, requested_at: float) -> ChildProcess:
        """Start a server in it; see `birth.ask`.

        Raises:
            OSError: it takes none any more.
        """
        read_fd, write_fd = os.pipe()
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                try:
                    send_spawn_request(
                        self._control,
                        arguments,
                        requested_at=requested_at,
                        status_fd=write_fd,
                        lifeline_fd=theirs.fileno(),
                    )
                finally:
                    os.close(write_fd)
            await await_pid(read_fd, within=_START_SECONDS)
        except BaseException:
            os.close(read_fd)
            ours.close()
            raise
        server = HostedServer(self.child, ours)
        self._servers.append(server)
        return ChildProcess(server, read_fd, owns_process=False)

    def close(self) -> None:
        """Have it take no more servers, and end if it has none."""
        self.closed = True
        if not self.count():
            self.child.kill()

    async def wait_closed(self) -> int:
        """Wait until its process has ended; return the exit status."""
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self.child.status_fd, over.set)
        try:
            await over.wait()
        finally:
            loop.remove_reader(self.child.status_fd)
            os.close(self.child.status_fd)
            self._control.close()
        return await asyncio.to_thread(self.child.wait)


class SharedProcessPool:
    """A Source of servers, so many to a house. A house ends with its last server."""

    def __init__(
        self,
        lifeline: Lifeline,
        printer: StatusPrinter,
        *,
        servers_per_process: int,
        log_level: str,
    ) -> None:
        self._lifeline = lifeline
        self._printer = printer
        self._servers_per_process = servers_per_process
        self._log_level = log_level
        self._processes: dict[SharedProcess, asyncio.Task[None]] = {}
        self._lock = asyncio.Lock()

    async def run(self) -> None:
        """Have the first house ready before it is needed; the others come and go by themselves."""
        with suppress(OSError):  # whoever needs it will say so
            self._start_process()
        await asyncio.Event().wait()

    async def drain(self, grace: float) -> None:
        """See Source."""
        watches = list(self._processes.values())
        for process in self._processes:
            process.child.terminate()
        if watches:
            await asyncio.wait(watches, timeout=grace)
        self.kill()
        await asyncio.gather(*watches)

    def kill(self) -> None:
        """See Source."""
        for process in self._processes:
            process.child.kill()

    async def spawn(self, arguments: Sequence[str]) -> ChildProcess:
        """See Spawner."""
        requested_at = time.perf_counter()
        async with self._lock:
            try:
                return await self._start_server(arguments, requested_at)
            except OSError:  # as a house ends with its last server, a request may come too late
                return await self._start_server(arguments, requested_at)

    async def _start_server(self, arguments: Sequence[str], requested_at: float) -> ChildProcess:
        process = next((process for process in self._processes if self._has_room(process)), None)
        process = process or self._start_process()
        try:
            return await process.start_server(arguments, requested_at=requested_at)
        except OSError:
            process.close()
            raise

    def _has_room(self, process: SharedProcess) -> bool:
        return not process.closed and process.count() < self._servers_per_process

    def _start_process(self) -> SharedProcess:
        process = SharedProcess(self._lifeline, log_level=self._log_level)
        self._printer.step(_NAME, f"process {process.child.pid}", "dim")
        self._processes[process] = asyncio.create_task(self._watch(process))
        return process

    async def _watch(self, process: SharedProcess) -> None:
        status = await process.wait_closed()
        del self._processes[process]
        self._printer.step(_NAME, describe_exit(status), "red" if status else "dim")
