"""A deployment as a call needs it: everything at hand, nothing to look up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.deployments.fast_plan import FastPlan, compile_plan
from gateway.deployments.modes import (
    DeploymentType,
    ExecutionMode,
    NotificationMethod,
    OnTimeout,
    RecordRuns,
    ResponseFormat,
    Status,
)
from gateway.errors import GatewayError
from gateway.flows.spec import parse_flow
from gateway.models.pins import Pin
from gateway.storage.tables import Deployment, DeploymentVersion
from protos.errors import ErrorCode


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveDeployment:
    """A deployment's settings with one of its versions: the live one, or another that was asked."""

    id: str
    profile_id: str
    name: str
    flow_id: str
    status: Status
    version: int
    mode: ExecutionMode
    type: DeploymentType
    timeout_seconds: int
    queue_timeout_seconds: int | None
    cold_start_wait_seconds: int
    on_timeout: OnTimeout
    notification_method: NotificationMethod
    response_format: ResponseFormat
    include_node_outputs: bool
    retry_safe: bool
    require_idempotency_key: bool
    record_runs: RecordRuns
    record_sample: float
    definition: Mapping[str, Any]
    """The snapshot's graph. Its inference nodes ask for the numbers that were pinned, whatever
    `latest` or a label means by now. Any: JSON that `parse_flow` has checked."""
    models: Mapping[str, Pin]
    """By node id."""
    fast_plan: FastPlan | None
    """There in mode `fast`."""
    unfit: str | None
    """Why there is no plan in mode `fast`."""

    @property
    def paused(self) -> bool:
        """Whether calls are turned away."""
        return self.status is Status.PAUSED


def go_live(deployment: Deployment, version: DeploymentVersion) -> LiveDeployment:
    """Return the deployment with a version of it; `unfit` says where it cannot be called."""
    mode = ExecutionMode(deployment.execution_mode)
    models = read_pins(version)
    plan, unfit = _plan(mode, version, models)
    return LiveDeployment(
        id=deployment.id,
        profile_id=deployment.profile_id,
        name=deployment.name,
        flow_id=deployment.flow_id,
        status=Status(deployment.status),
        version=version.version,
        mode=mode,
        type=DeploymentType(deployment.deployment_type),
        timeout_seconds=deployment.timeout_seconds,
        queue_timeout_seconds=deployment.queue_timeout_seconds,
        cold_start_wait_seconds=deployment.cold_start_wait_seconds,
        on_timeout=OnTimeout(deployment.on_timeout),
        notification_method=NotificationMethod(deployment.notification_method),
        response_format=ResponseFormat(deployment.response_format),
        include_node_outputs=deployment.include_node_outputs,
        retry_safe=deployment.retry_safe,
        require_idempotency_key=deployment.require_idempotency_key,
        record_runs=RecordRuns(deployment.record_runs),
        record_sample=deployment.record_sample,
        definition=_pinned(version),
        models=models,
        fast_plan=plan,
        unfit=unfit,
    )


def check_callable(live: LiveDeployment) -> LiveDeployment:
    """Return it; raise INVALID_FLOW where its mode is fast and its version has no fast plan."""
    if live.unfit is not None:
        raise GatewayError(ErrorCode.INVALID_FLOW, live.unfit)
    return live


def read_pins(version: DeploymentVersion) -> dict[str, Pin]:
    """Return the snapshot's models by node id."""
    return {node_id: Pin.from_json(stored) for node_id, stored in version.models.items()}


def _plan(
    mode: ExecutionMode, version: DeploymentVersion, models: Mapping[str, Pin]
) -> tuple[FastPlan | None, str | None]:
    if mode is not ExecutionMode.FAST:
        return None, None
    try:
        return compile_plan(parse_flow(version.definition), models), None
    except GatewayError as error:
        return None, error.message


def _pinned(version: DeploymentVersion) -> dict[str, Any]:
    return {
        **version.definition,
        "nodes": [_at_its_pin(node, version.models) for node in version.definition["nodes"]],
    }


def _at_its_pin(node: dict[str, Any], models: Mapping[str, Any]) -> dict[str, Any]:
    pin = models.get(node["id"])
    if pin is None:
        return node
    return {**node, "config": {**node["config"], "version": str(pin["version"])}}
