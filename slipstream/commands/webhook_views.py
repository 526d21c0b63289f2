"""How webhooks, deliveries and attempts are shown."""

from __future__ import annotations

from rich.console import RenderableType
from rich.text import Text

from gateway.webhooks.schemas import AttemptOut, DeliveryOut, DeliverySummary, EndpointOut
from gateway.webhooks.states import AttemptResult, DeliveryStatus
from slipstream.commands.run_views import took
from slipstream.terminal import facts, table

ENDPOINT_COLUMNS = ("id", "deployment", "callback URL", "events", "state", "failures in a row")
DELIVERY_COLUMNS = ("id", "event", "run", "status", "attempts", "created", "next", "last answer")

_STYLES = {
    DeliveryStatus.DELIVERED: "green",
    DeliveryStatus.FAILED: "bold red",
    DeliveryStatus.PENDING: "yellow",
    DeliveryStatus.HELD: "yellow",
}


def endpoint_row(out: EndpointOut) -> tuple[object, ...]:
    """Return the cells under ENDPOINT_COLUMNS."""
    return (
        out.deployment_id,
        out.deployment_name,
        out.callback_url,
        out.events,
        _state(out),
        out.failures or None,
    )


def endpoint_facts(out: EndpointOut) -> RenderableType:
    """Return everything about a webhook."""
    return facts(
        deployment=f"{out.deployment_id} '{out.deployment_name}'",
        callback_URL=out.callback_url,
        events=out.events,
        state=_state(out),
        disabled=out.disabled_at,
        failures_in_a_row=out.failures,
        failing_since=out.failing_since,
        paused_until=out.paused_until,
        previous_secret_signs_until=out.overlap_until,
        rotated=out.rotated_at,
        created=out.created_at,
    )


def delivery_row(out: DeliverySummary) -> tuple[object, ...]:
    """Return the cells under DELIVERY_COLUMNS."""
    return (
        out.id,
        out.event,
        out.flow_run_id,
        out.status,
        out.attempts,
        out.created_at,
        out.next_attempt_at if out.status is DeliveryStatus.PENDING else None,
        out.last_error or out.last_status_code,
    )


def delivery_views(out: DeliveryOut) -> list[RenderableType]:
    """Return everything about a delivery, and a line for each attempt."""
    pending = out.status is DeliveryStatus.PENDING
    rows = [attempt_row(attempt) for attempt in out.attempt_log]
    columns = ("attempt", "at", "took", "result", "status", "reason", "answer")
    return [
        delivery_line(out),
        facts(
            id=out.id,
            event=out.event,
            deployment=out.deployment_id,
            run=out.flow_run_id,
            created=out.created_at,
            next_attempt=out.next_attempt_at if pending else None,
            delivered=out.delivered_at,
        ),
        "",
        table(columns, rows, empty="Nothing was tried yet."),
    ]


def delivery_line(out: DeliveryOut) -> Text:
    """Return how far a delivery is, in a sentence."""
    last = out.attempt_log[-1] if out.attempt_log else None
    said = "" if last is None else f" ({_ending(last)})"
    return Text.assemble(f"{out.event}: ", (out.status.value, _STYLES.get(out.status, "")), said)


def attempt_row(out: AttemptOut) -> tuple[object, ...]:
    """Return an attempt: number, at, took, result, status, reason, answer."""
    reason = out.error_message or out.error_code
    body = (out.response_body or "").strip()
    return (
        out.number,
        f"{out.started_at.astimezone():%Y-%m-%d %H:%M:%S}",
        took(out.seconds),
        out.result,
        out.status_code,
        reason,
        body[:200],
    )


def _ending(last: AttemptOut) -> str:
    if last.status_code is not None:
        return f"{last.url} answered {last.status_code} in {took(last.seconds)}"
    if last.result is AttemptResult.BLOCKED:
        return f"{last.error_message}"
    return f"{last.url}: {last.error_code}, {last.error_message}"


def _state(out: EndpointOut) -> str:
    return out.state if out.disabled_reason is None else f"{out.state}: {out.disabled_reason}"
