"""Deployments over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, HttpUrl, TypeAdapter

from gateway.auth.schemas import IssuedKeyOut
from gateway.deployments.modes import (
    DeploymentSettings,
    DeploymentType,
    ExecutionMode,
    NotificationMethod,
    ResponseFormat,
    SettingsChange,
    Status,
    WebhookEvent,
)
from gateway.deployments.service import Deployed
from gateway.storage.paging import Page

_URL = TypeAdapter(HttpUrl)


def _as_written(url: str) -> str:
    _URL.validate_python(url)
    return url


def _without_defaults(schema: dict[str, Any]) -> None:
    for member in schema["properties"].values():
        member.pop("default", None)


DeploymentName = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
CallbackUrl = Annotated[str, Field(max_length=2000), AfterValidator(_as_written)]
Seconds = Annotated[int, Field(ge=1, le=86_400)]


class DeploymentIn(BaseModel):
    """A flow to deploy, and how it shall answer."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    flow_id: str
    name: DeploymentName | None = None
    """Left out: the flow's name and " Deployment"."""
    execution_mode: ExecutionMode = ExecutionMode.SYNC
    deployment_type: DeploymentType = DeploymentType.API
    timeout_seconds: Seconds = 3600
    notification_method: NotificationMethod = NotificationMethod.NONE
    callback_url: CallbackUrl | None = None
    webhook_events: list[WebhookEvent] = [WebhookEvent.COMPLETED, WebhookEvent.FAILED]
    response_format: ResponseFormat = ResponseFormat.FLAT

    def settings(self) -> DeploymentSettings:
        """Return the settings as the service takes them."""
        values = self.model_dump(exclude={"flow_id"})
        return DeploymentSettings(**{**values, "webhook_events": tuple(self.webhook_events)})


class DeploymentPatch(BaseModel):
    """Settings to change; members left out stay as they are, whatever their defaults here."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_without_defaults)

    name: DeploymentName = ""
    execution_mode: ExecutionMode = ExecutionMode.SYNC
    deployment_type: DeploymentType = DeploymentType.API
    timeout_seconds: Seconds = 3600
    notification_method: NotificationMethod = NotificationMethod.NONE
    callback_url: CallbackUrl | None = None
    webhook_events: list[WebhookEvent] = []
    response_format: ResponseFormat = ResponseFormat.FLAT

    def change(self) -> SettingsChange:
        """Return the members that were sent."""
        return cast(SettingsChange, self.model_dump(exclude_unset=True))


class PinnedModel(BaseModel):
    """A model version that a deployment runs."""

    node: str
    model: str
    version: int


class DeploymentOut(BaseModel):
    """A deployment."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    flow_id: str
    name: str
    version: int
    execution_mode: ExecutionMode
    deployment_type: DeploymentType
    timeout_seconds: int
    notification_method: NotificationMethod
    callback_url: str | None
    webhook_events: list[WebhookEvent]
    response_format: ResponseFormat
    status: Status
    trigger_path: str
    models: list[PinnedModel]
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, deployed: Deployed) -> Self:
        """Return the deployment as it is sent."""
        return cls.model_validate(_shown(deployed))


class NewDeploymentOut(DeploymentOut):
    """A deployment just made, with the key that was made for it, where one was."""

    api_key: IssuedKeyOut | None

    @classmethod
    def of(cls, deployed: Deployed) -> Self:
        """Return the deployment as it is sent, once with its key."""
        key = deployed.key
        shown = IssuedKeyOut.of_issued(key) if key else None
        return cls.model_validate({**_shown(deployed), "api_key": shown})


class DeploymentPage(BaseModel):
    """A page of deployments."""

    items: list[DeploymentOut]
    next_cursor: str | None

    @classmethod
    def of(cls, page: Page[Deployed]) -> Self:
        """Return the page as it is sent."""
        items = [DeploymentOut.of(deployed) for deployed in page.items]
        return cls(items=items, next_cursor=page.next_cursor)


def _shown(deployed: Deployed) -> dict[str, object]:
    row = deployed.row
    columns = {
        name: getattr(row, name) for name in DeploymentOut.model_fields if hasattr(row, name)
    }
    models = [
        {"node": node_id, "model": pin["model"], "version": pin["version"]}
        for node_id, pin in deployed.models.items()
    ]
    return {
        **columns,
        "version": row.live_version,
        "trigger_path": f"/node/deployment-trigger/{row.id}/",
        "models": models,
    }
