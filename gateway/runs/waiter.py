"""Waiting for runs, thousands at a time for one query a look.

A run that ends in this process is known at once. One that ends in another is told by PostgreSQL, or
shows as a write to SQLite's file; and if neither comes, a look now and then finds it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress

from sqlalchemy.exc import SQLAlchemyError

from gateway.runs.run import Run, RunMark
from gateway.runs.store import RunStore
from gateway.storage.database import Database
from telemetry.logs import logger, reason_of

_FIRST_LOOK_SECONDS = 0.005
"""After a wait has begun: what ended just before would not be told any more."""
_GLANCE_SECONDS = 0.005
_SLOW_GLANCE_SECONDS = 0.025
_YOUNG_SECONDS = 2.0
"""Waits younger than that are worth a glance at the file's date every 5 ms: it takes 5 µs."""
_NET_SECONDS = 0.5
"""Between two looks for which there is no reason."""
_BLIND_SECONDS = 0.05
"""The same, while PostgreSQL's messages are not received."""
_REST = 4
"""Looks that find nothing are apart by that many times what one takes, at least."""
_AGAIN_SECONDS = 0.2

log = logger("gateway.runs")


class _Wait:
    """One wait."""

    __slots__ = ("done", "run_id", "seen", "stop_on_drain")

    def __init__(self, run_id: str, seen: RunMark | None, *, stop_on_drain: bool) -> None:
        self.run_id = run_id
        self.seen = seen
        """The mark that is known; None where only the end is of interest."""
        self.stop_on_drain = stop_on_drain
        self.done: asyncio.Future[Run | None] = asyncio.get_running_loop().create_future()

    def resolve(self, run: Run | None) -> None:
        """Let the wait be over."""
        if not self.done.done():
            self.done.set_result(run)


