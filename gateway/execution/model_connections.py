"""Connections of a process without an API to the inference servers of the database."""

from __future__ import annotations

from gateway.fleet.store import FleetStore
from gateway.fleet.waker import Waker
from gateway.fleet.watcher import FleetWatcher
from gateway.settings import Settings
from gateway.storage.change_feed import ChangeFeed
from gateway.storage.database import Database
from gateway.upstream.credentials import UpstreamCredentials
from gateway.upstream.servers import InferenceServers


class ModelConnections:
    """Follows the rows of inference servers, connects to them, and wakes those that sleep.

    Attributes:
        feed: the change feed that it follows.
        servers: the connections.
    """

    def __init__(self, settings: Settings, db: Database) -> None:
        """Raise TlsError if the credentials for servers on other machines cannot be used."""
        self.feed = ChangeFeed(db)
        fleet = FleetStore(db)
        self._waker = Waker(fleet)
        self.servers = InferenceServers(
            max_message_bytes=settings.max_body_bytes,
            drain_seconds=settings.drain_seconds,
            call_seconds=settings.infer_timeout_seconds,
            on_wake=self._waker.wake,
            credentials=UpstreamCredentials.from_settings(settings),
            unresponsive_seconds=settings.unresponsive_seconds,
        )
        self._watcher = FleetWatcher(fleet, self.feed, self.servers)

    async def start(self) -> None:
        """Start following; return when the rows have been read."""
        self.feed.start()
        self._watcher.start()
        await self._watcher.loaded.wait()

    async def close(self) -> None:
        """Stop following, and close the connections when their calls are answered."""
        await self._watcher.stop()
        await self.servers.close()
        await self._waker.stop()
        await self.feed.stop()
