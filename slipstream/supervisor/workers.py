"""The worker: one process with children that runs the flows of type `api`, kept while it is wanted.

It is started once all else is ready, since nobody waits for it before. With an idle time-out it
goes to sleep after a while without a run, and wakes by the bell that a gateway rings at each run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gateway.broker.wake_file import WakeFile
from slipstream.status_printer import StatusPrinter
from slipstream.supervisor.process import ChildProcess
from slipstream.supervisor.process_manager import ProcessManager, StatusLine

_KEY = "worker"
_POLL_SECONDS = 0.1


class ManagedWorker:
    """Keeps the worker, from `start` on."""

    def __init__(
        self,
        spawn: Callable[[str], Awaitable[ChildProcess]],
        printer: StatusPrinter,
        *,
        concurrency: int,
        wake_file: WakeFile,
    ) -> None:
        """Do `concurrency` runs at a time; with 0, there is no worker."""
        self.concurrency = concurrency
        self._printer = printer
        self._wake_file = wake_file
        self._manager = ProcessManager(spawn, self)
        self._touched_at = 0
        self._generation = 1
        self._started = False
        self._asleep = False

    async def run(self) -> None:
        """Look after it until cancelled."""
        await asyncio.gather(self._manager.run(), self._wake_on_touch())

    def start(self) -> None:
        """Have it run from now on."""
        if self.concurrency and not self._started:
            self._started = True
            self._set_desired()

    async def drain(self, grace: float) -> None:
        """Let it finish what it has and go."""
        await self._manager.drain(grace)

    def kill(self) -> None:
        """End it at once."""
        self._manager.kill()

    def spawned(self, key: str, child: ChildProcess) -> None:
        """It is on its way up."""
        self._printer.step(key, f"process {child.pid}", "dim")

    def reported(self, key: str, line: StatusLine) -> None:
        """It has reported how far it is, or that it has nothing to do."""
        match line["event"]:
            case "ready":
                self._printer.step(key, f"ready for {self.concurrency} runs at a time", "green")
            case "failed":
                self._printer.step(key, str(line["message"]), "red")
            case "idle":
                self._sleep(float(line["seconds"]))
            case event:
                self._printer.step(key, str(event), "dim")

    def exited(self, key: str, *, requested: bool, reason: str, retry_in: float) -> None:
        """It has ended."""
        if requested:
            self._printer.step(key, "sleeps" if self._asleep else "stopped", "dim")
        else:
            self._printer.step(key, f"{reason}; started again in {retry_in:.1f} s", "red")

    def removed(self, _key: str) -> None:
        """Nothing is kept of it."""

    def _set_desired(self) -> None:
        self._manager.set_desired({_KEY: self._generation})

    def _sleep(self, idle_seconds: float) -> None:
        """Let it go, unless a run is on its way to it: whoever sent that has rung meanwhile."""
        if self._asleep or self._wake_file.seconds_since_touch() < idle_seconds:
            return
        self._touched_at = self._wake_file.touched_at()
        self._asleep = True
        self._manager.set_desired({})

    async def _wake_on_touch(self) -> None:
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            if self._asleep and self._wake_file.touched_at() != self._touched_at:
                self._asleep = False
                self._generation += 1  # at once, whatever became of its predecessor
                self._printer.step(_KEY, "woken by a run", "dim")
                self._set_desired()
