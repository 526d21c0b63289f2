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
_SIGNED_WITH = "whsec_c2xpcHN0cmVhbS1leGFtcGxlLXNlY3JldC1ieXRlcw=="
"""Of an example."""


class VerifyIn(BaseModel):
    """A request as a receiver got it, and the secret to verify it with."""

    model_config = ConfigDict(
        extra="forbid",
        use_attribute_docstrings=True,
        json_schema_extra={
            "examples": [
                {
                    "secret": _SIGNED_WITH,
                    "headers": {
                        "webhook-id": "msg_1",
                        "webhook-timestamp": "1767323045",
                        "webhook-signature": "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
                    },
                    "body": "{}",
                }
            ]
        },
    )

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

    model_config = ConfigDict(
        extra="forbid",
        use_attribute_docstrings=True,
        json_schema_extra={
            "examples": [{"events": ["run.completed", "run.failed"], "state": "enabled"}]
        },
    )

    events: list[WebhookEvent] | None = None
    """The events that are sent. Without `run.cancelled`, a cancelled run is a `run.failed`."""
    state: EndpointState | None = None
    """`enabled` sends new events; held ones are sent by a replay."""


class RotateIn(BaseModel):
    """Options of a rotation."""

    model_config = ConfigDict(
        extra="forbid",
        use_attribute_docstrings=True,
        json_schema_extra={"examples": [{"force": True}]},
    )

    force: bool = False
    """Also during the overlap of 24 hours: the previous secret stops signing at once."""


class ReplayIn(BaseModel):
    """Selects what to send again."""

    model_config = ConfigDict(
        extra="forbid",
        use_attribute_docstrings=True,
        json_schema_extra={"examples": [{"since": "2026-01-02T03:04:05Z", "only_failed": True}]},
    )

    since: UtcDatetime
    """Events written at this time or later."""
    only_failed: bool = True
    """Only undelivered ones: failed, or held while the endpoint was disabled."""


class ReplayedOut(BaseModel):
    """Number of events that are sent again."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    replayed: int
    """How many events are sent again."""


class EndpointOut(BaseModel):
    """A deployment's webhook, without its secret."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    deployment_id: str
    """Id of the deployment, as its routes take it."""
    deployment_name: str
    """Name of the deployment."""
    callback_url: str | None
    """Where a webhook's events are sent; null: there is no webhook."""
    events: list[WebhookEvent]
    """The events that are sent. Without `run.cancelled`, a cancelled run is a `run.failed`."""
    state: EndpointState
    """`enabled`; or `disabled`: events are held until it is enabled and they are replayed."""
    disabled_reason: DisabledReason | None
    """`by_user`; `gone`: the receiver answered 410; `failing`: it only failed for five days; null:
    it is enabled."""
    disabled_at: datetime | None
    """When it was disabled (UTC); null: it is enabled."""
    failures: int
    """Consecutive failed attempts."""
    failing_since: datetime | None
    """When the consecutive failures began (UTC); null: there are none."""
    paused_until: datetime | None
    """Nothing is sent before: the receiver throttles, or keeps failing."""
    overlap_until: datetime | None
    """Until then the previous secret also signs."""
    rotated_at: datetime | None
    """When its secret was last rotated (UTC); null: never."""
    created_at: datetime
    """When it was created (UTC)."""

    @classmethod
    def of(cls, endpoint: EndpointDetail) -> Self:
        """Return the response."""
        return cls.model_validate(_endpoint(endpoint))


class EndpointSecretOut(EndpointOut):
    """An endpoint with its new secret, shown this once."""

    secret: str
    """The new secret, such as `whsec_…`, shown this once."""

    @classmethod
    def of(cls, endpoint: EndpointDetail) -> Self:
        """Return the response."""
        return cls.model_validate({**_endpoint(endpoint), "secret": endpoint.secret})


class EndpointPage(BaseModel):
    """A page of endpoints."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    items: list[EndpointOut]
    """The webhooks of this page, the newest first."""
    next_cursor: str | None
    """Send it as `cursor` to get the next page; null: this is the last one."""

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
    """Id of the deployment, as its routes take it."""
    flow_run_id: str | None
    """Null for a test."""
    event: str
    """`run.started`, `run.completed`, `run.failed`, `run.cancelled` or `webhook.test`."""
    status: DeliveryStatus
    """`pending`: in flight, or waiting for an attempt; `delivered`; `failed`: out of attempts, or
    aborted by the receiver; `held`: the webhook is disabled; `superseded`: the end of the run was
    delivered before its start; `cancelled`: the webhook was removed."""
    attempts: int
    """How many attempts have begun."""
    created_at: datetime
    """When it was created (UTC)."""
    next_attempt_at: datetime | None
    """When the next attempt is due (UTC); null: there is none."""
    last_attempt_at: datetime | None
    """When the last attempt began (UTC); null: there was none."""
    delivered_at: datetime | None
    """When the receiver answered 2xx (UTC); null: it has not."""
    last_status_code: int | None
    """The HTTP status that the last attempt got; null: none."""
    last_error: str | None
    """A stable name for what went wrong in the last attempt, such as `http_503`, `timeout` or
    `unreachable`; null: nothing."""

    @classmethod
    def of(cls, row: WebhookDelivery) -> Self:
        """Return the response."""
        return cls.model_validate(_delivery(row))


class DeliveryPage(BaseModel):
    """A page of deliveries."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    items: list[DeliverySummary]
    """The deliveries of this page, the newest first."""
    next_cursor: str | None
    """Send it as `cursor` to get the next page; null: this is the last one."""

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
    """When it began (UTC)."""
    seconds: float
    """How long it took."""
    result: AttemptResult
    """`delivered`: 2xx; `throttled`: 429, 502 or 504; `gone`: 410; `aborted`: the receiver wants no
    retry; `blocked`: the address is not allowed; `failed`: anything else."""
    url: str
    """The URL that was called."""
    request_headers: dict[str, str]
    """The headers that were sent."""
    status_code: int | None
    """The HTTP status of the answer; null: there was none."""
    response_body: str | None
    """The first KiB; null for targets in private networks, and for redirects."""
    error_code: str | None
    """A stable name for what went wrong, such as `http_503`, `timeout` or `unreachable`; null:
    nothing."""
    error_message: str | None
    """What went wrong, for people; null: there is nothing beside `error_code`."""

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
    """The event, as it is sent."""
    attempt_log: list[AttemptOut]
    """The attempts, the oldest first."""

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
