"""Inference servers that share processes, so many to a process."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

from slipstream.announcer import Announcer
from slipstream.supervisor.birth import ask, born
from slipstream.supervisor.process import Child, Lifeline, describe_exit
from slipstream.supervisor.tenant import Tenant

_BIRTH_SECONDS = 20.0
"""How long to wait for a server's first word: a new house imports everything before."""
_NAME = "shared process"


class House:
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
                self.child = Child.spawn(command, lifeline=lifeline, inherit=[theirs.fileno()])
            except OSError:
                self._control.close()
                raise
        self._tenants: list[Tenant] = []
        self.closed = False
        """It takes no more servers."""

    def count(self) -> int:
        """Return how many servers are in it."""
        self._tenants = [tenant for tenant in self._tenants if tenant.poll() is None]
        return len(self._tenants)

    async def take_in(self, arguments: Sequence[str], *, asked_at: float) -> Child:
        """Start a server in it; see `birth.ask`.

        Raises:
            OSError: it takes none any more.
        """
        read_fd, write_fd = os.pipe()
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                try:
                    ask(
                        self._control,
                        arguments,
                        asked_at=asked_at,
                        status_fd=write_fd,
                        lifeline_fd=theirs.fileno(),
                    )
                finally:
                    os.close(write_fd)
            await born(read_fd, within=_BIRTH_SECONDS)
        except BaseException:
            os.close(read_fd)
            ours.close()
            raise
        tenant = Tenant(self.child, ours)
        self._tenants.append(tenant)
        return Child(tenant, read_fd, alone=False)

    def close(self) -> None:
        """Have it take no more servers, and end if it has none."""
        self.closed = True
        if not self.count():
            self.child.kill()

    async def ended(self) -> int:
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


class Houses:
    """A Source of servers, so many to a house. A house ends with its last server."""

    def __init__(
        self, lifeline: Lifeline, announcer: Announcer, *, servers_each: int, log_level: str
    ) -> None:
        self._lifeline = lifeline
        self._announcer = announcer
        self._servers_each = servers_each
        self._log_level = log_level
        self._houses: dict[House, asyncio.Task[None]] = {}
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """Have the first house ready before it is needed; the others come and go by themselves."""
        with suppress(OSError):  # whoever needs it will say so
            self._build()
        await asyncio.Event().wait()

    async def drain(self, grace: float) -> None:
        """See Source."""
        watches = list(self._houses.values())
        for house in self._houses:
            house.child.terminate()
        if watches:
            await asyncio.wait(watches, timeout=grace)
        self.kill()
        await asyncio.gather(*watches)

    def kill(self) -> None:
        """See Source."""
        for house in self._houses:
            house.child.kill()

    async def spawn(self, arguments: Sequence[str]) -> Child:
        """See Spawner."""
        asked_at = time.perf_counter()
        async with self._turn:
            try:
                return await self._take_in(arguments, asked_at)
            except OSError:  # as a house ends with its last server, a request may come too late
                return await self._take_in(arguments, asked_at)

    async def _take_in(self, arguments: Sequence[str], asked_at: float) -> Child:
        house = next((house for house in self._houses if self._has_room(house)), None)
        house = house or self._build()
        try:
            return await house.take_in(arguments, asked_at=asked_at)
        except OSError:
            house.close()
            raise

    def _has_room(self, house: House) -> bool:
        return not house.closed and house.count() < self._servers_each

    def _build(self) -> House:
        house = House(self._lifeline, log_level=self._log_level)
        self._announcer.step(_NAME, f"process {house.child.pid}", "dim")
        self._houses[house] = asyncio.create_task(self._watch(house))
        return house

    async def _watch(self, house: House) -> None:
        status = await house.ended()
        del self._houses[house]
        self._announcer.step(_NAME, describe_exit(status), "red" if status else "dim")
