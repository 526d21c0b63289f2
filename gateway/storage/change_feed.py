"""The change feed: every process learns of the writes of all others, see `changes.py`."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.storage.changes import RETAINED, ChangeKind
from gateway.storage.database import Database
from gateway.storage.tables import Change, ChangeCounter
from telemetry.logs import logger, reason_of

_STOP_SECONDS = 2.0
_OVERDUE_SECONDS = 5.0
"""Duration of a query after which the database counts as unavailable; most take a millisecond."""
_TICKS = 5
"""In which they are counted. One can take long, if this process stands still."""
_POLL_SECONDS = 0.05
"""Between two looks at the date of SQLite's log, where the system does not report its writes."""
_INTERVAL_SECONDS = 0.25
"""Between two queries without a signal: PostgreSQL's can be lost with its connection."""
_SQLITE_INTERVAL_SECONDS = 1.0
"""The same where every commit changes a date: four queries a second are most of the idle load."""

log = logger("gateway.storage.change_feed")

Listener = Callable[[str | None], None]
"""Called with the id of the changed entity, or None if all of the kind may have changed."""
OwnerListener = Callable[[str | None, str | None], None]
"""The same with the profile of a deleted entity, where it is known."""


class ChangeFeed:
    """Calls listeners, on the event loop, with the changes of this and other processes.

    Queries the revision when the database's commit signal says so, and at least every `interval`
    seconds, by default a quarter of a second, or one on SQLite. While the database is unavailable
    it retries; changes are then late, never lost.
    """

    def __init__(self, db: Database, *, interval: float | None = None) -> None:
        self._db = db
        default = _SQLITE_INTERVAL_SECONDS if db.commits.must_poll else _INTERVAL_SECONDS
        self._interval = default if interval is None else interval
        self._listeners: dict[str, list[OwnerListener]] = defaultdict(list)
        self._commits = db.commits.watch()
        self._revision: int | None = None
        self._unavailable = False
        self._timer: asyncio.TimerHandle | None = None
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    def subscribe(self, kind: ChangeKind, listener: Listener) -> None:
        """Call `listener` for each change of `kind` from now on; it must not raise or block."""
        self.subscribe_with_owner(kind, lambda entity_id, _: listener(entity_id))

    def subscribe_with_owner(self, kind: ChangeKind, listener: OwnerListener) -> None:
        """As `subscribe`, for a listener that also takes the owner of what was deleted."""
        self._listeners[kind].append(listener)

    def start(self) -> None:
        """Start to follow. The first poll calls every listener with None."""
        self._db.commits.start()
        self._task = asyncio.create_task(self._follow(), name="change feed")

    async def stop(self) -> None:
        """Stop following. A query in progress gets `_STOP_SECONDS` to finish."""
        if self._task is not None:
            self._stopping = True
            self._commits.wake()
            # Cancelling a query makes SQLAlchemy log a traceback: its rollback is cancelled too.
            await asyncio.wait({self._task}, timeout=_STOP_SECONDS)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def database_answers(self) -> bool:
        """Whether the last query succeeded, and none takes too long now; queries nothing."""
        return not self._unavailable

    async def poll(self) -> None:
        """Query once and call the listeners; raise SQLAlchemyError or OSError as the query does."""
        async with self._db.read_changes() as session:
            revision = (await session.execute(select(ChangeCounter.revision))).scalar_one()
            if revision == self._revision:
                return
            changes = await self._changes_since(session, self._revision, revision)
        self._revision = revision
        if changes is None:
            self._publish_all()
        else:
            for change in changes:
                self._publish(change.kind, change.entity_id, change.owner_id)

    async def _follow(self) -> None:
        failed = False
        while not self._stopping:
            self._commits.changed()  # what is committed from here on counts as new
            self._tick(_TICKS)
            try:
                await self.poll()
            except Exception as error:  # noqa: BLE001 - a feed that ended would leave caches stale
                again, failed = not failed, True
                if again:  # one connection may have been lost, not the database
                    continue
                self._set_state(unavailable=True, reason=reason_of(error))
            else:
                failed = False
                self._set_state(unavailable=False)
            finally:
                self._stop_ticking()
            await self._wait_for_commit()

    def _tick(self, left: int) -> None:
        """Count the seconds of a query."""
        if left:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_OVERDUE_SECONDS / _TICKS, self._tick, left - 1)
        else:
            reason = f"no answer within {_OVERDUE_SECONDS:g} s"
            self._set_state(unavailable=True, reason=reason)

    def _stop_ticking(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    async def _wait_for_commit(self) -> None:
        """Return after a commit of any process, or after the interval."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._interval
        while (left := deadline - loop.time()) > 0:
            pause = left if self._db.commits.wakes() else min(left, _POLL_SECONDS)
            if await self._commits.wait(pause) or self._commits.changed():
                return

    @staticmethod
    async def _changes_since(
        session: AsyncSession, seen: int | None, revision: int
    ) -> list[Change] | None:
        """Return the changes after `seen`, or None if some of them were pruned."""
        if seen is None or not 0 < revision - seen <= RETAINED:
            return None
        newer = select(Change).where(Change.revision > seen).order_by(Change.revision)
        changes = list((await session.execute(newer)).scalars())
        complete = len(changes) >= revision - seen and changes[0].revision == seen + 1
        return changes[: revision - seen] if complete else None

    def _publish(self, kind: str, entity_id: str | None, owner_id: str | None) -> None:
        for listener in self._listeners.get(kind, ()):
            listener(entity_id, owner_id)

    def _publish_all(self) -> None:
        for kind in ChangeKind:
            self._publish(kind, None, None)

    def _set_state(self, *, unavailable: bool, reason: str | None = None) -> None:
        if unavailable == self._unavailable:
            return
        self._unavailable = unavailable
        if unavailable:
            log.warning("database_unavailable", reason=reason)
        else:
            log.info("database_available")
        self._db.set_away(away=unavailable)
