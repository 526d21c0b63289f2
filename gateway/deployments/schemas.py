"""Request and response bodies of deployments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Self, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, HttpUrl, TypeAdapter

from gateway.auth.keys import mask
from gateway.auth.schemas import IssuedKeyOut, without_defaults
from gateway.deployments.advice import Advice, AdviceCode
from gateway.deployments.deployment_view import DeploymentView
from gateway.deployments.deployment_warnings import DeploymentWarningCode
from gateway.deployments.plan import (
    CheckCode,
    CheckResult,
    DeploymentPlan,
    KeyChoice,
    Launch,
)
from gateway.deployments.presets import PRESETS, Preset
from gateway.deployments.readiness import ReadinessState
from gateway.deployments.rollouts.schemas import RolloutOut
from gateway.deployments.settings import (
    DeploymentSettings,
    DeploymentStatus,
    DeploymentType,
    ExecutionMode,
    NonFinite,
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
"""As browsers send it: scheme, host and port, without a path or trailing slash."""
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]

_DEFAULTS = DeploymentSettings()


class SettingsIn(BaseModel):
    """The settings of a deployment."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    execution_mode: ExecutionMode = _DEFAULTS.execution_mode
    """How the API answers. `fast` requires one `api_input`, one `inference`, one `api_output`."""
    deployment_type: DeploymentType = _DEFAULTS.deployment_type
    """Where the flow runs; any mode can be combined with any type."""
    timeout_seconds: Seconds = _DEFAULTS.timeout_seconds
    """Maximum duration of a run."""
    notification_method: NotificationMethod = _DEFAULTS.notification_method
    callback_url: CallbackUrl | None = _DEFAULTS.callback_url
    webhook_events: list[WebhookEvent] = list(_DEFAULTS.webhook_events)
    response_format: ResponseFormat = _DEFAULTS.response_format
    """`auto`: `envelope` for callers that use JavaScript's `fetch`, `flat` for all others."""
    non_finite: NonFinite = _DEFAULTS.non_finite
    """What stands for NaN and infinities in `output_data`: the strings "NaN", "Infinity" and
    "-Infinity", null, or an error."""
    queue_timeout_seconds: Seconds | None = _DEFAULTS.queue_timeout_seconds
    """How long a run may wait for a worker before it fails; null: unlimited."""
    cold_start_wait_seconds: ColdStart = _DEFAULTS.cold_start_wait_seconds
    """How long a sync call waits for a worker before it is answered 503."""
    on_timeout: OnTimeout = _DEFAULTS.on_timeout
    """What happens to a sync run after `timeout_seconds`: `stop` it, or `detach` and continue."""
    include_node_outputs: bool = _DEFAULTS.include_node_outputs
    """Whether responses include the output of each node."""
    retry_safe: bool = _DEFAULTS.retry_safe
    """Whether a run may be restarted after its worker was lost: it must be idempotent."""
    require_idempotency_key: bool = _DEFAULTS.require_idempotency_key
    """Whether calls without the header Idempotency-Key are refused."""
    record_runs: RecordRuns = _DEFAULTS.record_runs
    """Which fast calls are recorded as runs: `all`, each before its answer, which contains its
    `flow_run_id`; `errors`; or `sample`: errors, and a share of the others, up to 60 a minute."""
    record_sample: Share = _DEFAULTS.record_sample
    """With `record_runs: sample`, the share of successful calls that are recorded."""
    cancel_on_disconnect: bool = _DEFAULTS.cancel_on_disconnect
    """Whether a sync run is cancelled when its caller disconnects. Not for calls with an
    Idempotency-Key, as they can be repeated."""
    limits: LimitsBody | None = None
    """Shared by all keys; limits of a key apply in addition. PATCH changes only given members."""
    cors_origins: list[Origin] | None = Field(default=None, max_length=100)
    """Origins whose pages may call it, such as `https://app.example.com`; or `*`."""


