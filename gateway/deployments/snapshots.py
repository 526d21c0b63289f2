"""Snapshots of a flow's draft with the model versions that it currently resolves to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any

import orjson

from gateway.body_parsing.parser import LARGE_BODY_BYTES, BodyParser
from gateway.deployments.live_deployment import read_pins
from gateway.errors import GatewayError
from gateway.flows.flow_check import check_flow
from gateway.flows.input_validator import InputSelection, WrittenInput
from gateway.flows.plan import FlowPlan, compile_plan
from gateway.flows.processes import FlowProcesses
from gateway.flows.spec import FlowSpec, input_config, parse_flow
from gateway.flows.store import find_flow
from gateway.models.pins import Pin
from gateway.models.service import ModelService
from gateway.storage.database import Database
from gateway.storage.tables import DeploymentVersion, Flow
from protos.errors import ErrorCode

_CHECK_SECONDS = 30.0
_REFUSALS = frozenset({ErrorCode.INVALID_INPUT, ErrorCode.INVALID_TENSOR})
"""Of an input."""

# Any, throughout: JSON that `parse_flow` has checked
Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionNote:
    """The name and description of a version."""

    name: str | None = None
    description: str | None = None


NO_NOTE = VersionNote()


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowSnapshot:
    """A draft at one point in time."""

    flow: Flow
    models: dict[str, Json]
    """Node id → pinned model version, as `DeploymentVersion.models`."""

    def version(
        self, deployment_id: str, number: int, *, key_id: str | None, note: VersionNote = NO_NOTE
    ) -> DeploymentVersion:
        """Return the row of a version with this snapshot."""
        return DeploymentVersion(
            deployment_id=deployment_id,
            version=number,
            definition=self.flow.definition,
            models=self.models,
            input_schema=input_config(self.flow.definition).get("schema"),
            drafted_at=self.flow.updated_at,
            name=note.name,
            description=note.description,
            created_by=self.flow.profile_id,
            created_by_key=key_id,
        )


class Snapshotter:
    """Takes snapshots, and checks whether the models of a version still exist."""

    def __init__(self, db: Database, models: ModelService, processes: FlowProcesses) -> None:
        self._db = db
        self._models = models
        self._processes = processes

    async def take(self, profile_id: str, flow_id: str) -> FlowSnapshot:
        """Return the flow's draft with its models pinned.

        Raises:
            GatewayError: NOT_FOUND for the flow; INVALID_FLOW if it does not compile, or a model
                does not exist.
        """
        async with self._db.read() as session:
            flow = await find_flow(session, profile_id, flow_id)
        spec = await check_flow(flow.definition, self._processes.evaluator(profile_id))
        pins = await pin_models(spec, self._models, profile_id)
        models = {node_id: pin.to_json() for node_id, pin in pins.items()}
        return FlowSnapshot(flow=flow, models=models)

    async def check(self, profile_id: str, version: DeploymentVersion) -> None:
        """Raise INVALID_FLOW if the version can no longer run.

        A Python node may have been uninstalled, or a model removed, replaced, or made private.
        """
        compile_plan(parse_flow(version.definition))
        for node_id, pin in version.models.items():
            name, number = pin["model"], pin["version"]
            known = f"node '{node_id}': version {version.version} runs '{name}' {number}"
            try:
                manifest = await self._models.manifest(profile_id, name, str(number))
            except GatewayError as error:
                message = f"{known}, which is no longer in the model store"
                raise GatewayError(ErrorCode.INVALID_FLOW, message) from error
            if manifest.sha256 != pin["sha256"]:
                message = f"{known}, but the model store now has another file for that version"
                raise GatewayError(ErrorCode.INVALID_FLOW, message)


async def pin_models(
    spec: FlowSpec, models: ModelService, profile_id: str | None
) -> dict[str, Pin]:
    """Return the model version that each inference node resolves to now, by node id.

    Raises:
        GatewayError: INVALID_FLOW with the node if a model does not exist.
    """
    pins: dict[str, Pin] = {}
    for node_id, inference in spec.inferences().items():
        try:
            pins[node_id] = await models.pin(profile_id, inference.model, inference.version)
        except GatewayError as error:
            message = f"node '{node_id}': {error.message}"
            raise GatewayError(ErrorCode.INVALID_FLOW, message) from error
    return pins


def models_of(version: DeploymentVersion) -> set[tuple[str, int]]:
    """Return the model versions that a version of a deployment calls."""
    return {(pin["model"], pin["version"]) for pin in version.models.values()}


async def check_version_input(
    db: Database,
    processes: FlowProcesses,
    parser: BodyParser,
    *,
    profile_id: str,
    deployment_id: str,
    version: int,
    input_data: bytes,
) -> bytes:
    """Return `input_data`, which is JSON, as a version accepts it.

    Raises:
        GatewayError: INVALID_INPUT with all errors, each with its pointer; INVALID_TENSOR likewise;
            GONE if the version was deleted; INVALID_FLOW if it no longer compiles.
    """
    async with db.read() as session:
        row = await session.get(DeploymentVersion, (deployment_id, version))
    if row is None:
        message = f"version {version} of deployment '{deployment_id}' was deleted"
        raise GatewayError(ErrorCode.GONE, message)
    spec = parse_flow(row.definition)
    recorded = RecordedInput(spec=spec, plan=compile_plan(spec), pins=read_pins(row))
    try:
        return await recorded.check(profile_id, input_data, processes, parser)
    except GatewayError as error:
        if error.code not in _REFUSALS:
            raise
        message = f"version {version} does not accept this run's input: {error.message}"
        raise GatewayError(error.code, message, errors=error.errors) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedInput:
    """What checks the inputs that runs have kept, which may be large."""

    spec: FlowSpec
    plan: FlowPlan
    pins: Mapping[str, Pin]

    async def check(
        self, profile_id: str, input_data: bytes, processes: FlowProcesses, parser: BodyParser
    ) -> bytes:
        """Return `input_data`, which is JSON, as the flow accepts it.

        Raises:
            GatewayError: INVALID_INPUT and INVALID_TENSOR with all errors, each with its pointer.
        """
        deadline = monotonic() + _CHECK_SECONDS
        given = None
        if len(input_data) > LARGE_BODY_BYTES:
            written = await parser.run(
                profile_id, deadline, _write, input_data, self.plan.selection
            )
        else:
            given = orjson.loads(input_data)
            written = self.plan.selection.write(given)
        checked = await self.plan.check_input(written, processes.evaluator(profile_id), deadline)
        from gateway.deployments.input_tensors import (  # noqa: PLC0415 - numpy, for this only
            input_tensors,
        )

        tensors = input_tensors(self.spec, self.plan, self.pins)
        await tensors.check(given, checked, parser, profile_id, deadline)
        return checked


def _write(input_data: bytes, selection: InputSelection) -> WrittenInput:
    return selection.write(orjson.loads(input_data))
