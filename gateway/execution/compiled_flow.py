"""Caches compiled flows of deployment versions, which are immutable."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from gateway.deployments.input_tensors import InputTensors, input_tensors
from gateway.deployments.live_deployment import read_pins
from gateway.errors import GatewayError
from gateway.execution.inference_client import PinnedModels
from gateway.flows.plan import FlowPlan, compile_plan
from gateway.flows.processes import FlowProcesses
from gateway.flows.spec import parse_flow
from gateway.storage.cache import Cache
from gateway.storage.database import Database
from gateway.storage.tables import Deployment, DeploymentVersion
from protos.errors import ErrorCode

VersionKey = tuple[str, int]
"""Deployment id and version number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledFlow:
    """A compiled flow and the models that it calls."""

    plan: FlowPlan
    models: PinnedModels
    tensors: InputTensors
    """Of calls."""


class CompiledFlowCache:
    """Compiled flows by deployment version."""

    def __init__(self, db: Database, processes: FlowProcesses, *, size: int = 1_000) -> None:
        self._db = db
        self._processes = processes
        self._cache: Cache[VersionKey, CompiledFlow] = Cache(self._load, size=size)

    def get(self, deployment_id: str, version: int) -> CompiledFlow | None:
        """Return the compiled flow if it is cached."""
        return self._cache.get((deployment_id, version))

    async def find(self, deployment_id: str, version: int) -> CompiledFlow:
        """Return the compiled flow, from the cache or the database.

        Raises:
            GatewayError: GONE if the version was deleted; INVALID_FLOW if it no longer compiles,
                for example because a package with Python nodes was removed.
        """
        return await self._cache.find((deployment_id, version))

    async def _load(self, key: VersionKey) -> CompiledFlow:
        statement = (
            select(DeploymentVersion, Deployment.profile_id)
            .join(Deployment, Deployment.id == DeploymentVersion.deployment_id)
            .where(DeploymentVersion.deployment_id == key[0], DeploymentVersion.version == key[1])
        )
        async with self._db.read() as session:
            found = (await session.execute(statement)).one_or_none()
        if found is None:
            message = f"version {key[1]} of deployment '{key[0]}' was deleted"
            raise GatewayError(ErrorCode.GONE, message)
        row, owner = found
        spec, pins = parse_flow(row.definition), read_pins(row)
        plan = compile_plan(spec)
        if plan.needs_evaluator:
            self._processes.evaluators.warm()
        if plan.needs_functions:
            self._processes.functions.warm()
        tensors = input_tensors(spec, plan, pins)
        return CompiledFlow(plan=plan, models=PinnedModels(pins, owner), tensors=tensors)
