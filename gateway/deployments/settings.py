"""A deployment's settings: the words, and the documented defaults.

Settings belong to the deployment and outlast its versions; what a version pins is in its snapshot.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypedDict

from gateway.webhooks.events import WebhookEvent


class ExecutionMode(StrEnum):
    """How the API answers."""

    SYNC = "sync"
    """With the result, when the flow has finished."""
    ASYNC = "async"
    """At once; the result is asked for later."""
    FAST = "fast"
    """With the inference server's answer; the flow engine is skipped."""


class DeploymentType(StrEnum):
    """Where the flow runs."""

    API = "api"
    """On a worker."""
    SERVER = "server"
    """In the gateway process."""


class NotificationMethod(StrEnum):
    """Who else hears of a run."""

    NONE = "none"
    """Nobody."""
    WEBHOOK = "webhook"
    """The callback URL."""


class ResponseFormat(StrEnum):
    """What the body of an answer looks like."""

    FLAT = "flat"
    """The fields of the run, and the same once more as `data`."""
    ENVELOPE = "envelope"
    """`status: success`, `message`, and the run as `data`."""


class OnTimeout(StrEnum):
    """What becomes of a run whose sync caller has waited long enough."""

    STOP = "stop"
    """It is stopped: the answer is 504, the run has failed."""
    DETACH = "detach"
    """It goes on: the answer is 202, the result is asked for later."""


class RecordRuns(StrEnum):
    """Which fast calls leave a run behind."""

    ALL = "all"
    ERRORS = "errors"
    """Those that failed."""
    SAMPLE = "sample"
    """Those that failed, and `record_sample` of the others."""


class DeploymentStatus(StrEnum):
    """Whether the URL answers."""

    ACTIVE = "active"
    PAUSED = "paused"
    """The URL says 409 until the deployment is resumed."""
    DELETED = "deleted"
    """A tombstone: the URL says 410."""


class RunsOnDelete(StrEnum):
    """What becomes of runs that have begun when their deployment is deleted."""

    FINISH = "finish"
    CANCEL = "cancel"
    """They are stopped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentSettings:
    """How a deployment answers: all that is not in the flow."""

    name: str | None = None
    """None: the flow's name and " Deployment"."""
    execution_mode: ExecutionMode = ExecutionMode.SYNC
    deployment_type: DeploymentType = DeploymentType.API
    timeout_seconds: int = 3600
    notification_method: NotificationMethod = NotificationMethod.NONE
    callback_url: str | None = None
    webhook_events: tuple[WebhookEvent, ...] = (WebhookEvent.COMPLETED, WebhookEvent.FAILED)
    response_format: ResponseFormat = ResponseFormat.FLAT
    queue_timeout_seconds: int | None = None
    """None: a run may wait for its worker as long as it takes."""
    cold_start_wait_seconds: int = 20
    on_timeout: OnTimeout = OnTimeout.STOP
    include_node_outputs: bool = True
    retry_safe: bool = False
    require_idempotency_key: bool = False
    record_runs: RecordRuns = RecordRuns.ALL
    record_sample: float = 0.1
    cancel_on_disconnect: bool = False
    limits: dict[str, int] | None = None
    """As `gateway.limits.call_limits` reads them; None: none of its own."""
    cors_origins: tuple[str, ...] | None = None
    """Whose pages may call it from a browser; None: nobody's."""


class SettingsChange(TypedDict, total=False):
    """Settings to change; what is left out stays as it is."""

    name: str
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
    limits: dict[str, int | None] | None
    """Members that are left out stay; None takes one back, and in the place of all, all."""
    cors_origins: list[str] | None
