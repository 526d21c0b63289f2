"""Compiles the flows of type `server` before their first call."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sqlalchemy import select

from gateway.deployments.settings import DeploymentStatus, DeploymentType
from gateway.errors import GatewayError
from gateway.execution.compiled_flow import CompiledFlowCache, VersionKey
from gateway.storage.change_feed import ChangeFeed
from gateway.storage.changes import ChangeKind
from gateway.storage.database import Database
from gateway.storage.failures import log_failure
from gateway.storage.tables import Deployment
from telemetry.logs import logger

_MOST = 1_000
"""Flows to preload; others are compiled at their first call."""

log = logger("gateway.execution.preloader")


class Preloader:
    """Compiles the live versions of type `server` at the start, and new ones when deployed."""

    def __init__(self, db: Database, feed: ChangeFeed, compiled_flows: CompiledFlowCache) -> None:
        self._db = db
        self._compiled_flows = compiled_flows
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.ready = False
        """Whether everything that was live at the start has been compiled."""
        feed.subscribe(ChangeKind.DEPLOYMENT, lambda _: self._changed.set())

    def start(self) -> None:
        """Start preloading."""
        self._changed.set()
        self._task = asyncio.create_task(self._follow(), name="preloader")

    async def stop(self) -> None:
        """Stop preloading."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def reasons(self) -> Sequence[str]:
        """Return why the gateway is not ready for calls; empty: it is ready."""
        return [] if self.ready else ["starting: flows of type server are being compiled"]

    async def _follow(self) -> None:
        while await self._changed.wait():
            self._changed.clear()
            try:
                for key in await self._live():
                    await self._compile(key)
            except Exception as error:  # noqa: BLE001 - see `log_failure`
                log_failure(log, "preload_failed", error)
                self._changed.set()
                await asyncio.sleep(1)
            else:
                self.ready = True

    async def _live(self) -> list[VersionKey]:
        statement = (
            select(Deployment.id, Deployment.live_version)
            .where(
                Deployment.deployment_type == DeploymentType.SERVER,
                Deployment.status == DeploymentStatus.ACTIVE,
            )
            .limit(_MOST)
        )
        async with self._db.read() as session:
            return [(row.id, row.live_version) for row in await session.execute(statement)]

    async def _compile(self, key: VersionKey) -> None:
        if self._compiled_flows.get(*key) is not None:
            return
        try:
            await self._compiled_flows.find(*key)
        except GatewayError as error:
            log.warning("flow_compile_failed", deployment=key[0], reason=error.message)
