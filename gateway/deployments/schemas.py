"""Deployments over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Self, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, HttpUrl, TypeAdapter

from gateway.auth.schemas import IssuedKeyOut, without_defaults
from gateway.deployments.deployment_view import DeploymentView
from gateway.deployments.presets import PRESETS, Preset
from gateway.deployments.settings import (
    DeploymentSettings,
    DeploymentStatus,
    DeploymentType,
    ExecutionMode,
    NotificationMethod,
    OnTimeout,
    RecordRuns,
    ResponseFormat,
    SettingsChange,
)
from gateway.limits.call_limits import LimitsBody
from gateway.storage.names import DisplayName
from gateway.storage.paging import Page
from gateway.webhooks.events import WebhookEvent

_URL = TypeAdapter(HttpUrl)


def _as_written(url: str) -> str:
    _URL.validate_python(url)
    return url


CallbackUrl = Annotated[str, Field(max_length=2000), AfterValidator(_as_written)]
Seconds = Annotated[int, Field(ge=1, le=86_400)]
ColdStart = Annotated[int, Field(ge=0, le=300)]
Origin = Annotated[str, Field(max_length=300, pattern=r"^(\*|https?://[^/?#\s@]+)$")]
"""As browsers send it: scheme, host and port, no path and no slash at the end."""
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]

_DEFAULTS = DeploymentSettings()


class SettingsIn(BaseModel):
    """The settings that can be given when a deployment is made, and changed afterwards."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    execution_mode: ExecutionMode = _DEFAULTS.execution_mode
    """How the API answers. `fast` needs a flow of one `api_input`, `inference` and `api_output`."""
    deployment_type: DeploymentType = _DEFAULTS.deployment_type
    """Where the flow runs; independent of the mode."""
    timeout_seconds: Seconds = _DEFAULTS.timeout_seconds
    """How long a run may take."""
    notification_method: NotificationMethod = _DEFAULTS.notification_method
    callback_url: CallbackUrl | None = _DEFAULTS.callback_url
    webhook_events: list[WebhookEvent] = list(_DEFAULTS.webhook_events)
    response_format: ResponseFormat = _DEFAULTS.response_format
    queue_timeout_seconds: Seconds | None = _DEFAULTS.queue_timeout_seconds
    """How long a run may wait for a worker before it fails; null: as long as it takes."""
    cold_start_wait_seconds: ColdStart = _DEFAULTS.cold_start_wait_seconds
    """How long a sync call waits for a worker to become ready before it is answered 503."""
    on_timeout: OnTimeout = _DEFAULTS.on_timeout
    """What becomes of a sync run after `timeout_seconds`: it is stopped, or goes on unattended."""
    include_node_outputs: bool = _DEFAULTS.include_node_outputs
    """Whether answers carry what each node gave."""
    retry_safe: bool = _DEFAULTS.retry_safe
    """Whether a run may begin again after its worker was lost: doing things twice does no harm."""
    require_idempotency_key: bool = _DEFAULTS.require_idempotency_key
    """Whether calls without the header Idempotency-Key are refused."""
    record_runs: RecordRuns = _DEFAULTS.record_runs
    """Which fast calls leave a run behind."""
    record_sample: Share = _DEFAULTS.record_sample
    """With `record_runs: sample`, the share of successful calls that do."""
    cancel_on_disconnect: bool = _DEFAULTS.cancel_on_disconnect
    """Whether a sync run is cancelled when its caller hangs up; not where the call carried an
    Idempotency-Key, for that will come again."""
    limits: LimitsBody | None = None
    """Of all keys together; those of a key count beside them. A PATCH changes what it names."""
    cors_origins: list[Origin] | None = Field(default=None, max_length=100)
    """Whose pages may call it from a browser, such as `https://app.example.com`; or `*`."""


class DeploymentIn(SettingsIn):
    """A flow to deploy, and how it shall answer."""

    flow_id: str
    name: DisplayName | None = None
    """Left out: the flow's name and " Deployment"."""
    preset: Preset | None = None
    """Gives mode and type where they are left out: see `/node/deployments/presets/`."""

    def settings(self) -> DeploymentSettings:
        """Return the settings as the service takes them."""
        values = self.model_dump(exclude={"flow_id", "preset"})
        if self.preset is not None:
            suited = PRESETS[self.preset]
            for field in ("execution_mode", "deployment_type"):
                if field not in self.model_fields_set:
                    values[field] = getattr(suited, field)
        return DeploymentSettings(
            **{
                **values,
                "webhook_events": tuple(self.webhook_events),
                "limits": self.limits.stored() if self.limits else None,
                "cors_origins": tuple(self.cors_origins) if self.cors_origins else None,
            }
        )


