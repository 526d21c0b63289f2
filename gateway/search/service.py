"""Finds objects of a user by what they are called."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.errors import GatewayError
from gateway.models.service import ModelService
from gateway.search import found_rows, store
from gateway.search.ids import IdRange
from gateway.search.items import FoundItem, SearchKind
from gateway.storage.database import Database
from gateway.storage.paging import PageRequest
from gateway.storage.run_tables import RunRow
from gateway.storage.tables import ApiKey, Deployment, Flow
from protos.errors import ErrorCode
from telemetry.redaction import redact_message

_MASK = re.compile(r"(sk-[0-9A-Za-z]{0,5})(?:(?:\*+|…|\.{3})([0-9A-Za-z]{0,5}))?")
"""Of an API key, or the beginning of one."""
_DELIVERY = "msg_"


class SearchService:
    """Finds flows, deployments, models, runs, API keys and webhook deliveries of a profile."""

    def __init__(self, db: Database, models: ModelService) -> None:
        self._db = db
        self._models = models

    async def find(self, profile_id: str, text: str, limit: int) -> list[FoundItem]:
        """Return up to `limit` objects by a word of their name, their id or their mask.

        If there are more, each kind gets its share.

        Raises:
            GatewayError: VALIDATION_FAILED if `text` contains an API key.
        """
        text = text.strip()
        if redact_message(text) != text:
            message = (
                "q: expected a name, an id or a masked key, got an API key: send only its mask, "
                "such as sk-EuT64********vsQa1"
            )
            raise GatewayError(ErrorCode.VALIDATION_FAILED, message)
        if not text:
            return []
        async with self._db.read() as session:
            flows, deployments, *others = await _rows(session, profile_id, text, limit)
        models = await self._models_of(profile_id, text, limit)
        return _shared([flows, deployments, models, *others], limit)

    async def _models_of(self, profile_id: str, text: str, limit: int) -> list[FoundItem]:
        request = PageRequest(limit=limit)
        page = await self._models.page(profile_id, request, containing=text)
        return [
            FoundItem(
                kind=SearchKind.MODEL,
                id=entry.name,
                title=entry.name,
                subtitle=f"version {entry.versions[-1]}",
            )
            for entry in page.items
            if entry.versions  # they may have been removed meanwhile
        ]


async def _rows(
    session: AsyncSession, profile_id: str, text: str, limit: int
) -> list[list[FoundItem]]:
    """Return flows, deployments, runs, keys and deliveries."""
    which = IdRange.of(text)

    async def matching(table: store.Named) -> Sequence[str]:
        ids = list(await store.ids_named(session, table, profile_id, text, limit))
        if which is not None:
            ids += await store.ids_between(session, table, profile_id, which, limit)
        return list(dict.fromkeys(ids))[:limit]

    keys = await matching(ApiKey)
    if masked := _MASK.fullmatch(text):
        start, end = masked[1], masked[2] or ""
        found = await store.keys_masked(session, profile_id, start, end, limit)
        keys = list(dict.fromkeys([*found, *keys]))[:limit]
    runs: Sequence[str] = ()
    if which is not None:
        runs = await store.ids_between(session, RunRow, profile_id, which, limit)
    deliveries = []
    if text.startswith(_DELIVERY):
        deliveries = await found_rows.delivery_items(session, profile_id, text)
    return [
        await found_rows.flow_items(session, await matching(Flow)),
        await found_rows.deployment_items(session, await matching(Deployment)),
        await found_rows.run_items(session, runs),
        await found_rows.key_items(session, keys),
        deliveries,
    ]


def _shared(groups: Sequence[Sequence[FoundItem]], limit: int) -> list[FoundItem]:
    """Return up to `limit` items, the first ones of each group, group by group."""
    places = sorted((rank, at) for at, group in enumerate(groups) for rank in range(len(group)))
    return [groups[at][rank] for at, rank in sorted((at, rank) for rank, at in places[:limit])]
