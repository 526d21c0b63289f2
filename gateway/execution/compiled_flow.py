"""Versions of deployments, ready to run: loaded once, kept, for they never change."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.deployments.live_deployment import read_pins
from gateway.errors import GatewayError
from gateway.execution.inference_client import PinnedModels
from gateway.flows.plan import FlowPlan, compile_plan
from gateway.flows.spec import parse_flow
from gateway.storage.cache import Cache
from gateway.storage.database import Database
from gateway.storage.tables import DeploymentVersion
from protos.errors import ErrorCode

VersionKey = tuple[str, int]
"""A deployment's id and the number of one of its versions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledFlow:
    """A compiled flow, and the models that it asks."""

    plan: FlowPlan
    models: PinnedModels


class CompiledFlowCache:
    """Programs by version."""

    def __init__(self, db: Database, *, size: int = 1_000) -> None:
        self._db = db
        self._cache: Cache[VersionKey, CompiledFlow] = Cache(self._load, size=size)

    def get(self, deployment_id: str, version: int) -> CompiledFlow | None:
        """Return the program if it is in memory."""
        return self._cache.get((deployment_id, version))

    async def find(self, deployment_id: str, version: int) -> CompiledFlow:
        """Return the program, compiled now where it was not yet.

        Raises:
            GatewayError: GONE where the version is no more; INVALID_FLOW where it does not compile
                any more, as when a package with a node kind has been removed.
        """
        return await self._cache.find((deployment_id, version))

    async def _load(self, key: VersionKey) -> CompiledFlow:
        async with self._db.read() as session:
            row = await session.get(DeploymentVersion, key)
        if row is None:
            message = f"version {key[1]} of deployment '{key[0]}' is no more"
            raise GatewayError(ErrorCode.GONE, message)
        plan = compile_plan(parse_flow(row.definition))
        return CompiledFlow(plan=plan, models=PinnedModels(read_pins(row)))
