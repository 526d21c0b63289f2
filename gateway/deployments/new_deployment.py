"""The row of a new deployment, and what is checked of its webhook. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from gateway.deployments.settings import DeploymentSettings, DeploymentStatus, NotificationMethod
from gateway.errors import GatewayError
from gateway.ids import new_id
from gateway.storage.tables import Deployment, Flow
from protos.errors import ErrorCode


def new_row(flow: Flow, settings: DeploymentSettings) -> Deployment:
    """Return the row of a deployment of a flow."""
    # Any: the columns have several types
    values: Mapping[str, Any] = asdict(settings) | {
        "name": settings.name or f"{flow.name} Deployment"[:200],
        "webhook_events": list(settings.webhook_events),
        "cors_origins": list(settings.cors_origins) if settings.cors_origins else None,
    }
    return Deployment(
        id=new_id(),
        profile_id=flow.profile_id,
        flow_id=flow.id,
        live_version=1,
        status=DeploymentStatus.ACTIVE,
        **values,
    )


def check_webhook(row: Deployment, callback_url: str | None) -> None:
    """Raise VALIDATION_FAILED unless the deployment uses the `callback_url` of a request."""
    message = ""
    if row.notification_method == NotificationMethod.WEBHOOK:
        if not row.callback_url:
            message = "callback_url: expected a URL, as notification_method is webhook"
    elif callback_url:
        message = (
            "notification_method: expected webhook, as callback_url is given, got "
            f"{row.notification_method}; no event would be sent"
        )
    if message:
        raise GatewayError(ErrorCode.VALIDATION_FAILED, message)
