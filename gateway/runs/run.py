"""The types of runs: states, new runs, claims and results. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal, NamedTuple

from gateway.deployments.settings import DeploymentType, ExecutionMode
from gateway.ids import new_run_id
from gateway.limits.policy import ConcurrencyLimit
from gateway.runs.labels import Labels

MAX_INPUT_BYTES = 16 * 1024 * 1024
"""Maximum size of `input_data`."""
MAX_SERVER_VALUES = 500_000
"""Maximum number of JSON values in `input_data` over 1 MiB, for type `server`: the gateway's event
loop reads and writes them in up to 0.1 µs each."""
MAX_OUTPUT_BYTES = 16 * 1024 * 1024
"""Maximum size of `output_data`; a run with more fails."""
MAX_NODE_OUTPUTS_BYTES = 4 * 1024 * 1024
"""Maximum size of `node_outputs`; if they are larger, all of them are dropped."""
MAX_MESSAGE_CHARACTERS = 2000
"""Error messages are truncated to this length."""


class RunStatus(StrEnum):
    """The state of a run. The last three are final: the first writer wins."""

    QUEUED = "queued"
    """Waiting for an executor."""
    RUNNING = "running"
    """A process holds a lease on it."""
    COMPLETED = "completed"
    """It has an output."""
    FAILED = "failed"
    """It has an error."""
    CANCELLED = "cancelled"
    """It was cancelled on request."""


ShownStatus = Literal["queued", "running", "cancelling", "completed", "failed", "cancelled"]
"""What callers see of a RunStatus; see `Run.shown_status`."""


class FailureCode(StrEnum):
    """Why a run failed or was cancelled."""

    FLOW_FAILED = "flow_failed"
    """A node failed."""
    EVALUATION_LIMIT = "evaluation_limit"
    """An expression took too much."""
    INVALID_INPUT = "invalid_input"
    """A node could not use what it computed from the input alone."""
    INVALID_TENSOR = "invalid_tensor"
    """A model refused what was computed from the input alone."""
    NON_FINITE_OUTPUT = "non_finite_output"
    """`output_data` has NaN or an infinity, and the deployment allows none."""
    TIMEOUT = "timeout"
    """It exceeded its timeout."""
    QUEUE_TIMEOUT = "queue_timeout"
    """It was not started in time."""
    WORKER_LOST = "worker_lost"
    """Its process is gone."""
    INFERENCE_UNAVAILABLE = "inference_unavailable"
    """The inference server is starting, has failed, or is being replaced."""
    NO_ACTIVE_INFERENCE = "no_active_inference"
    """No inference server is meant to run for the model."""
    STORAGE_QUOTA_EXCEEDED = "storage_quota_exceeded"
    """When it was to start, its user's stored runs exceeded the quota."""
    CANCELLED = "cancelled"
    """It was cancelled on request."""
    CANCELLED_BY_SHUTDOWN = "cancelled_by_shutdown"
    """Its process was shut down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunError:
    """Why a run has no result."""

    code: str
    """A FailureCode."""
    message: str
    node_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Idempotency:
    """An idempotency key and the call that it belongs to."""

    key: str
    fingerprint: str
    """Hash of the call: the same key with another hash is an error."""
    replaced_keys: frozenset[str] = frozenset()
    """API keys that the caller's replaced: it may repeat their calls, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """A run to create."""

    profile_id: str
    deployment_id: str
    version: int
    flow_id: str
    mode: ExecutionMode
    type: DeploymentType
    input_data: bytes | None
    """JSON; None for a fast call whose input is not kept."""
    timeout_seconds: float
    id: str = field(default_factory=new_run_id)
    """From `gateway.ids.new_run_id`: retention relies on the creation time in the id."""
    key_id: str | None = None
    queue_timeout_seconds: float | None = None
    retry_safe: bool = False
    max_attempts: int = 2
    idempotency: Idempotency | None = None
    retry_of: str | None = None
    request_id: str | None = None
    """The id that the client gave the request; None: it has the one of `own_request_id`."""
    traceparent: str | None = None
    """The span that its spans are below, by W3C Trace Context; None: it is not traced."""
    tracestate: str | None = None
    """What the caller's vendors have said of the trace."""
    labels: Labels | None = None
    """The caller's; None: none."""
    concurrency_limits: tuple[ConcurrencyLimit, ...] = ()
    """Limits of concurrent runs that this run is subject to."""
    draft: bytes | None = None
    """The flow of a test run, as `gateway.drafts.draft_flow` writes it; None: a deployment's."""

    @property
    def test(self) -> bool:
        """Whether it is a test of a draft, which no deployment has."""
        return self.draft is not None


