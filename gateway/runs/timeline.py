"""What happened to a run and when, as spans of time. Pure.

Times are the database's: nodes count their start from the claim of the run, which it has stamped.
What was not recorded is missing here, too, and a note says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

import orjson
from annotated_types import Interval, MaxLen

from gateway.deployments.settings import ExecutionMode
from gateway.errors import GatewayError
from gateway.flows.result import NodeStatus
from gateway.flows.spec import NodeType
from gateway.runs.responses import known_code
from gateway.runs.run import NodeEvent, Run, RunStatus
from gateway.storage.webhook_tables import WebhookAttempt
from gateway.web.problems import problem_name
from gateway.webhooks.listing import DeliveryDetail
from gateway.webhooks.states import DeliveryStatus
from protos.errors import ErrorCode

MAX_SPANS = 5_000
"""Of a page."""

# Any, here and below: JSON
Detail = dict[str, Any]


class SpanKind(StrEnum):
    """What a span of time was spent with."""

    QUEUE = "queue"
    """Waiting for a process that executes it."""
    CLAIM = "claim"
    """Between its claim and its first node: the version is loaded."""
    BOOT = "boot"
    """The longest wait of a node for a booting inference server."""
    NODE = "node"
    """A node, or the whole of a fast call."""
    CANCEL = "cancel"
    """Between the request to cancel it and its end."""
    FINISH = "finish"
    """Between its last node and its end: the result is written."""
    WEBHOOK = "webhook"
    """An attempt to deliver an event, or the wait for the next one."""


class NoteCode(StrEnum):
    """Why something is missing."""

    START_TIMES_UNKNOWN = "start_times_unknown"
    NODES_UNKNOWN = "nodes_unknown"
    EARLIER_ATTEMPTS_UNKNOWN = "earlier_attempts_unknown"
    CANCEL_TIME_UNKNOWN = "cancel_time_unknown"


NOTES: Mapping[NoteCode, str] = {
    NoteCode.START_TIMES_UNKNOWN: (
        "An older version recorded no start times of nodes; only their durations are known."
    ),
    NoteCode.NODES_UNKNOWN: (
        "The results of its nodes were not kept: they were too large, or its process was lost."
    ),
    NoteCode.EARLIER_ATTEMPTS_UNKNOWN: (
        "It was started more than once; when its earlier attempts began was not recorded."
    ),
    NoteCode.CANCEL_TIME_UNKNOWN: (
        "An older version did not record when its cancellation was requested."
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A span of time of a run."""

    id: str
    """The same each time: links name it."""
    kind: SpanKind
    name: str
    status: str
    """Of nodes a NodeStatus, of webhooks a DeliveryStatus or AttemptResult, else a RunStatus."""
    node_id: str | None = None
    attempt: int | None = None
    """Of the run, or of the delivery."""
    started_at: datetime | None = None
    """None: it never started, or that was not recorded."""
    ended_at: datetime | None = None
    """None: it has not ended, or `started_at` is not known."""
    detail: Detail = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """All spans of a run, in the order in which they are shown."""

    run: Run
    spans: Sequence[Span]
    notes: Sequence[NoteCode]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanRequest:
    """The requested page: `limit` spans after the one that `cursor` names. A FastAPI dependency."""

    limit: Annotated[int, Interval(ge=1, le=MAX_SPANS)] = 1_000
    cursor: Annotated[str | None, MaxLen(400)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelinePage(Timeline):
    """Some spans of a run, and the cursor of the next page, if there is one."""

    total: int
    next_cursor: str | None


def page_of(timeline: Timeline, request: SpanRequest) -> TimelinePage:
    """Return the requested page.

    Raises:
        GatewayError: INVALID_REQUEST if the cursor names no span of the run.
    """
    spans, begin = timeline.spans, 0
    if request.cursor is not None:
        begin = 1 + next((at for at, it in enumerate(spans) if it.id == request.cursor), -1)
        if begin == 0:
            message = "cursor: expected a next_cursor of this timeline: leave it out to begin again"
            raise GatewayError(ErrorCode.INVALID_REQUEST, message)
    page = spans[begin : begin + request.limit]
    more = begin + len(page) < len(spans)
    return TimelinePage(
        run=timeline.run,
        notes=timeline.notes,
        spans=page,
        total=len(spans),
        next_cursor=page[-1].id if more else None,
    )


def build_timeline(
    run: Run, reported: Sequence[NodeEvent], deliveries: Sequence[DeliveryDetail]
) -> Timeline:
    """Return the timeline of a run in any state.

    Args:
        run: the run with its node outputs.
        reported: the nodes that were reported before its end, if it has no node outputs.
        deliveries: those of its events.
    """
    nodes = _nodes(run, reported)
    present = [node for node in nodes if node.attempt == run.attempt]
    spans = [
        *_queue(run),
        *_claim(run, present),
        *_boot(run, present),
        *nodes,
        *_cancel(run),
        *_finish(run, present),
        *_webhooks(deliveries),
    ]
    return Timeline(run=run, spans=spans, notes=list(_notes(run, nodes)))


def _notes(run: Run, nodes: Sequence[Span]) -> Iterator[NoteCode]:
    began = [node for node in nodes if node.status != NodeStatus.SKIPPED]
    if any(node.started_at is None and node.attempt == run.attempt for node in began):
        yield NoteCode.START_TIMES_UNKNOWN
    if run.ended and not nodes and run.attempt:
        yield NoteCode.NODES_UNKNOWN
    if run.attempt > 1:
        yield NoteCode.EARLIER_ATTEMPTS_UNKNOWN
    if run.cancel_requested and run.cancel_requested_at is None:
        yield NoteCode.CANCEL_TIME_UNKNOWN


def _queue(run: Run) -> Iterator[Span]:
    if run.mode is ExecutionMode.FAST:
        return
    never_started = run.started_at is None and run.ended
    yield Span(
        id="queue",
        kind=SpanKind.QUEUE,
        name="queue",
        status=run.status if never_started or run.started_at is None else RunStatus.COMPLETED,
        started_at=run.created_at,
        ended_at=run.finished_at if never_started else run.started_at,
    )


def _claim(run: Run, nodes: Sequence[Span]) -> Iterator[Span]:
    if run.started_at is None or run.mode is ExecutionMode.FAST:
        return
    first = min((node.started_at for node in nodes if node.started_at), default=None)
    yield Span(
        id="claim",
        kind=SpanKind.CLAIM,
        name="claim",
        status=RunStatus.COMPLETED,
        attempt=run.attempt,
        started_at=run.started_at,
        ended_at=first or run.started_at,
        detail={"max_attempts": run.max_attempts},
    )


def _boot(run: Run, nodes: Sequence[Span]) -> Iterator[Span]:
    if run.boot_seconds is None:
        return
    waited = [
        node
        for node in nodes
        if node.detail.get("type") == NodeType.INFERENCE
        and node.detail.get("duration_seconds", 0.0) >= run.boot_seconds
    ]
    # With several it is not known which of them waited for so long.
    node = waited[0] if len(waited) == 1 else None
    began = None if node is None else node.started_at
    yield Span(
        id="boot",
        kind=SpanKind.BOOT,
        name="boot",
        status=RunStatus.COMPLETED,
        node_id=None if node is None else node.node_id,
        attempt=run.attempt,
        started_at=began,
        ended_at=began and began + timedelta(seconds=run.boot_seconds),
        detail={"duration_seconds": run.boot_seconds},
    )


def _nodes(run: Run, reported: Sequence[NodeEvent]) -> list[Span]:
    """Return the nodes in the order of their start; those without one come last."""
    if run.mode is ExecutionMode.FAST:
        return [_fast_call(run)]
    if run.node_outputs is not None:
        outputs: Mapping[str, Detail] = orjson.loads(run.node_outputs)
        found = [_node(run, node_id, node, run.attempt) for node_id, node in outputs.items()]
    else:
        found = list(_reported(run, reported))
    return sorted(found, key=lambda node: node.started_at or _NEVER)


_NEVER = datetime.max.replace(tzinfo=UTC)


def _reported(run: Run, reported: Iterable[NodeEvent]) -> Iterator[Span]:
    for event in reported:
        # Before attempts were kept, a run that was started once can have no other.
        attempt = event.attempt or (1 if run.attempt == 1 else None)
        node = _node(run, event.node_id, orjson.loads(event.data), attempt)
        is_present = attempt == run.attempt
        yield node if is_present else replace(node, id=f"{node.id}#{event.number}")


def _node(run: Run, node_id: str, node: Mapping[str, Any], attempt: int | None) -> Span:
    began: float | None = node.get("started_seconds")
    seconds: float = node.get("duration_seconds", 0.0)
    status = node.get("status", NodeStatus.COMPLETED)
    started_at = None
    if began is not None and run.started_at is not None and attempt == run.attempt:
        started_at = run.started_at + timedelta(seconds=began)
    detail: Detail = {name: node[name] for name in ("type", "attempts", "notes") if node.get(name)}
    if error := node.get("error"):
        detail["error"] = _shown_error(error["code"], error["message"])
    if status != NodeStatus.SKIPPED:
        detail["duration_seconds"] = seconds
    return Span(
        id=f"node:{node_id}",
        kind=SpanKind.NODE,
        name=node.get("name") or node_id,
        status=status,
        node_id=node_id,
        attempt=attempt,
        started_at=started_at,
        ended_at=started_at and started_at + timedelta(seconds=seconds),
        detail=detail,
    )


def _fast_call(run: Run) -> Span:
    return Span(
        id="node",
        kind=SpanKind.NODE,
        name="inference",
        status=run.status,
        attempt=run.attempt,
        started_at=run.started_at,
        ended_at=run.finished_at,
        detail=_error(run),
    )


def _cancel(run: Run) -> Iterator[Span]:
    if run.cancel_requested:
        yield Span(
            id="cancel",
            kind=SpanKind.CANCEL,
            name="cancel",
            status=run.shown_status,
            started_at=run.cancel_requested_at,
            ended_at=None if run.cancel_requested_at is None else run.finished_at,
        )


def _finish(run: Run, nodes: Sequence[Span]) -> Iterator[Span]:
    if run.finished_at is None or run.mode is ExecutionMode.FAST:
        return
    last = max((node.ended_at for node in nodes if node.ended_at), default=run.finished_at)
    yield Span(
        id="finish",
        kind=SpanKind.FINISH,
        name="finish",
        status=run.status,
        node_id=None if run.error is None else run.error.node_id,
        attempt=run.attempt or None,
        started_at=min(last, run.finished_at),
        ended_at=run.finished_at,
        detail=_error(run),
    )


def _webhooks(deliveries: Sequence[DeliveryDetail]) -> Iterator[Span]:
    for detail in deliveries:
        delivery = detail.delivery
        delivery_id = delivery.message_id
        for attempt in detail.attempts:
            yield Span(
                id=f"webhook:{delivery_id}:{attempt.number}",
                kind=SpanKind.WEBHOOK,
                name=delivery.event,
                status=attempt.result,
                attempt=attempt.number,
                started_at=attempt.started_at,
                ended_at=attempt.started_at + timedelta(seconds=attempt.seconds),
                detail={"delivery_id": delivery_id, **_attempt_detail(attempt)},
            )
        if delivery.status in _WAITING or not detail.attempts:
            yield Span(
                id=f"webhook:{delivery_id}",
                kind=SpanKind.WEBHOOK,
                name=delivery.event,
                status=delivery.status,
                started_at=delivery.last_attempt_at or delivery.created_at,
                detail={"delivery_id": delivery_id, "next_attempt_at": delivery.due_at},
            )


_WAITING = (DeliveryStatus.PENDING, DeliveryStatus.HELD)


def _attempt_detail(attempt: WebhookAttempt) -> Detail:
    if attempt.error_code is not None:
        return {"error": _shown_error(attempt.error_code, attempt.error_message or "")}
    return {} if attempt.status_code is None else {"status_code": attempt.status_code}


def _error(run: Run) -> Detail:
    if run.error is None:
        return {}
    return {"error": _shown_error(run.error.code, run.error.message)}


def _shown_error(code: str, message: str) -> Detail:
    """Return an error with the page that says what its code means, if there is one."""
    known = known_code(code)
    page = None if known is None else f"/problems/{problem_name(known)}"
    return {"code": code, "message": message, "docs_url": page}
