"""The worker: one process with children that runs the flows of type `api`, kept while it is wanted.

It is started once all else is ready, since nobody waits for it before. With an idle time-out it
goes to sleep after a while without a run, and wakes by the bell that a gateway rings at each run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gateway.broker.bell import Bell
from slipstream.announcer import Announcer
from slipstream.supervisor.keeper import Keeper, StatusLine
from slipstream.supervisor.process import Child

_KEY = "worker"
_LOOK_SECONDS = 0.1


class Workers:
    """Keeps the worker, from `start` on."""

    def __init__(
        self,
        spawn: Callable[[str], Awaitable[Child]],
        announcer: Announcer,
        *,
        concurrency: int,
        bell: Bell,
    ) -> None:
        """Do `concurrency` runs at a time; with 0, there is no worker."""
        self.concurrency = concurrency
        self._announcer = announcer
        self._bell = bell
        self._keeper = Keeper(spawn, self)
        self._rung = 0
        self._generation = 1
        self._started = False
        self._asleep = False

    async def run(self) -> None:
        """Look after it until cancelled."""
        await asyncio.gather(self._keeper.run(), self._wake_by_bell())

    def start(self) -> None:
        """Have it run from now on."""
        if self.concurrency and not self._started:
            self._started = True
            self._want()

    async def drain(self, grace: float) -> None:
        """Let it finish what it has and go."""
        await self._keeper.drain(grace)

    def kill(self) -> None:
        """End it at once."""
        self._keeper.kill()

    def spawned(self, key: str, child: Child) -> None:
        """It is on its way up."""
        self._announcer.step(key, f"process {child.pid}", "dim")

    def said(self, key: str, line: StatusLine) -> None:
        """It has reported how far it is, or that it has nothing to do."""
        match line["event"]:
            case "ready":
                self._announcer.step(key, f"ready for {self.concurrency} runs at a time", "green")
            case "failed":
                self._announcer.step(key, str(line["message"]), "red")
            case "idle":
                self._sleep(float(line["seconds"]))
            case event:
                self._announcer.step(key, str(event), "dim")

    def exited(self, key: str, *, asked: bool, how: str, retry_in: float) -> None:
        """It has ended."""
        if asked:
            self._announcer.step(key, "sleeps" if self._asleep else "stopped", "dim")
        else:
            self._announcer.step(key, f"{how}; started again in {retry_in:.1f} s", "red")

    def forgotten(self, _key: str) -> None:
        """Nothing is kept of it."""

    def _want(self) -> None:
        self._keeper.want({_KEY: self._generation})

    def _sleep(self, idle_seconds: float) -> None:
        """Let it go, unless a run is on its way to it: whoever sent that has rung meanwhile."""
        if self._asleep or self._bell.silent_for() < idle_seconds:
            return
        self._rung = self._bell.rung()
        self._asleep = True
        self._keeper.want({})

    async def _wake_by_bell(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if self._asleep and self._bell.rung() != self._rung:
                self._asleep = False
                self._generation += 1  # at once, whatever became of its predecessor
                self._announcer.step(_KEY, "woken by a run", "dim")
                self._want()
