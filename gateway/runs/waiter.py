"""Waits for runs to end or change: thousands of waits share one query.

A run that ends in this process resolves its waits at once. Runs of other processes are queried when
PostgreSQL notifies, when SQLite's file changes, and periodically as a fallback.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress

from gateway.runs.run import Run, RunMark
from gateway.runs.store import RunStore
from gateway.storage.database import Database
from gateway.storage.failures import log_failure
from telemetry.logs import logger

_FIRST_QUERY_SECONDS = 0.005
"""Delay of the first query of a wait: a run that ended just before causes no notification."""
_FAST_POLL_SECONDS = 0.005
_SLOW_POLL_SECONDS = 0.025
_FAST_POLL_FOR_SECONDS = 2.0
"""How long after the last new wait the file is checked every 5 ms; a check takes 5 µs."""
_FALLBACK_SECONDS = 0.5
"""Interval of queries without a notification."""
_DISCONNECTED_SECONDS = 0.05
"""The same while the connection for PostgreSQL's notifications is lost."""
_IDLE_FACTOR = 4
"""After a query without a result, the next one waits at least this multiple of its duration."""
_RETRY_SECONDS = 0.2

log = logger("gateway.runs")


class _PendingWait:
    """One wait."""

    __slots__ = ("done", "run_id", "seen", "stop_on_drain")

    def __init__(self, run_id: str, seen: RunMark | None, *, stop_on_drain: bool) -> None:
        self.run_id = run_id
        self.seen = seen
        """The known mark; None: wait for the end only."""
        self.stop_on_drain = stop_on_drain
        self.done: asyncio.Future[Run | None] = asyncio.get_running_loop().create_future()

    def resolve(self, run: Run | None) -> None:
        """End the wait."""
        if not self.done.done():
            self.done.set_result(run)


