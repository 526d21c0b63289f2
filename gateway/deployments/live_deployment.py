"""A deployment prepared for calls: settings, limits, and the compiled fast plan."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.deployments.fast_plan import FastPlan, compile_plan
from gateway.deployments.rollout_settings import Strategy
from gateway.deployments.settings import (
    DeploymentType,
    ExecutionMode,
    NonFinite,
    NotificationMethod,
    OnTimeout,
    RecordRuns,
    ResponseFormat,
)
from gateway.flows.spec import parse_flow
from gateway.limits.call_limits import CallLimits
from gateway.models.pins import Pin
from gateway.storage.tables import Deployment, DeploymentVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveRollout:
    """A version that is tried beside the live one."""

    id: str
    strategy: Strategy
    weight: int
    """Per cent of the calls that reach the candidate."""
    tolerance: float | None
    """Between the outputs of both versions; None: they are not compared."""
    candidate: LiveDeployment


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveDeployment:
    """A deployment's settings with its live version, or the version that a call pins."""

    id: str
    profile_id: str
    name: str
    flow_id: str
    version: int
    mode: ExecutionMode
    type: DeploymentType
    timeout_seconds: int
    queue_timeout_seconds: int | None
    cold_start_wait_seconds: int
    on_timeout: OnTimeout
    notification_method: NotificationMethod
    response_format: ResponseFormat
    non_finite: NonFinite
    include_node_outputs: bool
    retry_safe: bool
    require_idempotency_key: bool
    record_runs: RecordRuns
    record_sample: float
    cancel_on_disconnect: bool
    limits: CallLimits | None
    """The deployment's own limits, without those of keys."""
    cors_origins: frozenset[bytes] | None
    """Origins whose pages may call it from a browser; None: no CORS."""
    fast_plan: FastPlan | None
    """Set in mode `fast`."""
    rollout: LiveRollout | None = None
    """For calls that pin no version."""


def build_live_deployment(deployment: Deployment, version: DeploymentVersion) -> LiveDeployment:
    """Prepare a deployment with one of its versions.

    Raises:
        GatewayError: INVALID_FLOW if the mode is fast and the version has no fast plan.
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
        mode=mode,
        type=DeploymentType(deployment.deployment_type),
        timeout_seconds=deployment.timeout_seconds,
        queue_timeout_seconds=deployment.queue_timeout_seconds,
        cold_start_wait_seconds=deployment.cold_start_wait_seconds,
        on_timeout=OnTimeout(deployment.on_timeout),
        notification_method=NotificationMethod(deployment.notification_method),
        response_format=ResponseFormat(deployment.response_format),
        non_finite=NonFinite(deployment.non_finite),
        include_node_outputs=deployment.include_node_outputs,
        retry_safe=deployment.retry_safe,
        require_idempotency_key=deployment.require_idempotency_key,
        record_runs=RecordRuns(deployment.record_runs),
        record_sample=deployment.record_sample,
        cancel_on_disconnect=deployment.cancel_on_disconnect,
        limits=CallLimits.of(deployment.limits),
        cors_origins=frozenset(map(str.encode, deployment.cors_origins or ())) or None,
        fast_plan=plan,
    )


def read_pins(version: DeploymentVersion) -> dict[str, Pin]:
    """Return the version's pinned models by node id."""
    return {node_id: Pin.from_json(stored) for node_id, stored in version.models.items()}
