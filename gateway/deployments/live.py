"""A deployment as a call needs it: everything at hand, nothing to look up."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.deployments.fast_plan import FastPlan, compile_plan
from gateway.deployments.modes import (
    DeploymentType,
    ExecutionMode,
    NotificationMethod,
    ResponseFormat,
)
from gateway.flows.spec import parse_flow
from gateway.models.pins import Pin
from gateway.storage.tables import Deployment, DeploymentVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveDeployment:
    """An active deployment with its live version."""

    id: str
    profile_id: str
    name: str
    flow_id: str
    version: int
    execution_mode: ExecutionMode
    deployment_type: DeploymentType
    timeout_seconds: int
    notification_method: NotificationMethod
    response_format: ResponseFormat
    fast_plan: FastPlan | None
    """There in mode `fast`."""


def go_live(deployment: Deployment, version: DeploymentVersion) -> LiveDeployment:
    """Return the deployment, ready to be called.

    Raises:
        GatewayError: INVALID_FLOW where the mode is fast and the snapshot has no fast plan.
    """
    mode = ExecutionMode(deployment.execution_mode)
    plan = None
    if mode is ExecutionMode.FAST:
        plan = compile_plan(parse_flow(version.definition), read_pins(version))
    return LiveDeployment(
        id=deployment.id,
        profile_id=deployment.profile_id,
        name=deployment.name,
        flow_id=deployment.flow_id,
        version=version.version,
        execution_mode=mode,
        deployment_type=DeploymentType(deployment.deployment_type),
        timeout_seconds=deployment.timeout_seconds,
        notification_method=NotificationMethod(deployment.notification_method),
        response_format=ResponseFormat(deployment.response_format),
        fast_plan=plan,
    )


def read_pins(version: DeploymentVersion) -> dict[str, Pin]:
    """Return the snapshot's models by node id."""
    return {node_id: Pin.from_json(stored) for node_id, stored in version.models.items()}