class RunWaiter:
    """All waits of a process. For one event loop; create it before `Database.commits.start`."""

    def __init__(self, db: Database, store: RunStore) -> None:
        self._signal = db.commits
        self._store = store
        self._waits: dict[str, set[_PendingWait]] = {}
        self._due: set[str] = set()
        self._commits = db.commits.watch()
        self._task: asyncio.Task[None] | None = None
        self._last_wait_at = 0.0
        self._last_query_at = 0.0
        self._last_mark_query_at = 0.0
        self._next_query_at = 0.0
        self._failing = False
        self.draining = False
        """Whether waits with `stop_on_drain` end immediately."""
        self.closed = False
        """Whether all waits end immediately."""
        store.notifier.subscribe(self._on_end, self._on_change, self._on_withdrawn)
        store.notifier.subscribe_remote(
            self._on_remote_end, self._on_change, self._on_withdrawn, self._on_gap
        )

    def start(self) -> None:
        """Start querying while there are waits."""
        self._task = asyncio.create_task(self._poll(), name="run waiter")

    async def stop(self) -> None:
        """Stop querying; remaining waits end at their timeout."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def drain(self) -> None:
        """End all current and future waits with `stop_on_drain`: the process shuts down."""
        self.draining = True
        for wait in self._all():
            if wait.stop_on_drain:
                wait.resolve(None)

    def close(self) -> None:
        """End all current and future waits: the process stops."""
        self.draining = self.closed = True
        for wait in self._all():
            wait.resolve(None)

    async def wait(self, run_id: str, seconds: float, *, stop_on_drain: bool = False) -> Run | None:
        """Wait for a run to end; return it with its output, or None after `seconds`.

        Returns None at once if the run is withdrawn, if the process stops, or, with
        `stop_on_drain`, if it drains.
        """
        return await self._wait(_PendingWait(run_id, None, stop_on_drain=stop_on_drain), seconds)

    async def change(
        self, run_id: str, seen: RunMark, seconds: float, *, stop_on_drain: bool = False
    ) -> None:
        """Return when the run's mark differs from `seen`, or after `seconds`."""
        await self._wait(_PendingWait(run_id, seen, stop_on_drain=stop_on_drain), seconds)

    async def _wait(self, wait: _PendingWait, seconds: float) -> Run | None:
        if self.closed or (wait.stop_on_drain and self.draining):
            return None
        loop = asyncio.get_running_loop()
        self._waits.setdefault(wait.run_id, set()).add(wait)
        self._last_wait_at = loop.time()
        first_query = loop.call_later(_FIRST_QUERY_SECONDS, self._schedule, (wait.run_id,))
        self._commits.wake()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    return await wait.done
            return None
        finally:
            first_query.cancel()
            self._remove(wait)

    # notifications

    def _on_end(self, run: Run) -> None:
        for wait in tuple(self._waits.get(run.id, ())):
            wait.resolve(run)

    def _on_change(self, run_id: str) -> None:
        if any(wait.seen is not None for wait in self._waits.get(run_id, ())):
            self._schedule((run_id,))

    def _on_withdrawn(self, run_id: str) -> None:
        for wait in tuple(self._waits.get(run_id, ())):
            wait.resolve(None)

    def _on_remote_end(self, run_id: str) -> None:
        self._schedule((run_id,))

    def _on_gap(self) -> None:
        self._schedule(tuple(self._waits))

    def _schedule(self, run_ids: Iterable[str]) -> None:
        due = [run_id for run_id in run_ids if run_id in self._waits]
        if due:
            self._due.update(due)
            self._commits.wake()

    # queries

    async def _poll(self) -> None:
        while True:
            if not self._waits:
                await self._commits.wait(None)
                self._last_query_at = asyncio.get_running_loop().time()
            await self._until_due()
            due, self._due = self._due, set()
            try:
                await self._query([run_id for run_id in due if run_id in self._waits])
            except Exception as error:  # noqa: BLE001 - see `log_failure`
                if not self._failing:
                    log_failure(log, "run_wait_query_failed", error)
                self._failing = True
                self._due |= due
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                self._failing = False

    async def _until_due(self) -> None:
        """Return when a query is due, or there are no waits."""
        loop = asyncio.get_running_loop()
        while self._waits and not self._due:
            await self._commits.wait(self._poll_seconds())
            passed = loop.time()
            if passed >= self._last_query_at + self._fallback_seconds() or (
                passed >= self._next_query_at and self._commits.changed()
            ):
                self._due.update(self._waits)

    async def _query(self, run_ids: list[str]) -> None:
        if not run_ids:
            return
        loop = asyncio.get_running_loop()
        before = loop.time()
        found = await self._store.ended(run_ids)
        for run in found:
            self._on_end(run)
        due = before >= self._last_mark_query_at + _FALLBACK_SECONDS
        await self._compare(run_ids if due else [one for one in run_ids if self._followers(one)])
        if due:
            self._last_mark_query_at = before
        self._last_query_at = loop.time()
        self._next_query_at = self._last_query_at
        if not found:
            self._next_query_at += _IDLE_FACTOR * (self._last_query_at - before)

    async def _compare(self, run_ids: list[str]) -> None:
        """Resolve waits for changed and deleted runs.

        Needed for changes by other processes on SQLite, which has no notifications.
        """
        marks = await self._store.marks(run_ids) if run_ids else {}
        for run_id in run_ids:
            mark = marks.get(run_id)
            if mark is None:
                self._on_withdrawn(run_id)
            for wait in self._followers(run_id):
                if mark != wait.seen:
                    wait.resolve(None)

    def _poll_seconds(self) -> float:
        passed = asyncio.get_running_loop().time()
        if not self._signal.must_poll:
            return max(0.001, self._last_query_at + self._fallback_seconds() - passed)
        return (
            _FAST_POLL_SECONDS
            if passed - self._last_wait_at < _FAST_POLL_FOR_SECONDS
            else _SLOW_POLL_SECONDS
        )

    def _fallback_seconds(self) -> float:
        if self._signal.must_poll or self._signal.connected:
            return _FALLBACK_SECONDS
        return _DISCONNECTED_SECONDS

    # waits

    def _all(self) -> list[_PendingWait]:
        return [wait for waits in self._waits.values() for wait in waits]

    def _followers(self, run_id: str) -> list[_PendingWait]:
        waits = self._waits.get(run_id, ())
        return [wait for wait in waits if wait.seen is not None and not wait.done.done()]

    def _remove(self, wait: _PendingWait) -> None:
        waits = self._waits[wait.run_id]
        waits.discard(wait)
        if not waits:
            del self._waits[wait.run_id]
