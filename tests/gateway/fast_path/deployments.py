"""Builds fast deployments that no inference server answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gateway.deployments.live_deployment import LiveDeployment
from gateway.deployments.settings import (
    DeploymentType,
    ExecutionMode,
    NonFinite,
    NotificationMethod,
    OnTimeout,
    RecordRuns,
    ResponseFormat,
)
from tests.gateway.runs.builders import DEPLOYMENT, FLOW, PROFILE


def live_deployment(**changes: Any) -> LiveDeployment:
    """Return a deployment with the default settings, or others: Any, fields of LiveDeployment."""
    return replace(
        LiveDeployment(
            id=DEPLOYMENT,
            profile_id=PROFILE,
            name="fast",
            flow_id=FLOW,
            version=1,
            mode=ExecutionMode.FAST,
            type=DeploymentType.API,
            timeout_seconds=60,
            queue_timeout_seconds=None,
            cold_start_wait_seconds=20,
            on_timeout=OnTimeout.STOP,
            notification_method=NotificationMethod.NONE,
            response_format=ResponseFormat.FLAT,
            include_node_outputs=True,
            retry_safe=False,
            require_idempotency_key=False,
            record_runs=RecordRuns.SAMPLE,
            record_sample=1.0,
            cancel_on_disconnect=False,
            limits=None,
            cors_origins=None,
            non_finite=NonFinite.STRING,
            fast_plan=None,
        ),
        **changes,
    )
