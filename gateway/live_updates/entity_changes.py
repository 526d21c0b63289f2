"""Tells streams of what the change feed announces: whose a resource is, and who may see it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from functools import partial

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.auth.model_access import ModelUser
from gateway.live_updates import store
from gateway.live_updates.channels import Channels
from gateway.live_updates.topics import Item, Topic
from gateway.storage.background_step import BackgroundStep
from gateway.storage.change_feed import ChangeFeed
from gateway.storage.changes import ChangeKind
from gateway.storage.database import Database
from gateway.storage.tables import ApiKey, Deployment, Flow, Model, Owned

_TOPICS: Mapping[ChangeKind, Topic] = {
    ChangeKind.FLOW: Topic.FLOWS,
    ChangeKind.DEPLOYMENT: Topic.DEPLOYMENTS,
    ChangeKind.API_KEY: Topic.KEYS,
    ChangeKind.INFERENCE_SERVER: Topic.SERVERS,
    ChangeKind.MODEL: Topic.MODELS,
    ChangeKind.WATCHED_CALL: Topic.CALLS,
    ChangeKind.REHEARSAL: Topic.REHEARSALS,
}
_TABLES: Mapping[Topic, type[Owned]] = {
    Topic.FLOWS: Flow,
    Topic.DEPLOYMENTS: Deployment,
    Topic.REHEARSALS: Deployment,
    Topic.KEYS: ApiKey,
}
_COLLECT_SECONDS = 0.05
"""Changes that come within this time are resolved together."""
_MAX_IDS = 500
"""Of more changes of a topic than these, only that there are some is told."""

Changed = dict[str, str | None]
"""Ids, with the owner of what was deleted."""


class EntityChanges:
    """Does nothing for a topic that has no listener. For one event loop."""

    def __init__(self, db: Database, feed: ChangeFeed, channels: Channels) -> None:
        self._db = db
        self._channels = channels
        self._changed: dict[Topic, Changed] = defaultdict(dict)
        self._step = BackgroundStep("live updates", self._resolve)
        self.start = self._step.start
        self.stop = self._step.stop
        for kind, topic in _TOPICS.items():
            feed.subscribe_with_owner(kind, partial(self._on_change, topic))

    def read_calls(self, profile_id: str) -> None:
        """Tell a user's new stream of the calls that were just reported."""
        self._changed[Topic.CALLS][profile_id] = profile_id
        self._step.wake()

    def _on_change(self, topic: Topic, entity_id: str | None, owner_id: str | None) -> None:
        channels = self._channels.about(topic)
        if not channels:
            return
        if topic is Topic.CALLS:
            listening = [channel.profile_id for channel in channels]
            owners = listening if entity_id is None else [owner_id] if owner_id else []
            self._changed[topic] |= {owner: owner for owner in owners}
        elif entity_id is None:
            self._channels.tell_all(topic)
        else:
            self._changed[topic][entity_id] = owner_id
        self._step.wake()

    async def _resolve(self) -> None:
        await asyncio.sleep(_COLLECT_SECONDS)
        changed, self._changed = self._changed, defaultdict(dict)
        try:
            async with self._db.read() as session:
                for topic, ids in changed.items():
                    await self._tell(session, topic, ids)
        except Exception:
            for topic in changed.keys() - {Topic.CALLS}:
                self._channels.tell_all(topic)
            raise

    async def _tell(self, session: AsyncSession, topic: Topic, changed: Changed) -> None:
        if topic is Topic.CALLS:
            await self._tell_calls(session, changed)
        elif len(changed) > _MAX_IDS:
            self._channels.tell_all(topic)
        elif topic is Topic.SERVERS:
            await self._tell_servers(session, changed)
        elif topic is Topic.MODELS:
            await self._tell_models(session, changed)
        else:
            await self._tell_owners(session, topic, changed)

    async def _tell_owners(self, session: AsyncSession, topic: Topic, changed: Changed) -> None:
        unknown = [each for each, owner in changed.items() if owner is None]
        found = await store.owners(session, _TABLES[topic], unknown) if unknown else {}
        for entity_id, deleted_of in changed.items():
            owner = deleted_of or found.get(entity_id)
            channel = None if owner is None else self._channels.of_user(owner)
            if channel is not None:
                channel.add(Item(topic=topic, id=entity_id))

    async def _tell_servers(self, session: AsyncSession, changed: Changed) -> None:
        found = await store.models_of_servers(session, changed)
        for server_id in changed:
            if server_id in found:
                self._tell_users_of(found[server_id], Topic.SERVERS, server_id)
            else:
                self._channels.tell_all(Topic.SERVERS)

    async def _tell_models(self, session: AsyncSession, changed: Changed) -> None:
        found = await store.models_named(session, changed)
        for name in changed:
            self._tell_users_of(found.get(name), Topic.MODELS, name)

    def _tell_users_of(self, model: Model | None, topic: Topic, entity_id: str) -> None:
        """Name a model, or its server, to those who may use it.

        Others learn that some model has changed: they may have used it until now.
        """
        for channel in self._channels.about(topic):
            user = ModelUser(profile_id=channel.profile_id, administers=channel.administers)
            if user.may_use(model):
                channel.add(Item(topic=topic, id=entity_id))
            elif topic is Topic.MODELS:
                channel.add(Item(topic=topic, id=None))

    async def _tell_calls(self, session: AsyncSession, changed: Changed) -> None:
        for row in await store.recent_calls(session, changed):
            channel = self._channels.of_user(row.profile_id)
            call_id = f"{row.deployment_id}:{row.number}"
            if channel is not None and not channel.holds(Topic.CALLS, call_id):
                fields = {"deployment_id": row.deployment_id, **row.report}
                channel.add(Item(topic=Topic.CALLS, id=call_id, fields=fields))