class DeploymentIn(SettingsIn):
    """A flow to deploy, with settings."""

    flow_id: str
    name: DisplayName | None = None
    """Defaults to the flow's name and " Deployment"."""
    preset: Preset | None = None
    """Default for mode and type, see `/node/deployments/presets/`."""
    start_server: bool = False
    """Whether the inference servers of its models are started, also if a user has stopped them. In
    mode `fast` those that are missing are started anyway."""
    api_key: KeyChoice = KeyChoice.AUTO
    """The key that is created: `auto`: one for all deployments, if no active key covers this one;
    `new`: one for this deployment only; or `none`."""

    def launch(self) -> Launch:
        """Return what is made with the deployment."""
        return Launch(start_server=self.start_server, api_key=self.api_key)

    def settings(self) -> DeploymentSettings:
        """Convert to the service's type."""
        values = self.model_dump(exclude={"flow_id", "preset", "start_server", "api_key"})
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
    """The settings to change; omitted members are unchanged."""

    model_config = ConfigDict(json_schema_extra=without_defaults)

    name: DisplayName = ""

    def change(self) -> SettingsChange:
        """Return the members that were sent."""
        return cast(SettingsChange, self.model_dump(exclude_unset=True))


class PresetOut(BaseModel):
    """A preset: a situation and its recommended settings."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: Preset
    situation: str
    deployment_type: DeploymentType
    execution_mode: ExecutionMode
    alternatives: list[ExecutionMode]
    """Other suitable modes."""


class PresetList(BaseModel):
    """All presets."""

    items: list[PresetOut]

    @classmethod
    def listed(cls) -> Self:
        """Return all presets, in documentation order."""
        items = [PresetOut(name=name, **asdict(suited)) for name, suited in PRESETS.items()]
        return cls(items=items)


class PinnedModel(BaseModel):
    """A model version that a deployment runs."""

    node: str
    model: str
    version: int


class DeploymentWarningOut(BaseModel):
    """A warning about a deployment, with the model version that it is about."""

    model_config = ConfigDict(from_attributes=True)

    code: DeploymentWarningCode
    model: str
    version: int
    message: str


class ReadinessOut(BaseModel):
    """How the inference servers of a deployment are: the state of the least ready one."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)

    state: ReadinessState
    """`asleep`: the next call starts it; `stopped`: nothing does."""
    phase: str | None
    """Of a boot: `fetching`, `spawning`, `loading` or `warming`."""
    reason: str | None
    """Why it failed, or waits."""
    elapsed_seconds: float | None
    """Since it began to boot."""
    expected_seconds: float | None
    """How long its last boot took."""
    server_id: str | None
    """Null: the model version has no inference server."""


class DeploymentOut(BaseModel):
    """A deployment."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)

    id: str
    flow_id: str
    name: str
    version: int
    """The live version."""
    newest_version: int
    draft_differs: bool
    """Whether the flow was edited since, so that a redeploy would change the graph."""
    execution_mode: ExecutionMode
    deployment_type: DeploymentType
    timeout_seconds: int
    notification_method: NotificationMethod
    callback_url: str | None
    webhook_events: list[WebhookEvent]
    response_format: ResponseFormat
    non_finite: NonFinite
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
    trigger_url: str
    """The address that is called, below the operator's public URL."""
    created_by: str
    """The profile."""
    readiness: ReadinessOut | None
    """Of the inference servers of the live version; null: it calls no model."""
    last_call_at: datetime | None
    """The minute of the last call in the last 24 hours; counts are some seconds late."""
    calls_24h: int
    calls_by_hour: list[int]
    """The same calls by hour of the clock: 25 numbers, the present hour last."""
    errors_24h: int
    p95_seconds: float | None
    """Of the newest minutes with calls in the last 24 hours."""
    models: list[PinnedModel]
    warnings: list[DeploymentWarningOut]
    """Why calls of the live version fail as things are, and what to do."""
    rollout: RolloutOut | None
    """The last version that is, or was, tried beside the live one."""
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, view: DeploymentView) -> Self:
        """Convert a view."""
        return cls.model_validate(_shown(view))


class ChangedDeploymentOut(DeploymentOut):
    """A changed deployment, with the secret of a webhook created by the change."""

    webhook_secret: str | None
    """Shown this once: what signs the events."""

    @classmethod
    def of(cls, view: DeploymentView) -> Self:
        """Convert a view, with its secret."""
        return cls.model_validate({**_shown(view), "webhook_secret": view.webhook_secret})


