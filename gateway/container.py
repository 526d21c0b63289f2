"""The composition root: the only place that knows which class stands behind which role."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Sequence
from datetime import timedelta

from gateway.accounts.login import LoginService
from gateway.accounts.sessions import SessionService
from gateway.accounts.throttle import Throttle
from gateway.auth.access import Access
from gateway.auth.authenticator import Authenticator
from gateway.auth.entrance import Entrance
from gateway.auth.proxies import Proxies
from gateway.broker.exposition import WorkerCollector
from gateway.certificate import Certificate
from gateway.deployments.directory import Directory
from gateway.deployments.inputs import Inputs
from gateway.execution.engine_room import EngineRoom
from gateway.fleet.exposition import FleetCollector
from gateway.fleet.waker import Waker
from gateway.fleet.watcher import FleetWatcher
from gateway.limits.room import LimitRoom
from gateway.metrics import GatewayMetrics
from gateway.oip.access import ModelAccess
from gateway.oip.dataplane import DataPlane
from gateway.oip.front_door import FrontDoor
from gateway.oip.listener import open_front_door
from gateway.oip.rest import RestEdge
from gateway.readiness import Readiness
from gateway.runs.service import RunService
from gateway.services import Services
from gateway.settings import Settings
from gateway.storage.changes import ChangeFeed
from gateway.storage.database import Database
from gateway.trigger.admission import Admission
from gateway.trigger.dispatch import Dispatcher
from gateway.trigger.edge import TriggerEdge
from gateway.trigger.fast_calls import FastCalls
from gateway.trigger.recorder import Recorder
from gateway.trigger.run_calls import RunCalls
from gateway.upstream.credentials import Credentials
from gateway.upstream.servers import Servers
from gateway.usage.bookkeeper import Bookkeeper
from gateway.webhooks.service import WebhookService
from gateway.webhooks.station import Station
from telemetry.snapshots import SharedRegistry
from transport import Server

_PUBLISH_SECONDS = 1.0
_STREAM_WINDOW = 256


class Container:
    """Everything in one gateway process, made on its event loop."""

    def __init__(self, settings: Settings, certificate: Certificate | None = None) -> None:
        self.settings = settings
        self._certificate = certificate
        limit = settings.max_body_bytes
        self.db = Database(settings.database)
        self.feed = ChangeFeed(self.db)
        self.services = Services(settings, self.db)
        self.metrics = GatewayMetrics()
        self.shared = SharedRegistry(
            self.metrics.registry, settings.run / "metrics", f"gateway-{os.getpid()}"
        )
        self.waker = Waker(self.services.fleet.store)
        self.servers = Servers(
            max_message_bytes=limit,
            drain_seconds=settings.drain_seconds,
            on_wanted=self.waker.wake,
            credentials=Credentials.of(settings),
        )
        self.worker_metrics = WorkerCollector(settings.run)
        self.fleet_metrics = FleetCollector(self.servers)
        self.watcher = FleetWatcher(self.services.fleet.store, self.feed, self.servers)
        self.readiness = Readiness(self.servers)
        authenticator = Authenticator(self.db, self.services.hasher, self.feed)
        self.key_uses = authenticator.uses
        self.limits = LimitRoom(settings, self.metrics.registry)
        self.sessions = SessionService(
            self.db,
            self.services.hasher,
            self.feed,
            idle=timedelta(hours=settings.session_idle_hours),
            lifetime=timedelta(days=settings.session_days),
        )
        throttle = Throttle(self.db, self.services.hasher)
        self.login = LoginService(self.db, self.services.passwords, self.sessions, throttle)
        entrance = Entrance(authenticator, self.sessions, origins=settings.console_origins)
        proxies = Proxies(settings.trusted_proxies)
        self.access = Access(entrance, self.limits, proxies)
        directory = self.directory = Directory(self.db, self.feed)
        registry = self.metrics.registry
        vault = self.services.vault
        self.station = Station(settings, self.db, vault, registry=registry)
        self.webhooks = WebhookService(self.db, vault, self.station.dispatcher)
        self.engine = EngineRoom(
            settings, self.db, self.feed, self.servers, registry, webhooks=self.station
        )
        self.runs = RunService(
            self.engine.store,
            self.engine.waiter,
            directory,
            self.engine.launcher,
            Inputs(self.db),
            gates=self.limits.gates,
            retention_days=settings.run_retention_days,
        )
        self.usage = Bookkeeper(
            self.db,
            self.metrics,
            minute_hours=settings.usage_minute_hours,
            days=settings.usage_retention_days,
        )
        self.recorder = Recorder(self.engine.store, self.metrics)
        self.trigger = TriggerEdge(
            Admission(authenticator, entrance, directory, self.limits, proxies),
            Dispatcher(FastCalls(self.servers, self.metrics, self.recorder), RunCalls(self.engine)),
            self.metrics,
            self.usage.meter,
            max_body_bytes=limit,
        )
        plane = DataPlane(
            self.servers,
            self.readiness,
            self.metrics,
            timeout_seconds=settings.infer_timeout_seconds,
        )
        model_access = ModelAccess(authenticator, self.limits, anonymous=settings.anonymous_v2)
        self.oip = RestEdge(plane, model_access, proxies, self.metrics, max_body_bytes=limit)
        self._front_door = FrontDoor(
            plane, model_access, proxies, self.metrics, window=_STREAM_WINDOW
        )
        self._grpc: Server | None = None
        self._publisher: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Follow the database, know the fleet, and open the gRPC front door.

        Raises:
            StorageError: the database cannot be used.
            OSError: the front door's port is taken.
        """
        self.feed.start()
        self.watcher.start()
        await self.watcher.looked.wait()
        self.readiness.fleet_known()
        await self.engine.start()
        self.station.start()
        self.recorder.start()
        self.usage.start()
        self.key_uses.start()
        self._grpc = await open_front_door(
            self._front_door,
            self.readiness,
            self.settings,
            self._certificate.grpc if self._certificate else None,
        )
        self._publisher = asyncio.create_task(self._publish(), name="metrics publisher")

    async def close(self) -> None:
        """Let calls in flight finish, then give everything back."""
        if self._grpc is not None:
            await self._grpc.drain(self.settings.drain_seconds)
        await self.recorder.close()
        await self.key_uses.close()
        await self.engine.close(self.settings.drain_seconds)
        await self.station.close(self.settings.drain_seconds)
        await self.usage.close()
        await self.watcher.stop()
        await self.servers.close()
        await self.waker.stop()
        await self.feed.stop()
        await self.limits.close()
        if self._publisher is not None:
            self._publisher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._publisher
        self.shared.publish()
        self.services.passwords.close()
        await self.db.close()

    def reasons(self) -> Sequence[str]:
        """Return why calls should not come yet; nothing means ready."""
        return [*self.readiness.reasons(), *self.engine.warmth.reasons()]

    def drain(self) -> None:
        """Let nobody wait any more who can ask again: the process is to end."""
        self.runs.drain()

    async def _publish(self) -> None:
        while True:
            await asyncio.sleep(_PUBLISH_SECONDS)
            await asyncio.to_thread(self.shared.publish)
