"""Inference servers that share processes (`--models-per-process`)."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

from slipstream.settings import inference_environment
from slipstream.status_printer import StatusPrinter
from slipstream.supervisor.handover import Handover, PassedServer, PassedSharedProcess
from slipstream.supervisor.process import (
    AdoptedProcess,
    ChildProcess,
    Lifeline,
    describe_exit,
)
from slipstream.supervisor.spawn_request import await_pid, send_spawn_request

_START_SECONDS = 20.0
"""How long to wait for a server's first line: a new process imports everything before."""
_NAME = "shared process"


class HostedServer:
    """A ProcessHandle for one server in a shared process.

    The lifeline is a socket: shutting it down tells the server to stop, and the server sends its
    exit status back as one byte. If it closes without that, the whole process has ended.
    """

    def __init__(self, process: ChildProcess, lifeline: socket.socket, *, group: str = "") -> None:
        """Wrap a server of `group`, see `ServerSpawner.spawn`."""
        self.pid = process.pid
        self.group = group
        self.lifeline_fd = lifeline.fileno()
        self._process = process
        self._lifeline = lifeline
        self._status: int | None = None
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """Return the exit status; None while it runs."""
        with self._lock:
            if self._status is None and _readable(self._lifeline, 0):
                said = self._lifeline.recv(1)
                self._status = said[0] if said else self._process.wait()
                self._lifeline.close()
            return self._status

    def wait(self) -> int:
        """Block until it has ended; return its exit status."""
        while (status := self.poll()) is None:
            _readable(self._lifeline, None)
        return status

    def terminate(self) -> None:
        """Tell it to stop, unless it has ended."""
        if self.poll() is None:
            self._lifeline.shutdown(socket.SHUT_WR)


