"""Request and response bodies of deployments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Self, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, HttpUrl, TypeAdapter

from gateway.auth.keys import mask
from gateway.auth.schemas import IssuedKeyOut, patch_like
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
from gateway.deployments.slugs import check_slug
from gateway.limits.call_limits import LimitsBody
from gateway.storage.names import DisplayName
from gateway.storage.paging import Page
from gateway.storage.slugs import SLUG_PATTERN
from gateway.storage.tables import MAX_SLUG_LENGTH
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
Slug = Annotated[
    str,
    AfterValidator(check_slug),
    Field(
        json_schema_extra={
            "minLength": 1,
            "maxLength": MAX_SLUG_LENGTH,
            "pattern": f"^{SLUG_PATTERN}$",
        }
    ),
]
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
    """How events of runs are delivered: `none`, or `webhook`: to `callback_url`."""
    callback_url: CallbackUrl | None = _DEFAULTS.callback_url
    """Where a webhook's events are sent; null: there is no webhook."""
    webhook_events: list[WebhookEvent] = list(_DEFAULTS.webhook_events)
    """The events that are sent. Without `run.cancelled`, a cancelled run is a `run.failed`."""
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

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "flow_id": "98593f2f-379e-4fa6-9398-f968c4f16563",
                    "execution_mode": "sync",
                    "timeout_seconds": 30,
                }
            ]
        }
    )

    flow_id: str
    """Id of the flow whose draft becomes version 1."""
    name: DisplayName | None = None
    """Defaults to the flow's name and " Deployment"."""
    slug: Slug | None = None
    """What names it in `named_url`; defaults to its name in lower-case letters, digits and hyphens,
    with `-2`, `-3` and so on behind it where another deployment of yours has that."""
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

    model_config = ConfigDict(
        json_schema_extra=patch_like({"name": "Iris classifier", "timeout_seconds": 60})
    )

    name: DisplayName = ""
    """Its name for people; calls use the id or the slug, which a new name does not change."""
    slug: Slug = ""
    """What names it in `named_url`; the former one no longer does, and is free."""

    def change(self) -> SettingsChange:
        """Return the members that were sent."""
        return cast(SettingsChange, self.model_dump(exclude_unset=True))


class PresetOut(BaseModel):
    """A preset: a situation and its recommended settings."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: Preset
    """What `preset` of a new deployment may be."""
    situation: str
    """When to choose it, for people."""
    deployment_type: DeploymentType
    """The type that a new deployment gets if it says none."""
    execution_mode: ExecutionMode
    """The mode that a new deployment gets if it says none."""
    alternatives: list[ExecutionMode]
    """Other suitable modes."""


class PresetList(BaseModel):
    """All presets."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    items: list[PresetOut]
    """All presets, in the order of the documentation."""

    @classmethod
    def listed(cls) -> Self:
        """Return all presets, in documentation order."""
        items = [PresetOut(name=name, **asdict(suited)) for name, suited in PRESETS.items()]
        return cls(items=items)


class PinnedModel(BaseModel):
    """A model version that a deployment runs."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    node: str
    """Id of the node that calls the model."""
    model: str
    """Name of the model."""
    version: int
    """Number of the model version."""


class DeploymentWarningOut(BaseModel):
    """A warning about a deployment, with the model version that it is about."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)

    code: DeploymentWarningCode
    """`model_not_served`: no inference server is meant to run for the model, so that calls fail."""
    model: str
    """Name of the model."""
    version: int
    """Number of the model version."""
    message: str
    """The warning as a sentence for people."""


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
    """The median of its last 20 boots; null: it has had none."""
    server_id: str | None
    """Null: the model version has no inference server."""


