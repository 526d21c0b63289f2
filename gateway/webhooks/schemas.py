"""Webhooks over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from gateway.storage.clock import UtcDatetime
from gateway.storage.paging import Page
from gateway.storage.webhook_tables import WebhookAttempt, WebhookDelivery
from gateway.webhooks.events import WebhookEvent
from gateway.webhooks.listing import DeliveryDetail
from gateway.webhooks.service import EndpointDetail
from gateway.webhooks.states import AttemptResult, DeliveryStatus, DisabledReason, EndpointState

_Secret = Annotated[SecretStr, Field(max_length=512)]


class VerifyIn(BaseModel):
    """A request as a receiver got it, and the secret to verify it with."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    secret: _Secret
    """Used for this answer only: never stored, never logged."""
    previous_secret: _Secret | None = None
    """The secret before a rotation, to recognise requests that were signed with it."""
    headers: Annotated[dict[str, Annotated[str, Field(max_length=8192)]], Field(max_length=200)]
    """All headers of the request, or only the three that start with `webhook-`."""
    body: Annotated[str, Field(max_length=300_000)]
    """The body as text; the signature covers its UTF-8."""
    at: UtcDatetime | None = None
    """The time to judge the timestamp at. Default: now."""


class EndpointPatch(BaseModel):
    """Changes of an endpoint; absent members stay unchanged."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    events: list[WebhookEvent] | None = None
    state: EndpointState | None = None
    """`enabled` sends new events; held ones are sent by a replay."""


class RotateIn(BaseModel):
    """Options of a rotation."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    force: bool = False
    """Also during the overlap of 24 hours: the previous secret stops signing at once."""


class ReplayIn(BaseModel):
    """Selects what to send again."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    since: UtcDatetime
    """Events written at this time or later."""
    only_failed: bool = True
    """Only undelivered ones: failed, or held while the endpoint was disabled."""


class ReplayedOut(BaseModel):
    """Number of events that are sent again."""

    replayed: int


class EndpointOut(BaseModel):
    """A deployment's webhook, without its secret."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    deployment_id: str
    deployment_name: str
    callback_url: str | None
    events: list[WebhookEvent]
    state: EndpointState
    disabled_reason: DisabledReason | None
    disabled_at: datetime | None
    failures: int
    """Consecutive failed attempts."""
    failing_since: datetime | None
    paused_until: datetime | None
    """Nothing is sent before: the receiver throttles, or keeps failing."""
    overlap_until: datetime | None
    """Until then the previous secret also signs."""
    rotated_at: datetime | None
    created_at: datetime

    @classmethod
    def of(cls, endpoint: EndpointDetail) -> Self:
        """Return the response."""
        return cls.model_validate(_endpoint(endpoint))


class EndpointSecretOut(EndpointOut):
    """An endpoint with its new secret, shown this once."""

    secret: str

    @classmethod
    def of(cls, endpoint: EndpointDetail) -> Self:
        """Return the response."""
        return cls.model_validate({**_endpoint(endpoint), "secret": endpoint.secret})


class EndpointPage(BaseModel):
    """A page of endpoints."""

    items: list[EndpointOut]
    next_cursor: str | None

    @classmethod
    def of(cls, page: Page[EndpointDetail]) -> Self:
        """Return the response."""
        items = [EndpointOut.of(endpoint) for endpoint in page.items]
        return cls(items=items, next_cursor=page.next_cursor)


class DeliverySummary(BaseModel):
    """A delivery, in a list."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    """The `webhook-id` that the receiver sees."""
    deployment_id: str
    flow_run_id: str | None
    """Null for a test."""
    event: str
    status: DeliveryStatus
    attempts: int
    created_at: datetime
    next_attempt_at: datetime | None
    last_attempt_at: datetime | None
    delivered_at: datetime | None
    last_status_code: int | None
    last_error: str | None

    @classmethod
    def of(cls, row: WebhookDelivery) -> Self:
        """Return the response."""
        return cls.model_validate(_delivery(row))


class DeliveryPage(BaseModel):
    """A page of deliveries."""

    items: list[DeliverySummary]
    next_cursor: str | None

    @classmethod
    def of(cls, page: Page[WebhookDelivery]) -> Self:
        """Return the response."""
        items = [DeliverySummary.of(row) for row in page.items]
        return cls(items=items, next_cursor=page.next_cursor)


class AttemptOut(BaseModel):
    """One attempt."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    number: int
    """Numbers may be missing: the process of that attempt died before recording it."""
    started_at: datetime
    seconds: float
    result: AttemptResult
    url: str
    request_headers: dict[str, str]
    status_code: int | None
    response_body: str | None
    """The first KiB; null for targets in private networks, and for redirects."""
    error_code: str | None
    error_message: str | None

    @classmethod
    def of(cls, row: WebhookAttempt) -> Self:
        """Return the response."""
        values = {name: getattr(row, name) for name in cls.model_fields}
        if row.response_body is not None:
            values["response_body"] = row.response_body.decode("utf-8", "replace")
        return cls.model_validate(values)


class DeliveryOut(DeliverySummary):
    """A delivery with its payload and its attempts."""

    # Any: the event, as events.py writes it
    payload: dict[str, Any]
    attempt_log: list[AttemptOut]

    @classmethod
    def of_shown(cls, shown: DeliveryDetail) -> Self:
        """Return the response."""
        row = shown.delivery
        log = [AttemptOut.of(attempt) for attempt in shown.attempts]
        payload = orjson.loads(row.payload)
        return cls.model_validate({**_delivery(row), "payload": payload, "attempt_log": log})


def _endpoint(endpoint: EndpointDetail) -> dict[str, object]:
    row, deployment = endpoint.row, endpoint.deployment
    columns = {name: getattr(row, name) for name in EndpointOut.model_fields if hasattr(row, name)}
    return {
        **columns,
        "deployment_name": deployment.name,
        "callback_url": deployment.callback_url,
        "events": deployment.webhook_events,
    }


def _delivery(row: WebhookDelivery) -> dict[str, object]:
    columns = {
        name: getattr(row, name) for name in DeliverySummary.model_fields if hasattr(row, name)
    }
    return {
        **columns,
        "id": row.message_id,
        "flow_run_id": row.run_id,
        "next_attempt_at": row.due_at,
    }
