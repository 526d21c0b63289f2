"""The payloads of webhook events, as the bytes that are stored, signed and sent. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

import orjson

MAX_PAYLOAD_BYTES = 256 * 1024
"""Of one event; a larger one is sent without the outputs."""

_COMPLETED = "completed"
_CANCELLED = "cancelled"


class WebhookEvent(StrEnum):
    """An event that a webhook can subscribe to."""

    STARTED = "run.started"
    COMPLETED = "run.completed"
    FAILED = "run.failed"
    CANCELLED = "run.cancelled"


TEST_EVENT = "webhook.test"
"""Sent on request only; it needs no subscription."""
ENDINGS = (WebhookEvent.COMPLETED, WebhookEvent.FAILED, WebhookEvent.CANCELLED)


_ENDING_BY_STATUS = {_COMPLETED: WebhookEvent.COMPLETED, _CANCELLED: WebhookEvent.CANCELLED}


class ErrorFacts(Protocol):
    """The error of a failed run."""

    @property
    def code(self) -> str:
        """Error code, such as `timeout`."""

    @property
    def message(self) -> str:
        """A sentence."""

    @property
    def node_id(self) -> str | None:
        """The node that failed, if one did."""


class RunFacts(Protocol):
    """What an event contains of a run; `gateway.runs.run.Run` satisfies it."""

    @property
    def id(self) -> str:
        """The run's id."""

    @property
    def deployment_id(self) -> str:
        """The deployment that it runs."""

    @property
    def version(self) -> int:
        """The deployment's version."""

    @property
    def flow_id(self) -> str:
        """The flow."""

    @property
    def mode(self) -> str:
        """`sync`, `async` or `fast`."""

    @property
    def status(self) -> str:
        """`completed`, `failed` or `cancelled` where it has ended."""

    @property
    def labels(self) -> Mapping[str, str] | None:
        """The caller's labels; None: none."""

    @property
    def created_at(self) -> datetime:
        """Time of the call."""

    @property
    def started_at(self) -> datetime | None:
        """Time of its start."""

    @property
    def finished_at(self) -> datetime | None:
        """Time of its end."""

    @property
    def duration_seconds(self) -> float | None:
        """Duration."""

    @property
    def error(self) -> ErrorFacts | None:
        """Its error, if it failed."""

    @property
    def output_data(self) -> bytes | None:
        """JSON."""

    @property
    def node_outputs(self) -> bytes | None:
        """JSON."""


class RunEvent(NamedTuple):
    """A change of a run."""

    type: WebhookEvent
    run: RunFacts

    @classmethod
    def started(cls, run: RunFacts) -> RunEvent:
        """Return the event of a run that has started."""
        return cls(WebhookEvent.STARTED, run)

    @classmethod
    def ended(cls, run: RunFacts) -> RunEvent:
        """Return the event of a run that has ended."""
        return cls(_ENDING_BY_STATUS.get(run.status, WebhookEvent.FAILED), run)

    def sent_to(self, subscribed: Sequence[str]) -> RunEvent | None:
        """Return the event as a receiver with these subscriptions gets it; None if it gets none.

        A receiver of `run.failed` that does not subscribe to `run.cancelled` gets `run.failed` of
        cancelled runs, too: so the three events of the documentation tell every end.
        """
        if self.type in subscribed:
            return self
        if self.type is WebhookEvent.CANCELLED and WebhookEvent.FAILED in subscribed:
            return RunEvent(WebhookEvent.FAILED, self.run)
        return None


def payload_of(event: RunEvent, *, result_url: str, include_node_outputs: bool = True) -> bytes:
    """Return an event's body as JSON, of at most MAX_PAYLOAD_BYTES.

    The flow's outputs are JSON already and are inserted without parsing. If they are too large, or
    were too large to be stored, both are null and `output_truncated` is true.
    """
    run = event.run
    begun = event.type is WebhookEvent.STARTED
    happened = run.started_at if begun else run.finished_at
    head = orjson.dumps({"type": event.type, "timestamp": format_time(happened or run.created_at)})
    facts = _members(
        {
            "flow_run_id": run.id,
            "deployment_id": run.deployment_id,
            "deployment_version": run.version,
            "flow_id": run.flow_id,
            "execution_mode": run.mode,
            "status": "running" if begun else run.status,
            "metadata": run.labels or {},
        }
    )
    if begun:
        return _joined(head, facts, _beginning(run, result_url))
    ending = _ending(run, result_url)
    nodes = run.node_outputs if include_node_outputs else None
    outputs = b'"output_data":%b,"node_outputs":%b' % (run.output_data or b"null", nodes or b"{}")
    whole = _joined(head, facts, outputs, ending)
    known = run.output_data is not None or event.type is not WebhookEvent.COMPLETED
    if known and len(whole) <= MAX_PAYLOAD_BYTES:
        return whole
    left_out = b'"output_data":null,"node_outputs":null,"output_truncated":true'
    return _joined(head, facts, left_out, ending)


def payload_of_test(deployment_id: str, at: datetime) -> bytes:
    """Return the payload of a test event."""
    data = {"deployment_id": deployment_id, "message": "This is a test."}
    return orjson.dumps({"type": TEST_EVENT, "timestamp": format_time(at), "data": data})


def format_time(at: datetime) -> str:
    """Return a time in RFC 3339: UTC, milliseconds, Z."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _joined(head: bytes, *members: bytes) -> bytes:
    return b'%b,"data":{%b}}' % (head[:-1], b",".join(members))


def _members(of: dict[str, object]) -> bytes:
    """Return the members of an object, without its braces."""
    return orjson.dumps(of)[1:-1]


def _beginning(run: RunFacts, result_url: str) -> bytes:
    return _members(
        {
            "created_at": format_time(run.created_at),
            "started_at": _moment(run.started_at),
            "sequence": 1,
            "result_url": result_url,
        }
    )


def _ending(run: RunFacts, result_url: str) -> bytes:
    error = run.error
    shown = error and {"code": error.code, "message": error.message, "node_id": error.node_id}
    if shown is None and run.status == _CANCELLED:
        shown = {"code": _CANCELLED, "message": "the run was cancelled", "node_id": None}
    took = run.duration_seconds
    return _members(
        {
            "error": shown,
            "duration_seconds": None if took is None else round(took, 6),
            "created_at": format_time(run.created_at),
            "started_at": _moment(run.started_at),
            "finished_at": _moment(run.finished_at),
            "sequence": 2,
            "result_url": result_url,
        }
    )


def _moment(at: datetime | None) -> str | None:
    return None if at is None else format_time(at)
