"""Ends streams whose session or key is no longer valid, or whose user has another role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from gateway.live_updates import store
from gateway.live_updates.channel import Stream
from gateway.live_updates.channels import Channels
from gateway.storage.background_step import BackgroundStep
from gateway.storage.change_feed import ChangeFeed
from gateway.storage.changes import ChangeKind
from gateway.storage.clock import now
from gateway.storage.database import Database

_LOOK_SECONDS = 30.0
"""Between two looks without a change: sessions and keys also end by themselves."""


class Listeners:
    """Looks at the credentials of all open streams. A stream is no use of its session."""

    def __init__(
        self, db: Database, feed: ChangeFeed, channels: Channels, *, idle: timedelta
    ) -> None:
        """`idle` is how long a session may be idle."""
        self._db = db
        self._channels = channels
        self._idle = idle
        self._step = BackgroundStep("live listeners", self._look)
        self.start = self._step.start
        self.stop = self._step.stop
        for kind in (ChangeKind.SESSION, ChangeKind.API_KEY, ChangeKind.PROFILE):
            feed.subscribe(kind, lambda _: self._step.wake())

    async def _look(self) -> float:
        streams = self._channels.streams()
        roles = await self._roles(streams) if streams else {}
        for stream in streams:
            identity = stream.identity
            credential = identity.session_id or identity.key_id  # the command line has none
            if credential is not None and roles.get(credential) != identity.role:
                stream.end()
        return _LOOK_SECONDS

    async def _roles(self, streams: Sequence[Stream]) -> Mapping[str, str]:
        """Return the user's role by each session and key that is valid."""
        identities = [stream.identity for stream in streams]
        sessions = {each.session_id for each in identities if each.session_id is not None}
        keys = {each.key_id for each in identities if each.key_id is not None}
        moment = now()
        found: dict[str, str] = {}
        async with self._db.read() as session:
            if sessions:
                found |= await store.roles_of_sessions(session, sessions, moment, self._idle)
            if keys:
                found |= await store.roles_of_keys(session, keys, moment)
        return found