class CheckOut(BaseModel):
    """One thing that was checked before a deployment is made."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)

    code: CheckCode
    result: CheckResult
    """`warning`: it can be deployed, and calls may fail; `error`: it cannot."""
    message: str
    field: str | None
    """The setting that it is about."""


class FastOut(BaseModel):
    """Whether mode `fast` is possible."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)

    possible: bool
    reason: str | None
    """Why not."""


class CoveringKeyOut(BaseModel):
    """An active key that can call a deployment."""

    id: str
    name: str
    masked: str


class DeploymentPlanOut(BaseModel):
    """What `dry_run` has found out: nothing was made."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)

    deployable: bool
    """Whether no check has found an error."""
    name: str
    execution_mode: ExecutionMode
    models: list[PinnedModel]
    warnings: list[DeploymentWarningOut]
    checks: list[CheckOut]
    fast: FastOut
    readiness: ReadinessOut | None
    creates_key: bool
    covering_keys: list[CoveringKeyOut]

    @classmethod
    def of(cls, plan: DeploymentPlan) -> Self:
        """Convert a plan."""
        keys = [
            CoveringKeyOut(
                id=key.id, name=key.name, masked=mask(key.display_prefix, key.display_suffix)
            )
            for key in plan.covering_keys
        ]
        return cls.model_validate(
            {
                "deployable": plan.deployable,
                "name": plan.name,
                "execution_mode": plan.mode,
                "models": pinned_models(plan.models),
                "warnings": plan.warnings,
                "checks": plan.checks,
                "fast": plan.fast,
                "readiness": plan.readiness,
                "creates_key": plan.creates_key,
                "covering_keys": keys,
            }
        )


class AdviceFixOut(BaseModel):
    """The change of settings that follows from advice."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)

    field: str
    """A setting of the deployment."""
    # Any: of the setting
    value: Any
    """What `PATCH` may give it."""


class AdviceOut(BaseModel):
    """Advice about the settings of a deployment."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)

    code: AdviceCode
    text: str
    evidence: dict[str, float]
    """The numbers that it is based on."""
    fix: AdviceFixOut


class AdviceList(BaseModel):
    """Advice about a deployment."""

    items: list[AdviceOut]

    @classmethod
    def of(cls, advice: Sequence[Advice]) -> Self:
        """Convert advice."""
        return cls(items=[AdviceOut.model_validate(each) for each in advice])


class NewDeploymentOut(DeploymentOut):
    """A new deployment, with the key and the webhook secret created with it, if any."""

    api_key: IssuedKeyOut | None
    webhook_secret: str | None
    """Shown this once: what signs the events."""
    checks: list[CheckOut]
    fast: FastOut

    @classmethod
    def of(cls, view: DeploymentView) -> Self:
        """Convert a view, with its key and secret."""
        key = view.key
        plan = view.plan
        if plan is None:
            raise TypeError("expected the view of a new deployment")
        once = {
            "api_key": IssuedKeyOut.of_issued(key) if key else None,
            "webhook_secret": view.webhook_secret,
            "checks": plan.checks,
            "fast": plan.fast,
        }
        return cls.model_validate({**_shown(view), **once})


class DeploymentPage(BaseModel):
    """A page of deployments."""

    items: list[DeploymentOut]
    next_cursor: str | None

    @classmethod
    def of(cls, page: Page[DeploymentView]) -> Self:
        """Convert a page of views."""
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
        "trigger_url": view.trigger_url,
        "created_by": row.profile_id,
        "readiness": view.readiness,
        "last_call_at": view.usage.last_call_at,
        "calls_24h": view.usage.calls,
        "calls_by_hour": view.usage.calls_by_hour,
        "errors_24h": view.usage.errors,
        "p95_seconds": view.usage.p95_seconds,
        "draft_differs": view.draft_differs,
        "models": pinned_models(view.models),
        "warnings": view.warnings,
        "rollout": None if view.rollout is None else RolloutOut.of(view.rollout),
        "limits": LimitsBody.of(row.limits),
    }


def pinned_models(models: Mapping[str, Any]) -> list[PinnedModel]:
    """Convert the pinned models of a version. Any: as in `DeploymentVersion.models`."""
    return [
        PinnedModel(node=node_id, model=pin["model"], version=pin["version"])
        for node_id, pin in models.items()
    ]
