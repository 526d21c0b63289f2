"""A deployment's settings: enumerations and the documented defaults.

Settings belong to the deployment, not to a version; a version pins the graph and the models.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypedDict

from gateway.webhooks.events import WebhookEvent


class ExecutionMode(StrEnum):
    """How the API answers."""

    SYNC = "sync"
    """With the result, once the flow has finished."""
    ASYNC = "async"
    """At once; clients poll for the result."""
    FAST = "fast"
    """With the inference server's response, bypassing the flow engine."""


class DeploymentType(StrEnum):
    """Where the flow runs."""

    API = "api"
    """On a worker."""
    SERVER = "server"
    """In the gateway process."""


class NotificationMethod(StrEnum):
    """How run events are delivered."""

    NONE = "none"
    """Not at all."""
    WEBHOOK = "webhook"
    """To the callback URL."""


class ResponseFormat(StrEnum):
    """The format of response bodies."""

    AUTO = "auto"
    """`envelope` for callers that use JavaScript's `fetch`, `flat` for all others."""
    FLAT = "flat"
    """The fields of the run, repeated as `data`."""
    ENVELOPE = "envelope"
    """`status: success`, `message`, and the run as `data`."""


class NonFinite(StrEnum):
    """What stands for NaN and infinities, which JSON does not have, in `output_data`."""

    STRING = "string"
    """"NaN", "Infinity" and "-Infinity", as in protobuf's JSON."""
    NULL = "null"
    """null: they are lost."""
    ERROR = "error"
    """Nothing: the call fails."""


class OnTimeout(StrEnum):
    """What happens to a sync run at its timeout."""

    STOP = "stop"
    """It is stopped and fails: the response is 504."""
    DETACH = "detach"
    """It continues: the response is 202, and clients poll for the result."""


class RecordRuns(StrEnum):
    """Which fast calls are recorded as runs.

    A failed call is answered after its run was written, and the answer contains its id, unless
    there are more of them than the documented rate.
    """

    ALL = "all"
    """Every call is answered after its run was written, and the answer contains its id."""
    ERRORS = "errors"
    """Failed calls."""
    SAMPLE = "sample"
    """Failed calls, and up to a documented rate the share `record_sample` of the others: these are
    written after their answer, which contains no id."""


class DeploymentStatus(StrEnum):
    """Whether the deployment accepts calls."""

    ACTIVE = "active"
    PAUSED = "paused"
    """Calls get 409 until the deployment is resumed."""
    DELETED = "deleted"
    """A tombstone: calls get 410."""


class ListedStatus(StrEnum):
    """The statuses of deployments that lists have."""

    ACTIVE = DeploymentStatus.ACTIVE
    PAUSED = DeploymentStatus.PAUSED


class RunsOnDelete(StrEnum):
    """What happens to running runs when their deployment is deleted."""

    FINISH = "finish"
    CANCEL = "cancel"
    """They are cancelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentSettings:
    """The settings of a deployment: everything that is not in the flow."""

    name: str | None = None
    """None: the flow's name and " Deployment"."""
    slug: str | None = None
    """None: made of the name."""
    execution_mode: ExecutionMode = ExecutionMode.SYNC
    deployment_type: DeploymentType = DeploymentType.API
    timeout_seconds: int = 3600
    notification_method: NotificationMethod = NotificationMethod.NONE
    callback_url: str | None = None
    webhook_events: tuple[WebhookEvent, ...] = (WebhookEvent.COMPLETED, WebhookEvent.FAILED)
    response_format: ResponseFormat = ResponseFormat.AUTO
    non_finite: NonFinite = NonFinite.STRING
    queue_timeout_seconds: int | None = None
    """None: unlimited."""
    cold_start_wait_seconds: int = 20
    on_timeout: OnTimeout = OnTimeout.STOP
    include_node_outputs: bool = True
    retry_safe: bool = False
    require_idempotency_key: bool = False
    record_runs: RecordRuns = RecordRuns.SAMPLE
    record_sample: float = 1.0
    cancel_on_disconnect: bool = False
    limits: dict[str, int] | None = None
    """In the format of `gateway.limits.call_limits`; None: no limits of its own."""
    cors_origins: tuple[str, ...] | None = None
    """Origins whose pages may call it from a browser; None: no CORS."""


class SettingsChange(TypedDict, total=False):
    """The settings to change."""

    name: str
    slug: str
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
    limits: dict[str, int | None] | None
    """Only the given members change; a None member, or None in place of all, removes limits."""
    cors_origins: list[str] | None


class SchemaSource(StrEnum):
    """Where a schema comes from."""

    FLOW = "flow"
    """The `api_input` has it."""
    MODELS = "models"
    """It is derived from the signatures of the models that receive values of the input."""
