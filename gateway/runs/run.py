"""What a run is: its states, what it begins with, and how it ends. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from gateway.deployments.settings import DeploymentType, ExecutionMode
from gateway.ids import new_run_id
from gateway.limits.policy import ConcurrencyLimit

MAX_INPUT_BYTES = 16 * 1024 * 1024
"""Of `input_data` that a run may begin with."""
MAX_OUTPUT_BYTES = 16 * 1024 * 1024
"""Of `output_data` that a run may end with; one with more has failed."""
MAX_NODE_OUTPUTS_BYTES = 4 * 1024 * 1024
"""Of `node_outputs` that are kept; more are dropped, all of them."""
MAX_MESSAGE_CHARACTERS = 2000
"""Of an error's message that are kept."""


class RunStatus(StrEnum):
    """How far a run is. The last three are final: whoever comes later loses."""

    QUEUED = "queued"
    """Nobody has begun."""
    RUNNING = "running"
    """A process holds a lease on it."""
    COMPLETED = "completed"
    """It has a result."""
    FAILED = "failed"
    """It has an error."""
    CANCELLED = "cancelled"
    """Somebody did not want it any more."""


class FailureCode(StrEnum):
    """Why a run has no result."""

    FLOW_FAILED = "flow_failed"
    """A node failed."""
    TIMEOUT = "timeout"
    """It took longer than it may."""
    QUEUE_TIMEOUT = "queue_timeout"
    """Nobody began in time."""
    WORKER_LOST = "worker_lost"
    """Its process is gone."""
    INFERENCE_UNAVAILABLE = "inference_unavailable"
    """The inference server that it asks does not answer."""
    CANCELLED = "cancelled"
    """Somebody cancelled it."""
    CANCELLED_BY_SHUTDOWN = "cancelled_by_shutdown"
    """Its process had to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunError:
    """Why a run has no result."""

    code: str
    """A FailureCode."""
    message: str
    node_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Idempotency:
    """The caller's word that calls with the same key are the same call."""

    key: str
    fingerprint: str
    """Of the body: another one under the same key is a mistake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """A run to begin."""

    profile_id: str
    deployment_id: str
    version: int
    flow_id: str
    mode: ExecutionMode
    type: DeploymentType
    input_data: bytes | None
    """JSON; None only for a fast call whose input is not kept."""
    timeout_seconds: float
    id: str = field(default_factory=new_run_id)
    """Of `gateway.ids.new_run_id`, no other: pruning goes by the time that it begins with."""
    key_id: str | None = None
    queue_timeout_seconds: float | None = None
    retry_safe: bool = False
    max_attempts: int = 3
    idempotency: Idempotency | None = None
    retry_of: str | None = None
    concurrency_limits: tuple[ConcurrencyLimit, ...] = ()
    """How many may go on at once, this one included."""


class RunMark(NamedTuple):
    """What shows in a run while it goes on: another mark, and something has happened."""

    status: RunStatus
    cancel_requested: bool
    attempt: int
    event_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run as its row says."""

    id: str
    profile_id: str
    deployment_id: str
    version: int
    flow_id: str
    mode: ExecutionMode
    type: DeploymentType
    key_id: str | None
    retry_of: str | None
    status: RunStatus
    cancel_requested: bool
    timeout_seconds: float
    retry_safe: bool
    attempt: int
    max_attempts: int
    event_count: int
    created_at: datetime
    queue_until: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    duration_seconds: float | None
    error: RunError | None
    idempotency_key: str | None
    output_data: bytes | None = None
    """JSON, of a run that is completed; not there in lists."""
    node_outputs: bytes | None = None
    """JSON: node id → `{"name", "type", "status", "output", "duration_seconds"}`; not in lists."""

    @property
    def ended(self) -> bool:
        """Whether its state is final."""
        return self.finished_at is not None

    @property
    def shown_status(self) -> str:
        """The status as callers see it: `cancelling` until the engine has really stopped."""
        if self.cancel_requested and self.status is RunStatus.RUNNING:
            return "cancelling"
        return self.status.value

    @property
    def queue_seconds(self) -> float | None:
        """How long it waited before its last beginning; None while it still does."""
        if self.started_at is None:
            return None
        return max(0.0, (self.started_at - self.created_at).total_seconds())

    @property
    def mark(self) -> RunMark:
        """What to compare with a later look."""
        return RunMark(self.status, self.cancel_requested, self.attempt, self.event_count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right, and the duty, to execute a run: until the lease ends, or somebody ends it."""

    run_id: str
    attempt: int
    profile_id: str
    deployment_id: str
    version: int
    flow_id: str
    mode: ExecutionMode
    type: DeploymentType
    input_data: bytes
    timeout_seconds: float
    created_at: datetime
    started_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedRun:
    """A run that was begun, or the one that the same idempotency key had begun before."""

    run: Run
    existing: bool
    claim: Claim | None = None
    """Where the run was to begin at once, and is not `existing`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """How a run ends."""

    status: RunStatus
    output_data: bytes | None = None
    node_outputs: bytes | None = None
    error: RunError | None = None
    duration_seconds: float | None = None
    boot_seconds: float | None = None
    """Of those, what it waited for an inference server to boot; None where it did not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedRun:
    """A run that is over before anybody has written it down: a fast call."""

    new: NewRun
    ending: RunResult
    started_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseStatus:
    """What a process hears of its runs when it says that it lives."""

    lost: frozenset[str]
    """Not its any more: stop, and drop what comes of them."""
    cancelled: frozenset[str]
    """To be stopped, and then finished as cancelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedRun:
    """A run to hand over to whoever executes its kind."""

    run_id: str
    type: DeploymentType
    mode: ExecutionMode


@dataclass(frozen=True, slots=True, kw_only=True)
class ReapResult:
    """What became of the runs whose lease had ended."""

    requeued: tuple[QueuedRun, ...]
    lost: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeEvent:
    """A node that has finished while its run goes on."""

    number: int
    node_id: str
    data: bytes