class RunWaiter:
    """All waits of a process. For one event loop; make it before `Database.commits.start`."""

    def __init__(self, db: Database, store: RunStore) -> None:
        self._signal = db.commits
        self._store = store
        self._watches: dict[str, set[_Wait]] = {}
        self._due: set[str] = set()
        self._commits = db.commits.watch()
        self._task: asyncio.Task[None] | None = None
        self._began = 0.0  # when the last wait did
        self._looked = 0.0
        self._counted = 0.0  # when it was last seen which of them are there at all
        self._rested = 0.0
        self._lost = False
        self.draining = False
        """Whether waits that give way are over as soon as they begin."""
        store.notifier.subscribe(self._ended, self._changed, self._gone)
        store.notifier.subscribe_remote(self._told_end, self._changed, self._gone, self._missed)

    def start(self) -> None:
        """Begin to look, whenever somebody waits."""
        self._task = asyncio.create_task(self._follow(), name="run waiter")

    async def stop(self) -> None:
        """Look no more; whoever waits still learns nothing."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def drain(self) -> None:
        """Let the waits that give way be over, now and from now on: the process is to end."""
        self.draining = True
        for watch in self._all():
            if watch.stop_on_drain:
                watch.resolve(None)

    async def wait(self, run_id: str, seconds: float, *, stop_on_drain: bool = False) -> Run | None:
        """Wait for a run to end; return it with its output, or None after `seconds`.

        Returns None at once if the run is withdrawn, or, with `stop_on_drain`, if the process
        drains.
        """
        return await self._wait(_Wait(run_id, None, stop_on_drain=stop_on_drain), seconds)

    async def change(
        self, run_id: str, seen: RunMark, seconds: float, *, stop_on_drain: bool = False
    ) -> None:
        """Return when the run's mark is another than `seen`, or that many seconds have passed."""
        await self._wait(_Wait(run_id, seen, stop_on_drain=stop_on_drain), seconds)

    async def _wait(self, watch: _Wait, seconds: float) -> Run | None:
        if watch.stop_on_drain and self.draining:
            return None
        loop = asyncio.get_running_loop()
        self._watches.setdefault(watch.run_id, set()).add(watch)
        self._began = loop.time()
        first_look = loop.call_later(_FIRST_LOOK_SECONDS, self._look_at, (watch.run_id,))
        self._commits.wake()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    return await watch.done
            return None
        finally:
            first_look.cancel()
            self._forget(watch)

    # what is heard

    def _ended(self, run: Run) -> None:
        for watch in tuple(self._watches.get(run.id, ())):
            watch.resolve(run)

    def _changed(self, run_id: str) -> None:
        if any(watch.seen is not None for watch in self._watches.get(run_id, ())):
            self._look_at((run_id,))

    def _gone(self, run_id: str) -> None:
        for watch in tuple(self._watches.get(run_id, ())):
            watch.resolve(None)

    def _told_end(self, run_id: str) -> None:
        self._look_at((run_id,))

    def _missed(self) -> None:
        self._look_at(tuple(self._watches))

    def _look_at(self, run_ids: Iterable[str]) -> None:
        due = [run_id for run_id in run_ids if run_id in self._watches]
        if due:
            self._due.update(due)
            self._commits.wake()

    # looking

    async def _follow(self) -> None:
        while True:
            if not self._watches:
                await self._commits.wait(None)
                self._looked = asyncio.get_running_loop().time()
            await self._until_due()
            due, self._due = self._due, set()
            try:
                await self._look([run_id for run_id in due if run_id in self._watches])
            except (SQLAlchemyError, OSError) as error:
                if not self._lost:
                    log.warning("run_wait_query_failed", reason=reason_of(error))
                self._lost = True
                self._due |= due
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                self._lost = False

    async def _until_due(self) -> None:
        """Return when there is a reason to look, or nobody waits any more."""
        loop = asyncio.get_running_loop()
        while self._watches and not self._due:
            await self._commits.wait(self._pause())
            passed = loop.time()
            if passed >= self._looked + self._net() or (
                passed >= self._rested and self._commits.changed()
            ):
                self._due.update(self._watches)

    async def _look(self, run_ids: list[str]) -> None:
        if not run_ids:
            return
        loop = asyncio.get_running_loop()
        before = loop.time()
        found = await self._store.ended(run_ids)
        for run in found:
            self._ended(run)
        due = before >= self._counted + _NET_SECONDS
        await self._compare(run_ids if due else [one for one in run_ids if self._followers(one)])
        if due:
            self._counted = before
        self._looked = loop.time()
        self._rested = self._looked
        if not found:
            self._rested += _REST * (self._looked - before)

    async def _compare(self, run_ids: list[str]) -> None:
        """Let those hear who follow a run that has changed, and all who wait for one that is gone.

        What this process or PostgreSQL tells is heard sooner; on SQLite, nobody else tells.
        """
        marks = await self._store.marks(run_ids) if run_ids else {}
        for run_id in run_ids:
            mark = marks.get(run_id)
            if mark is None:
                self._gone(run_id)
            for watch in self._followers(run_id):
                if mark != watch.seen:
                    watch.resolve(None)

    def _pause(self) -> float:
        passed = asyncio.get_running_loop().time()
        if not self._signal.must_poll:
            return max(0.001, self._looked + self._net() - passed)
        return _GLANCE_SECONDS if passed - self._began < _YOUNG_SECONDS else _SLOW_GLANCE_SECONDS

    def _net(self) -> float:
        if self._signal.must_poll or self._signal.connected:
            return _NET_SECONDS
        return _BLIND_SECONDS

    # the watches

    def _all(self) -> list[_Wait]:
        return [watch for watches in self._watches.values() for watch in watches]

    def _followers(self, run_id: str) -> list[_Wait]:
        watches = self._watches.get(run_id, ())
        return [watch for watch in watches if watch.seen is not None and not watch.done.done()]

    def _forget(self, watch: _Wait) -> None:
        watches = self._watches[watch.run_id]
        watches.discard(watch)
        if not watches:
            del self._watches[watch.run_id]