class DeploymentOut(BaseModel):
    """A deployment."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)

    id: str
    """Id of the deployment, as its routes take it."""
    flow_id: str
    """Id of the flow that its versions were made of."""
    name: str
    """Its name for people; calls use the id or the slug."""
    slug: str | None
    """What names it in `named_url`, and in place of its id in the paths of its routes. Null: a
    gateway of an earlier release has made it during an upgrade, and a change may set it."""
    version: int
    """The live version."""
    newest_version: int
    """The highest number of its versions, live or not."""
    draft_differs: bool
    """Whether the flow was edited since, so that a redeploy would change the graph."""
    execution_mode: ExecutionMode
    """How the API answers. `fast` requires one `api_input`, one `inference`, one `api_output`."""
    deployment_type: DeploymentType
    """Where the flow runs; any mode can be combined with any type."""
    timeout_seconds: int
    """Maximum duration of a run."""
    notification_method: NotificationMethod
    """How events of runs are delivered: `none`, or `webhook`: to `callback_url`."""
    callback_url: str | None
    """Where a webhook's events are sent; null: there is no webhook."""
    webhook_events: list[WebhookEvent]
    """The events that are sent. Without `run.cancelled`, a cancelled run is a `run.failed`."""
    response_format: ResponseFormat
    """`auto`: `envelope` for callers that use JavaScript's `fetch`, `flat` for all others."""
    non_finite: NonFinite
    """What stands for NaN and infinities in `output_data`: the strings "NaN", "Infinity" and
    "-Infinity", null, or an error."""
    queue_timeout_seconds: int | None
    """How long a run may wait for a worker before it fails; null: unlimited."""
    cold_start_wait_seconds: int
    """How long a sync call waits for a worker before it is answered 503."""
    on_timeout: OnTimeout
    """What happens to a sync run after `timeout_seconds`: `stop` it, or `detach` and continue."""
    include_node_outputs: bool
    """Whether responses include the output of each node."""
    retry_safe: bool
    """Whether a run may be restarted after its worker was lost: it must be idempotent."""
    require_idempotency_key: bool
    """Whether calls without the header Idempotency-Key are refused."""
    record_runs: RecordRuns
    """Which fast calls are recorded as runs: `all`, each before its answer, which contains its
    `flow_run_id`; `errors`; or `sample`: errors, and a share of the others, up to 60 a minute."""
    record_sample: float
    """With `record_runs: sample`, the share of successful calls that are recorded."""
    cancel_on_disconnect: bool
    """Whether a sync run is cancelled when its caller disconnects. Not for calls with an
    Idempotency-Key, as they can be repeated."""
    limits: LimitsBody
    """Shared by all keys; limits of a key apply in addition."""
    cors_origins: list[str] | None
    """Origins whose pages may call it, such as `https://app.example.com`; or `*`. Null: none."""
    status: DeploymentStatus
    """`active`, or `paused`: calls are answered 409 until it is resumed."""
    trigger_path: str
    """The path of `trigger_url`."""
    trigger_url: str
    """The address that is called: below the operator's public URL, else where this answer was
    asked for."""
    named_path: str | None
    """The path of `named_url`."""
    named_url: str | None
    """A readable address, which is called as `trigger_url` is: of your handle and the slug, with
    which it changes. Null: it has no slug."""
    created_by: str
    """The profile."""
    readiness: ReadinessOut | None
    """Of the inference servers of the live version; null: it calls no model."""
    last_call_at: datetime | None
    """The minute of the last call in the last 24 hours; counts are some seconds late."""
    calls_24h: int
    """Calls in the last 24 hours; a batch is one."""
    calls_by_hour: list[int]
    """The same calls by hour of the clock: 25 numbers, the present hour last."""
    errors_24h: int
    """How many calls of the last 24 hours were answered with an error."""
    p95_seconds: float | None
    """Of the newest minutes with calls in the last 24 hours."""
    models: list[PinnedModel]
    """The model versions that the live version pins."""
    warnings: list[DeploymentWarningOut]
    """Why calls of the live version fail as things are, and what to do."""
    rollout: RolloutOut | None
    """The last version that is, or was, tried beside the live one."""
    created_at: datetime
    """When it was created (UTC)."""
    updated_at: datetime
    """When it was last changed (UTC)."""

    @classmethod
    def of(cls, view: DeploymentView, public_url: str) -> Self:
        """Convert a view of a deployment that is called at `public_url`."""
        return cls.model_validate(_shown(view, public_url))


class ChangedDeploymentOut(DeploymentOut):
    """A changed deployment, with the secret of a webhook created by the change."""

    webhook_secret: str | None
    """Shown this once: what signs the events."""

    @classmethod
    def of(cls, view: DeploymentView, public_url: str) -> Self:
        """Convert a view, with its secret."""
        shown = _shown(view, public_url)
        return cls.model_validate({**shown, "webhook_secret": view.webhook_secret})


