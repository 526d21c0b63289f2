"""The rows of all inference servers in memory; only those that have changed are read again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from typing import Generic, TypeVar

from gateway.fleet.store import FleetStore
from gateway.storage.change_feed import ChangeFeed
from gateway.storage.changes import ChangeKind
from gateway.storage.tables import InferenceServer, Model

_MAX_CHANGED = 500
"""Of more rows than these, all are read: SQLite allows some 32,000 variables in a statement."""

T = TypeVar("T")


class ServerRows(Generic[T]):
    """Knows which rows have changed, by the change feed. For one event loop, and one reader."""

    def __init__(
        self,
        store: FleetStore,
        feed: ChangeFeed,
        convert: Callable[[InferenceServer, Model | None], T],
        changed: asyncio.Event,
        *,
        kinds: Collection[ChangeKind],
    ) -> None:
        """Keep what `convert` makes of a server's row and its model's, as of changes of `kinds`.

        `changed` is set whenever there is something to read, from the start of the feed on.
        """
        self._store = store
        self._convert = convert
        self._changed = changed
        self._known: dict[str, T] = {}
        self._stale: set[str] | None = None
        """The ids of the servers, and the names of the models, to read; None: all."""
        for kind in kinds:
            feed.subscribe(kind, self._on_change)

    def note(self, server_ids: Iterable[str]) -> None:
        """Have the next call read rows that this process has changed; the feed says so later."""
        if self._stale is not None:
            self._stale.update(server_ids)

    async def read(self) -> Collection[T]:
        """Read the rows that have changed; return what is known of all.

        Raises:
            SQLAlchemyError, OSError: as the query does; others, as `convert` does. The next call
                reads what this one did not.
        """
        stale, self._stale = self._stale, set()
        reads_all = stale is None or len(stale) > _MAX_CHANGED
        if not stale and not reads_all:
            return self._known.values()
        try:
            rows = await self._store.with_models(None if reads_all else stale)
            found = {server.id: self._convert(server, model) for server, model in rows}
        except BaseException:
            self._stale = None if stale is None or self._stale is None else self._stale | stale
            raise
        if reads_all:
            self._known = found
        else:
            for gone in (stale or set()) - found.keys():
                self._known.pop(gone, None)
            self._known |= found
        return self._known.values()

    def _on_change(self, changed: str | None) -> None:
        if changed is None:
            self._stale = None
        elif self._stale is not None:
            self._stale.add(changed)
        self._changed.set()
