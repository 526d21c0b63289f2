"""Removes the metrics of deleted deployments and API keys."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass

from sqlalchemy import Select, select
from sqlalchemy.orm import InstrumentedAttribute

from gateway.deployments.settings import DeploymentStatus
from gateway.ids import is_id
from gateway.metrics import DEPLOYMENT_LABEL, KEY_LABEL
from gateway.storage.change_feed import ChangeFeed
from gateway.storage.changes import ChangeKind
from gateway.storage.database import Database
from gateway.storage.failures import log_failure
from gateway.storage.tables import ApiKey, Deployment
from telemetry.logs import logger
from telemetry.snapshots import SharedRegistry

_RETRY_SECONDS = 1.0
_BATCH = 500
"""Ids in one query."""

log = logger("gateway.deployments.metrics_cleanup")


@dataclass(frozen=True, slots=True)
class Labelled:
    """What has series: where its changes are told, its label, and the ids of those that exist."""

    kind: ChangeKind
    label: str
    id: InstrumentedAttribute[str]
    existing: Select[str]


DEPLOYMENTS = Labelled(
    ChangeKind.DEPLOYMENT,
    DEPLOYMENT_LABEL,
    Deployment.id,
    select(Deployment.id).where(Deployment.status != DeploymentStatus.DELETED),
)
API_KEYS = Labelled(ChangeKind.API_KEY, KEY_LABEL, ApiKey.id, select(ApiKey.id))


class MetricsCleanup:
    """Asks, after each change of such an object, whether it was deleted, and removes its series.

    Each process does so for itself. When all may have changed, also at the start, it asks for all
    that have series, those in the snapshots of other processes included: a process that has died
    cannot remove its own.
    """

    def __init__(
        self,
        db: Database,
        feed: ChangeFeed,
        remove: Callable[[str], None],
        shared: SharedRegistry,
        of: Labelled = DEPLOYMENTS,
    ) -> None:
        """Have `remove` take away the series of each deleted object, by its id."""
        self._db = db
        self._of = of
        self._remove = remove
        self._shared = shared
        self._ids: set[str] = set()
        self._all = False
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        feed.subscribe(of.kind, self._on_change)
        feed.subscribe(ChangeKind.PROFILE, lambda _: self._on_change(None))

    def start(self) -> None:
        """Start to follow the changes."""
        self._task = asyncio.create_task(self._follow(), name="metrics cleanup")

    async def stop(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _on_change(self, object_id: str | None) -> None:
        if object_id is None:
            self._all = True
        else:
            self._ids.add(object_id)
        self._changed.set()

    async def _follow(self) -> None:
        while await self._changed.wait():
            self._changed.clear()
            ids, self._ids = self._ids, set()
            everything, self._all = self._all, False
            try:
                if everything:
                    shown = await asyncio.to_thread(self._shared.values_of, self._of.label)
                    ids |= {value for value in shown if is_id(value)}
                for object_id in await self._deleted(ids):
                    self._remove(object_id)
            except Exception as error:  # noqa: BLE001 - see `log_failure`
                log_failure(log, "metrics_cleanup_failed", error)
                self._ids |= ids
                self._all |= everything
                self._changed.set()
                await asyncio.sleep(_RETRY_SECONDS)

    async def _deleted(self, ids: Collection[str]) -> set[str]:
        """Return those that are deleted or, with their user, gone."""
        ordered, found = sorted(ids), set(ids)
        for start in range(0, len(ordered), _BATCH):
            existing = self._of.existing.where(self._of.id.in_(ordered[start : start + _BATCH]))
            async with self._db.read() as session:
                found.difference_update((await session.execute(existing)).scalars())
        return found