class CheckOut(BaseModel):
    """One thing that was checked before a deployment is made."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)

    code: CheckCode
    """What was checked."""
    result: CheckResult
    """`warning`: it can be deployed, and calls may fail; `error`: it cannot."""
    message: str
    """What was found, as a sentence for people."""
    field: str | None
    """The setting that it is about."""


class FastOut(BaseModel):
    """Whether mode `fast` is possible."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)

    possible: bool
    """Whether the flow can be deployed with the mode `fast`."""
    reason: str | None
    """Why not."""


class CoveringKeyOut(BaseModel):
    """An active key that can call a deployment."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    """Id of the key, as its routes take it."""
    name: str
    """Its name in lists."""
    masked: str
    """Its first eight and last five characters, with `********` between them."""


class DeploymentPlanOut(BaseModel):
    """What `dry_run` has found out: nothing was made."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)

    deployable: bool
    """Whether no check has found an error."""
    name: str
    """The name that it would have."""
    execution_mode: ExecutionMode
    """The mode that it would have."""
    models: list[PinnedModel]
    """The model versions that it would pin."""
    warnings: list[DeploymentWarningOut]
    """Why calls would fail as things are, and what to do."""
    checks: list[CheckOut]
    """What was checked before it is made, with the results."""
    fast: FastOut
    """Whether mode `fast` is possible, and if not, why."""
    readiness: ReadinessOut | None
    """How the inference servers of these models are; null: it calls no model."""
    creates_key: bool
    """Whether an API key would be created with it."""
    covering_keys: list[CoveringKeyOut]
    """The active keys that can call it already."""

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
    """`long_calls`: they take longer than proxies wait; `fast_possible`: the flow fits mode `fast`;
    `waits_for_workers`: runs mostly wait; `rate_limited`: its own limit refuses calls."""
    text: str
    """The advice as a sentence for people."""
    evidence: dict[str, float]
    """The numbers that it is based on."""
    fix: AdviceFixOut
    """The setting to change, and its new value."""


class AdviceList(BaseModel):
    """Advice about a deployment."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    items: list[AdviceOut]
    """Empty: there is no advice, or there were fewer than 20 calls in the last 24 hours."""

    @classmethod
    def of(cls, advice: Sequence[Advice]) -> Self:
        """Convert advice."""
        return cls(items=[AdviceOut.model_validate(each) for each in advice])


class NewDeploymentOut(DeploymentOut):
    """A new deployment, with the key and the webhook secret created with it, if any."""

    api_key: IssuedKeyOut | None
    """The key that was created with it, shown this once; null: none was."""
    webhook_secret: str | None
    """Shown this once: what signs the events."""
    checks: list[CheckOut]
    """What was checked before it is made, with the results."""
    fast: FastOut
    """Whether mode `fast` is possible, and if not, why."""

    @classmethod
    def of(cls, view: DeploymentView, public_url: str) -> Self:
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
        return cls.model_validate({**_shown(view, public_url), **once})


class DeploymentPage(BaseModel):
    """A page of deployments."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    items: list[DeploymentOut]
    """The deployments of this page, the newest first."""
    next_cursor: str | None
    """Send it as `cursor` to get the next page; null: this is the last one."""

    @classmethod
    def of(cls, page: Page[DeploymentView], public_url: str) -> Self:
        """Convert a page of views."""
        items = [DeploymentOut.of(view, public_url) for view in page.items]
        return cls(items=items, next_cursor=page.next_cursor)


def _shown(view: DeploymentView, public_url: str) -> dict[str, object]:
    row = view.row
    path = f"/node/deployment-trigger/{row.id}/"
    is_named = view.handle is not None and row.slug is not None
    named_path = f"/v1/{view.handle}/{row.slug}" if is_named else None
    columns = {
        name: getattr(row, name) for name in DeploymentOut.model_fields if hasattr(row, name)
    }
    return {
        **columns,
        "version": row.live_version,
        "trigger_path": path,
        "newest_version": view.newest_version,
        "trigger_url": f"{public_url}{path}",
        "named_path": named_path,
        "named_url": None if named_path is None else f"{public_url}{named_path}",
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
