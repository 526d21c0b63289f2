"""The result of a run and of each of its nodes. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal


class NodeStatus(StrEnum):
    """How a node ended."""

    COMPLETED = "completed"
    """The node has an output."""
    FAILED = "failed"
    """The node has an error; its output is the one of its `on_error` policy."""
    SKIPPED = "skipped"
    """The node never started: no edge to it was taken, or the run ended before."""
    CANCELLED = "cancelled"
    """The node was running when the run ended."""


FlowErrorCode = Literal[
    "flow_failed",
    "timeout",
    "cancelled",
    "inference_unavailable",
    "no_active_inference",
    "evaluation_limit",
    "invalid_input",
    "invalid_tensor",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowError:
    """Why a run did not complete."""

    code: FlowErrorCode
    message: str
    node_id: str | None
    """The node that failed, or one that was running."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeResult:
    """The result of one node."""

    id: str
    name: str
    type: str
    status: NodeStatus
    output: Any = None
    """Any: JSON; if it is too large, `{"truncated": true, "bytes": …, "preview": …}`. NaN and
    infinities are strings."""
    shows_output: bool = True
    duration_seconds: float = 0.0
    """From the start of the first attempt to the end of the last one."""
    started_seconds: float | None = None
    """When the first attempt started, from the beginning of the run; None: it never did."""
    error: dict[str, str] | None = None
    """`code` and `message` if the node failed."""
    attempts: int = 1
    notes: tuple[str, ...] = ()
    """Remarks about changes to the output."""

    def to_json(self) -> dict[str, Any]:
        """Return the node's entry in `node_outputs`."""
        members: dict[str, Any] = {
            "name": self.name,
            "type": self.type,
            "status": self.status.value,
            "duration_seconds": self.duration_seconds,
        }
        if self.started_seconds is not None:
            members["started_seconds"] = self.started_seconds
        if self.shows_output:
            members["output"] = self.output
        if self.error is not None:
            members["error"] = self.error
        if self.attempts > 1:
            members["attempts"] = self.attempts
        if self.notes:
            members["notes"] = list(self.notes)
        return members


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowResult:
    """The result of a run."""

    status: Literal["completed", "failed", "cancelled"]
    output_data: dict[str, Any] | None
    """None unless the run completed."""
    non_finite: bool
    """Whether there may be NaN or infinities in `output_data`."""
    node_outputs: dict[str, dict[str, Any]]
    """All nodes of the flow, by node id."""
    error: FlowError | None
    duration_seconds: float
