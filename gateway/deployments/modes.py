"""A deployment's settings: the words, and the documented defaults."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypedDict


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


class WebhookEvent(StrEnum):
    """What a webhook can be told."""

    STARTED = "run.started"
    COMPLETED = "run.completed"
    FAILED = "run.failed"


class ResponseFormat(StrEnum):
    """What the body of an answer looks like."""

    FLAT = "flat"
    """The fields of the run, and the same once more as `data`."""
    ENVELOPE = "envelope"
    """`status: success`, `message`, and the run as `data`."""


class Status(StrEnum):
    """Whether the URL answers."""

    ACTIVE = "active"
    DELETED = "deleted"
    """A tombstone: the URL says 410."""


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