class DeploymentPatch(SettingsIn):
    """Settings to change; members left out stay as they are, whatever their defaults here."""

    model_config = ConfigDict(json_schema_extra=without_defaults)

    name: DisplayName = ""

    def change(self) -> SettingsChange:
        """Return the members that were sent."""
        return cast(SettingsChange, self.model_dump(exclude_unset=True))


class PresetOut(BaseModel):
    """A situation of the documentation, and what suits it."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: Preset
    situation: str
    deployment_type: DeploymentType
    execution_mode: ExecutionMode
    alternatives: list[ExecutionMode]
    """Other modes that suit it as well."""


class PresetList(BaseModel):
    """All presets."""

    items: list[PresetOut]

    @classmethod
    def listed(cls) -> Self:
        """Return them in the order of the documentation."""
        items = [PresetOut(name=name, **asdict(suited)) for name, suited in PRESETS.items()]
        return cls(items=items)


class PinnedModel(BaseModel):
    """A model version that a deployment runs."""

    node: str
    model: str
    version: int


class DeploymentOut(BaseModel):
    """A deployment."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)

    id: str
    flow_id: str
    name: str
    version: int
    """The live one."""
    newest_version: int
    draft_differs: bool
    """Whether the flow was edited since: a redeploy would push another graph."""
    execution_mode: ExecutionMode
    deployment_type: DeploymentType
    timeout_seconds: int
    notification_method: NotificationMethod
    callback_url: str | None
    webhook_events: list[WebhookEvent]
    response_format: ResponseFormat
    queue_timeout_seconds: int | None
    cold_start_wait_seconds: int
    on_timeout: OnTimeout
    include_node_outputs: bool
    retry_safe: bool
    require_idempotency_key: bool
    record_runs: RecordRuns
    record_sample: float
    cancel_on_disconnect: bool
    limits: LimitsBody
    cors_origins: list[str] | None
    status: DeploymentStatus
    trigger_path: str
    models: list[PinnedModel]
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, view: DeploymentView) -> Self:
        """Return the deployment as it is sent."""
        return cls.model_validate(_shown(view))


class ChangedDeploymentOut(DeploymentOut):
    """A deployment just changed, with the secret of a webhook that was made by that."""

    webhook_secret: str | None
    """Shown this once: what signs the events."""

    @classmethod
    def of(cls, view: DeploymentView) -> Self:
        """Return the deployment as it is sent, once with its secret."""
        return cls.model_validate({**_shown(view), "webhook_secret": view.webhook_secret})


class NewDeploymentOut(DeploymentOut):
    """A deployment just made, with the key and the secret that were made for it, where any were."""

    api_key: IssuedKeyOut | None
    webhook_secret: str | None
    """Shown this once: what signs the events."""

    @classmethod
    def of(cls, view: DeploymentView) -> Self:
        """Return the deployment as it is sent, once with its key and its webhook's secret."""
        key = view.key
        once = {
            "api_key": IssuedKeyOut.of_issued(key) if key else None,
            "webhook_secret": view.webhook_secret,
        }
        return cls.model_validate({**_shown(view), **once})


class DeploymentPage(BaseModel):
    """A page of deployments."""

    items: list[DeploymentOut]
    next_cursor: str | None

    @classmethod
    def of(cls, page: Page[DeploymentView]) -> Self:
        """Return the page as it is sent."""
        items = [DeploymentOut.of(view) for view in page.items]
        return cls(items=items, next_cursor=page.next_cursor)


def _shown(view: DeploymentView) -> dict[str, object]:
    row = view.row
    columns = {
        name: getattr(row, name) for name in DeploymentOut.model_fields if hasattr(row, name)
    }
    return {
        **columns,
        "version": row.live_version,
        "trigger_path": f"/node/deployment-trigger/{row.id}/",
        "newest_version": view.newest_version,
        "draft_differs": view.draft_differs,
        "models": pinned_models(view.models),
        "limits": LimitsBody.of(row.limits),
    }


def pinned_models(models: Mapping[str, Any]) -> list[PinnedModel]:
    """Return the models of a version. Any: pins, as `DeploymentVersion.models` has them."""
    return [
        PinnedModel(node=node_id, model=pin["model"], version=pin["version"])
        for node_id, pin in models.items()
    ]
