"""What a list of models shows beside their names, in a few queries for a whole page."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.auth.model_access import load_model_user
from gateway.errors import GatewayError
from gateway.models import summary_store as rows
from gateway.models.ownership import ModelEntry
from gateway.models.service import ModelService
from gateway.models.summary_store import PinnedBy
from gateway.storage.cache import Cache
from gateway.storage.change_feed import ChangeFeed
from gateway.storage.changes import ChangeKind
from gateway.storage.database import Database
from gateway.storage.paging import Page, PageRequest
from gateway.storage.tables import InferenceServer
from model_store.manifest import Manifest

MAX_VERSIONS = 5
"""The newest ones of a model, which are described."""
_MAX_MANIFESTS = 2_000
"""In memory."""

ModelVersion = tuple[str, int]
_Callers = Mapping[str, Mapping[str, int]]
"""Model → user → how many deployments of the user call it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSummary:
    """A model, as one user sees it."""

    entry: ModelEntry
    manages: bool
    """Whether the user manages it."""
    manifests: Mapping[int, Manifest]
    """Of the newest versions; those that are damaged or were removed meanwhile are missing."""
    servers: Sequence[InferenceServer]
    """By version, the newest first."""
    used_by: Sequence[PinnedBy]
    """Deployments of the user."""
    used_by_others: int
    """How many deployments of other users there are."""


class ModelSummaries:
    """Pages of summaries.

    Manifests are kept: versions do not change. So is how many deployments of each user call each
    model, until a deployment changes: counting reads the pins of all deployments.
    """

    def __init__(self, db: Database, models: ModelService, feed: ChangeFeed) -> None:
        """Forget what the feed says is changed: a number may be published again by hand."""
        self._db = db
        self._models = models
        self._manifests: Cache[ModelVersion, Manifest] = Cache(
            self._load_manifest, size=_MAX_MANIFESTS
        )
        self._callers: Cache[None, _Callers] = Cache(self._count_callers, size=1)
        feed.subscribe(ChangeKind.MODEL, self._on_change)
        feed.subscribe(ChangeKind.DEPLOYMENT, lambda _: self._callers.invalidate())

    async def page(
        self, profile_id: str, request: PageRequest, *, containing: str = ""
    ) -> Page[ModelSummary]:
        """Return a page of the models that a user may use, as `ModelService.page`."""
        page = await self._models.page(profile_id, request, containing=containing)
        names = [entry.name for entry in page.items]
        manifests = await asyncio.gather(*(self._newest(entry) for entry in page.items))
        async with self._db.read() as session:
            user = await load_model_user(session, profile_id)
            servers: dict[str, list[InferenceServer]] = defaultdict(list)
            for server in await rows.servers_of(session, names):
                servers[server.model].append(server)
            used_by: dict[str, list[PinnedBy]] = defaultdict(list)
            for pinned in await rows.own_deployments_of(session, names, user):
                used_by[pinned.model].append(pinned)
        callers = await self._callers.find(None)
        items = [
            ModelSummary(
                entry=entry,
                manages=user.administers or entry.owner_id is not None,
                manifests=found,
                servers=servers[entry.name],
                used_by=used_by[entry.name],
                used_by_others=sum(
                    number
                    for caller, number in callers.get(entry.name, {}).items()
                    if caller != profile_id
                ),
            )
            for entry, found in zip(page.items, manifests, strict=True)
        ]
        return Page(items=items, next_cursor=page.next_cursor)

    async def _newest(self, entry: ModelEntry) -> Mapping[int, Manifest]:
        numbers = entry.versions[-MAX_VERSIONS:][::-1]
        found = await asyncio.gather(
            *(self._manifests.find((entry.name, number)) for number in numbers),
            return_exceptions=True,
        )
        manifests: dict[int, Manifest] = {}
        for number, manifest in zip(numbers, found, strict=True):
            if isinstance(manifest, Manifest):
                manifests[number] = manifest
            elif not isinstance(manifest, GatewayError):
                raise manifest
        return manifests

    async def _load_manifest(self, version: ModelVersion) -> Manifest:
        name, number = version
        return await self._models.manifest(None, name, str(number))

    async def _count_callers(self, _: None) -> _Callers:
        async with self._db.read() as session:
            return await rows.count_callers(session)

    def _on_change(self, name: str | None) -> None:
        self._manifests.invalidate(lambda manifest: name in (None, manifest.name))