class RunMark(NamedTuple):
    """The parts of an unfinished run that change; a different mark means that it has changed."""

    status: RunStatus
    cancel_requested: bool
    attempt: int
    event_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run as stored."""

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
    test: bool
    """Whether it tests a draft: it is kept for a day, and in no usage."""
    boot_seconds: float | None = None
    """The longest time that a node waited for a booting inference server; None: none had to."""
    cancel_requested_at: datetime | None = None
    """None: it was not, or by an older version."""
    request_id: str | None = None
    """The `X-Request-Id` of the request that made it; None: an older version did not keep it."""
    traceparent: str | None = None
    """See NewRun."""
    labels: Labels | None = None
    """See NewRun."""
    output_data: bytes | None = None
    """JSON, if the run is completed; None in lists."""
    node_outputs: bytes | None = None
    """JSON: node id → `{"name", "type", "status", "output", "duration_seconds",
    "started_seconds"}`; None in lists."""

    @property
    def ended(self) -> bool:
        """Whether its state is final."""
        return self.finished_at is not None

    @property
    def cancellable(self) -> bool:
        """Whether a cancellation would have an effect."""
        return not self.ended and not self.cancel_requested

    @property
    def shown_status(self) -> ShownStatus:
        """The public status: `cancelling` until the executor has stopped a cancelled run."""
        if self.cancel_requested and self.status is RunStatus.RUNNING:
            return "cancelling"
        return self.status.value

    @property
    def queue_seconds(self) -> float | None:
        """Time from its creation to its last start; None while it is queued."""
        if self.started_at is None:
            return None
        return max(0.0, (self.started_at - self.created_at).total_seconds())

    @property
    def trace_id(self) -> str | None:
        """The trace that it belongs to, 32 hexadecimal digits; None: it is not traced."""
        return None if self.traceparent is None else self.traceparent.split("-")[1]

    @property
    def mark(self) -> RunMark:
        """The current mark."""
        return RunMark(self.status, self.cancel_requested, self.attempt, self.event_count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """The queued runs of a deployment in one mode and type."""

    deployment_id: str
    mode: str
    type: str
    runs: int
    oldest_seconds: float
    """Time since the oldest of them was accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The exclusive right to execute a run, until the lease or the run ends.

    `attempt` is the fencing token of the claim: writes with an older one have no effect.
    """

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
    asked_at: float
    """`time.monotonic()` of this process before the statement was sent."""
    key_id: str | None = None
    """The key that started it."""
    test: bool = False
    """Whether its flow is a draft that is stored with it."""
    traceparent: str | None = None
    tracestate: str | None = None
    """See NewRun, both."""
    refusal: RunError | None = None
    """Why the run may not be executed: it ends with this error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedRun:
    """A new run, or the existing run of the same idempotency key."""

    run: Run
    existing: bool
    claim: Claim | None = None
    """Set if the run was created with an owner and is not `existing`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """The final state of a run and its output or error."""

    status: RunStatus
    output_data: bytes | None = None
    node_outputs: bytes | None = None
    error: RunError | None = None
    duration_seconds: float | None = None
    boot_seconds: float | None = None
    """Part of the duration spent waiting for booting inference servers; None: no wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedRun:
    """A run that is recorded after it ended: a fast call."""

    new: NewRun
    ending: RunResult
    started_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseStatus:
    """The state of the runs that a process holds."""

    lost: frozenset[str]
    """No longer held: stop them and discard their results."""
    cancelled: frozenset[str]
    """Cancellation requested: stop them and finish them as cancelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedRun:
    """A queued run to hand over to an executor."""

    run_id: str
    type: DeploymentType
    mode: ExecutionMode


@dataclass(frozen=True, slots=True, kw_only=True)
class ReapResult:
    """The runs whose lease had ended."""

    requeued: tuple[QueuedRun, ...]
    lost: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeEvent:
    """A finished node of a running run."""

    number: int
    node_id: str
    data: bytes
    attempt: int | None = None
    """The attempt that reported it; None: an older version did not keep it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDetails:
    """What a single run is shown with, beside its row."""

    names: Mapping[str, str] | None = None
    """Of its deployment and its API key, by id, as far as they exist; None: not to be shown."""
    shows_input: bool = False
    input_data: bytes | None = None
    """JSON, if it was kept and is to be shown."""