class SharedProcess:
    """One process and the servers in it; see `inference_server.shared_process`."""

    def __init__(self, child: ChildProcess, control: socket.socket) -> None:
        """Use `start` or `adopt`."""
        self.child = child
        self._control = control
        self._servers: list[HostedServer] = []
        self.closed = False
        """Whether it refuses more servers."""

    @classmethod
    def start(cls, lifeline: Lifeline, *, log_options: Sequence[str]) -> SharedProcess:
        """Start one, with `--log-level` and `--log-format` as `log_options`.

        Raises:
            OSError: the system cannot start another process.
        """
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        control.setblocking(False)
        command = [sys.executable, "-m", "inference_server.shared_process", *log_options]
        command += ["--control-fd", str(theirs.fileno())]
        with theirs:
            try:
                child = ChildProcess.spawn(
                    command,
                    lifeline=lifeline,
                    inherit=[theirs.fileno()],
                    environment=inference_environment(),
                )
            except OSError:
                control.close()
                raise
        return cls(child, control)

    @classmethod
    def adopt(cls, passed: PassedSharedProcess) -> SharedProcess:
        """Go on with one of a predecessor. It gets no more servers, and ends with its last one."""
        process = AdoptedProcess(passed.pid)
        child = ChildProcess(process, passed.status_fd, started_at=passed.started_at)
        adopted = cls(child, socket.socket(fileno=passed.control_fd))
        adopted.closed = True
        return adopted

    def adopt_server(self, passed: PassedServer) -> ChildProcess:
        """Go on with one of its servers."""
        assert passed.lifeline_fd is not None
        server = HostedServer(self.child, socket.socket(fileno=passed.lifeline_fd))
        self._servers.append(server)
        return _hosted(server, passed.status_fd, started_at=passed.started_at)

    def pass_on(self) -> PassedSharedProcess:
        """Return what a successor needs to adopt it."""
        return PassedSharedProcess(
            pid=self.child.pid,
            status_fd=self.child.status_fd,
            control_fd=self._control.fileno(),
            started_at=self.child.started_at,
        )

    def count(self) -> int:
        """Return how many servers are in it."""
        self._servers = [server for server in self._servers if server.poll() is None]
        return len(self._servers)

    async def start_server(
        self, arguments: Sequence[str], *, requested_at: float, group: str = ""
    ) -> ChildProcess:
        """Start a server in it; see `send_spawn_request`, and ServerSpawner for `group`.

        Raises:
            OSError: it is ending.
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
        server = HostedServer(self.child, ours, group=group)
        self._servers.append(server)
        return _hosted(server, read_fd)

    def has_any_of(self, group: str) -> bool:
        """Whether one of its servers is of a group."""
        return any(server.group == group for server in self._servers)

    def close(self) -> None:
        """Accept no more servers, and kill the process if it has none."""
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
    """A ServerSpawner with several servers per process. A process ends with its last server."""

    def __init__(
        self,
        lifeline: Lifeline,
        printer: StatusPrinter,
        *,
        servers_per_process: int,
        log_options: Sequence[str],
    ) -> None:
        self._lifeline = lifeline
        self._printer = printer
        self._servers_per_process = servers_per_process
        self._log_options = log_options
        self._processes: dict[SharedProcess, asyncio.Task[None]] = {}
        self._lock = asyncio.Lock()

    async def run(self) -> None:
        """Start the first process before it is needed; the others start and end on demand."""
        with suppress(OSError):  # the first server that needs it reports the error
            self._start_process()
        await asyncio.Event().wait()

    async def drain(self, grace: float) -> None:
        """See ServerSpawner."""
        watches = list(self._processes.values())
        for process in self._processes:
            process.child.terminate()
        if watches:
            await asyncio.wait(watches, timeout=grace)
        self.kill()
        await asyncio.gather(*watches)

    def kill(self) -> None:
        """See ServerSpawner."""
        for process in self._processes:
            process.child.kill()

    async def spawn(self, arguments: Sequence[str], *, group: str = "") -> ChildProcess:
        """See ServerSpawner."""
        requested_at = time.perf_counter()
        async with self._lock:
            try:
                return await self._start_server(arguments, requested_at, group)
            except OSError:  # the process may just be ending with its last server
                return await self._start_server(arguments, requested_at, group)

    async def _start_server(
        self, arguments: Sequence[str], requested_at: float, group: str
    ) -> ChildProcess:
        process = next((each for each in self._processes if self._has_room(each, group)), None)
        process = process or self._start_process()
        try:
            return await process.start_server(arguments, requested_at=requested_at, group=group)
        except OSError:
            process.close()
            raise

    def _has_room(self, process: SharedProcess, group: str) -> bool:
        if process.closed or process.count() >= self._servers_per_process:
            return False
        return not group or not process.has_any_of(group)

    def _start_process(self) -> SharedProcess:
        process = SharedProcess.start(self._lifeline, log_options=self._log_options)
        self._printer.step(_NAME, f"process {process.child.pid}", "dim")
        self._processes[process] = asyncio.create_task(self._watch(process))
        return process

    def adopt(self, predecessor: Handover) -> dict[str, ChildProcess]:
        """See ServerSpawner."""
        processes = {
            passed.pid: SharedProcess.adopt(passed) for passed in predecessor.shared_processes
        }
        for process in processes.values():
            self._processes[process] = asyncio.create_task(self._watch(process))
        return {
            server.key: processes[server.pid].adopt_server(server) for server in predecessor.servers
        }

    async def detach(self) -> list[PassedSharedProcess]:
        """See ServerSpawner."""
        watches = list(self._processes.values())
        for watch in watches:
            watch.cancel()
        passed = [process.pass_on() for process in self._processes]
        await asyncio.gather(*watches, return_exceptions=True)
        return passed

    async def _watch(self, process: SharedProcess) -> None:
        status = await process.wait_closed()
        del self._processes[process]
        self._printer.step(_NAME, describe_exit(status), "red" if status else "dim")


def _hosted(
    server: HostedServer, status_fd: int, *, started_at: float | None = None
) -> ChildProcess:
    child = ChildProcess(server, status_fd, owns_process=False, started_at=started_at)
    child.lifeline_fd = server.lifeline_fd
    return child


def _readable(lifeline: socket.socket, timeout: float | None) -> bool:
    """Wait up to so many seconds (None: without limit) for data, or the end."""
    poll = select.poll()  # `select.select` fails for descriptors from 1024 on
    poll.register(lifeline, select.POLLIN)
    return bool(poll.poll(None if timeout is None else timeout * 1e3))
