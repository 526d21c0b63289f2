"""The feed of changes: every process hears, within a moment, what any of them has written.

A write that others must see calls `record_change` in its own transaction. The numbers rise by one,
and a number is visible only once all before it are, so a reader that has seen n asks for n+1.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.storage.database import Database, FileStamp
from gateway.storage.tables import Change, ChangeCounter
from telemetry.logs import logger, reason_of

_KEPT = 10_000
"""Changes that stay readable; whoever falls behind further reloads everything."""
_PRUNE_EVERY = 256
_LAST_LOOK_SECONDS = 2.0
_GLANCE_SECONDS = 0.05
"""Between two looks at the file's date, which cost microseconds."""

log = logger("gateway.storage.changes")


class ChangeKind(StrEnum):
    """What a change is about."""

    API_KEY = "api_key"
    DEPLOYMENT = "deployment"
    FLOW = "flow"
    INFERENCE_SERVER = "inference_server"
    MODEL = "model"
    PROFILE = "profile"
    """Its role, its state, or that it is gone."""
    SESSION = "session"
    """A console session that has ended."""


Listener = Callable[[str | None], None]
"""Called with the id of what changed, or None where everything of the kind may have."""


async def record_change(session: AsyncSession, kind: ChangeKind, entity_id: str) -> int:
    """Record, in the session's transaction, that `entity_id` changed; return the change's number.

    Holds the counter's lock until the transaction ends, so call it last.
    """
    next_revision = (
        update(ChangeCounter)
        .values(revision=ChangeCounter.revision + 1)
        .returning(ChangeCounter.revision)
    )
    revision: int = (await session.execute(next_revision)).scalar_one()
    session.add(Change(revision=revision, kind=kind, entity_id=entity_id))
    if revision % _PRUNE_EVERY == 0:
        await session.execute(delete(Change).where(Change.revision <= revision - _KEPT))
    return revision


class ChangeFeed:
    """Calls listeners, on the event loop, with what this and other processes have changed.

    Reads the counter every `interval` seconds, at once after a write of this process, and within
    `_GLANCE_SECONDS` of another's where the database is a file. While the database is away it keeps
    asking; nothing is lost by that, only late.
    """

    def __init__(self, db: Database, *, interval: float = 0.25) -> None:
        self._db = db
        self._interval = interval
        self._listeners: dict[str, list[Listener]] = defaultdict(list)
        self._seen: int | None = None
        self._lost = False
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    def subscribe(self, kind: ChangeKind, listener: Listener) -> None:
        """Call `listener` for each change of `kind` from now on; it must not raise or block."""
        self._listeners[kind].append(listener)

    def start(self) -> None:
        """Begin to follow. The first look tells every listener that everything may have changed."""
        self._task = asyncio.create_task(self._follow(), name="change feed")

    async def stop(self) -> None:
        """Follow no longer. A look that has begun is finished, unless it takes too long."""
        if self._task is not None:
            self._stopping = True
            self._db.written.set()
            # SQLAlchemy logs a traceback where a query is cancelled, for the rollback is as well.
            await asyncio.wait({self._task}, timeout=_LAST_LOOK_SECONDS)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def poll(self) -> None:
        """Look once, and call the listeners; without a database, SQLAlchemyError or OSError."""
        async with self._db.read() as session:
            revision = (await session.execute(select(ChangeCounter.revision))).scalar_one()
            if revision == self._seen:
                return
            changes = await self._after(session, self._seen, revision)
        self._seen = revision
        if changes is None:
            self._tell_all()
        else:
            for change in changes:
                self._tell(change.kind, change.entity_id)

    async def _follow(self) -> None:
        while not self._stopping:
            self._db.written.clear()
            seen = self._db.file_stamp()
            try:
                await self.poll()
            except Exception as error:  # noqa: BLE001 - a feed that ended would keep caches stale
                self._say(lost=True, reason=reason_of(error))
            else:
                self._say(lost=False)
            await self._until_written(seen)

    async def _until_written(self, seen: FileStamp | None) -> None:
        """Wait until there may be something new: as far as can be told, and no longer than that."""
        glances = 1 if seen is None else max(1, round(self._interval / _GLANCE_SECONDS))
        for _ in range(glances):
            # Not wait_for: before Python 3.12 that can swallow the cancellation of `stop`.
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval / glances):
                    await self._db.written.wait()
            if self._db.written.is_set() or self._db.file_stamp() != seen:
                return

    @staticmethod
    async def _after(session: AsyncSession, seen: int | None, revision: int) -> list[Change] | None:
        """Return the changes after `seen`, or None where they are not all there."""
        if seen is None or not 0 < revision - seen <= _KEPT:
            return None
        newer = select(Change).where(Change.revision > seen).order_by(Change.revision)
        changes = list((await session.execute(newer)).scalars())
        complete = len(changes) >= revision - seen and changes[0].revision == seen + 1
        return changes[: revision - seen] if complete else None

    def _tell(self, kind: str, entity_id: str | None) -> None:
        for listener in self._listeners.get(kind, ()):
            listener(entity_id)

    def _tell_all(self) -> None:
        for kind in ChangeKind:
            self._tell(kind, None)

    def _say(self, *, lost: bool, reason: str | None = None) -> None:
        if lost and not self._lost:
            log.warning("database_lost", reason=reason)
        elif self._lost and not lost:
            log.info("database_back")
        self._lost = lost
