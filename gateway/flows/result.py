"""What came of a run, and of each of its nodes. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal


class NodeStatus(StrEnum):
    """How a node ended."""

    COMPLETED = "completed"
    """It has an output."""
    FAILED = "failed"
    """It has an error; its output is what `on_error` put in its place."""
    SKIPPED = "skipped"
    """It never started: no way led to it, or the run ended before its turn."""
    CANCELLED = "cancelled"
    """It had started when the run ended."""


FlowErrorCode = Literal["flow_failed", "timeout", "cancelled", "inference_unavailable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowError:
    """Why a run did not complete."""

    code: FlowErrorCode
    message: str
    node_id: str | None
    """The node that failed, or one that was running."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeResult:
    """What came of one node."""

    id: str
    name: str
    type: str
    status: NodeStatus
    output: Any = None
    """Any: JSON, or where it is too large `{"truncated": true, "bytes": …, "preview": …}`."""
    duration_seconds: float = 0.0
    """From its first start to its end, with all attempts."""
    error: dict[str, str] | None = None
    """`code` and `message`, where it has failed."""
    attempts: int = 1
    notes: tuple[str, ...] = ()
    """What was done to the output, in words."""

    def to_json(self) -> dict[str, Any]:
        """Return the node as it stands in `node_outputs`."""
        members: dict[str, Any] = {
            "name": self.name,
            "type": self.type,
            "status": self.status.value,
            "output": self.output,
            "duration_seconds": self.duration_seconds,
        }
        if self.error is not None:
            members["error"] = self.error
        if self.attempts > 1:
            members["attempts"] = self.attempts
        if self.notes:
            members["notes"] = list(self.notes)
        return members


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowResult:
    """What came of a run."""

    status: Literal["completed", "failed", "cancelled"]
    output_data: dict[str, Any] | None
    """None unless it completed."""
    node_outputs: dict[str, dict[str, Any]]
    """By node id, every node of the flow."""
    error: FlowError | None
    duration_seconds: float
