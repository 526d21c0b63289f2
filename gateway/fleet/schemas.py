"""Request and response bodies of inference servers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from gateway.fleet.labels import LABEL_PATTERN, MAX_LABELS
from gateway.fleet.registrations import LEASE_SECONDS, Seen
from gateway.fleet.scaling import DEFAULT_TARGET_QUEUE
from gateway.fleet.server_logs import MAX_LINES, ReplicaLines
from gateway.fleet.states import Batching, Desired, Phase, State
from gateway.fleet.store import ServerSettings
from gateway.storage.paging import Page
from gateway.storage.tables import InferenceServer
from gateway.upstream.seen_state import SeenState

if TYPE_CHECKING:  # commands show rows without the clients of inference servers
    from gateway.upstream.servers import InferenceServers

_MAX_IDLE_SECONDS = 365 * 86_400
_MAX_RUN_SECONDS = 7 * 86_400
_LABEL = "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_PORT = rf"(\[[0-9A-Fa-f:.]+\]|{_LABEL}(\.{_LABEL})*):[1-9][0-9]{{0,4}}$"
_CURSOR = r"^([0-9]{1,4}:[0-9]{1,18}(,[0-9]{1,4}:[0-9]{1,18})*)?$"
_TEXT = r"^[^\x00]*$"


def _check_port(address: str) -> str:
    if int(address.rpartition(":")[2]) >= 2**16:
        raise ValueError("expected a port below 65536")
    return address


Address = Annotated[
    str, Field(pattern=f"^(grpcs://)?{_HOST_PORT}", max_length=253), AfterValidator(_check_port)
]
MetricsAddress = Annotated[
    str, Field(pattern=f"^(https://)?{_HOST_PORT}", max_length=253), AfterValidator(_check_port)
]
MAX_REPLICAS = 16
"""Of one inference server."""


_Label = Annotated[str, Field(pattern=LABEL_PATTERN)]


class ReplicaRange(BaseModel):
    """Between how many replicas an inference server scales."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    min: int = Field(ge=1, le=MAX_REPLICAS)
    """The least number of replicas."""
    max: int = Field(ge=1, le=MAX_REPLICAS)
    """The greatest number of replicas; at least `min`."""

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"expected `min` up to `max`, got {self.min} and {self.max}")
        return self


class ServerSettingsIn(BaseModel):
    """The settings of an inference server."""

    model_config = ConfigDict(
        extra="forbid",
        use_attribute_docstrings=True,
        json_schema_extra={"examples": [{"idle_timeout_seconds": 600}]},
    )

    idle_timeout_seconds: int | None = Field(default=None, ge=1, le=_MAX_IDLE_SECONDS)
    """Seconds without an inference call after which the server is put to sleep; the next call
    starts it again. Null: never. A server with one replica, whose number stays, applies a new value
    at its next start."""
    replicas: int = Field(default=1, ge=1, le=MAX_REPLICAS)
    """How many processes run the model, each with memory of its own. A call goes to the one that
    has the fewest calls; where one ends, the others go on."""
    replica_range: ReplicaRange | None = None
    """In place of `replicas`: between how many their number follows the load. Null: it stays as it
    is."""
    target_queue: float = Field(default=DEFAULT_TARGET_QUEUE, ge=0.1, le=10_000)
    """In a range: how many calls are to wait or run in each replica, on average. The more, the
    fewer replicas, and the longer calls wait."""
    host_labels: dict[_Label, _Label] = Field(default_factory=dict, max_length=MAX_LABELS)
    """The labels that a machine must have to run it, such as `{"zone": "b"}`; see
    `slipstream hosts list`. Replicas that run move one after the other."""
    batching: Batching = Batching.AUTO
    """Which calls share runs of the model. `auto`: all, if it is proved that no row of the model
    reaches another one, see `rows` of the version. `off`: none. `declared`: also where nothing is
    proved, but only calls whose keys belong to the same user; you say that rows are independent.
    Processes apply a new value at their next start."""
    max_run_seconds: float | None = Field(default=None, ge=0.1, le=_MAX_RUN_SECONDS)
    """How long a run may take, whatever the deadline of its call is; then the call fails with
    `run_time_exceeded`. Null: 100 times what the first run took, for each time that the input is as
    large as in the first run (up to 1,000), and at least 30 s. Processes apply a new value at
    their next start."""

    @model_validator(mode="after")
    def _check_one_number(self) -> Self:
        if "replicas" in self.model_fields_set and self.replica_range is not None:
            raise ValueError("expected either `replicas` or `replica_range`")
        return self

    def settings(self) -> ServerSettings:
        """Return the settings that were sent; omitted ones stay as they are."""
        settings: ServerSettings = {}
        if "idle_timeout_seconds" in self.model_fields_set:
            settings["idle_timeout_seconds"] = self.idle_timeout_seconds
        if "target_queue" in self.model_fields_set:
            settings["target_queue"] = self.target_queue
        if "host_labels" in self.model_fields_set:
            settings["host_labels"] = self.host_labels
        if "batching" in self.model_fields_set:
            settings["batching"] = self.batching
        if "max_run_seconds" in self.model_fields_set:
            settings["max_run_seconds"] = self.max_run_seconds
        if "replicas" in self.model_fields_set:
            settings["replicas"] = self.replicas
        if "replica_range" in self.model_fields_set:
            given = self.replica_range
            settings["replica_range"] = None if given is None else (given.min, given.max)
        return settings


class ServerIn(ServerSettingsIn):
    """An inference server to start: for a flow, a deployment, or a model version.

    If it exists, only the settings that are sent change.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"model": "iris", "version": "latest", "idle_timeout_seconds": 300}]
        }
    )

    flow_id: str | None = None
    """The flow whose model is to be served."""
    deployment_id: str | None = None
    """The deployment whose model is to be served, in the version that its live version pins."""
    model: str | None = Field(default=None, min_length=1, max_length=128)
    """The model to be served."""
    version: str | int = Field(default="latest", union_mode="left_to_right")
    """With `model`: `latest`, a number or a label."""

    @model_validator(mode="after")
    def _check_one_of_them(self) -> Self:
        subjects = (self.flow_id, self.deployment_id, self.model)
        if sum(each is not None for each in subjects) != 1:
            raise ValueError("expected one of `flow_id`, `deployment_id` and `model`")
        if self.model is None and "version" in self.model_fields_set:
            raise ValueError("`version`: expected with `model` only")
        return self


class ReplicaOut(BaseModel):
    """The last observed state of one process of an inference server."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)

    slot: int
    """Its number within the server, from 0; from 1000 on if it has registered itself."""
    host_id: str | None
    """Of the machine that runs it; null: none yet, or it has registered itself. See
    `slipstream hosts list`."""
    is_registered: bool
    """Whether it has registered itself: no machine of the installation has started it."""
    state: State
    """`stopped`, `booting`, `ready`, `unresponsive`, `draining` or `failed`, as last observed."""
    phase: Phase | None
    """Of a boot: `fetching`, `spawning`, `loading` or `warming`; null: it does not boot."""
    pid: int | None
    """Id of the process on its machine; null: there is none."""
    address: str | None
    """Of its gRPC port on its own machine, such as `unix:/run/iris-3.sock`; null: none."""
    tcp_address: str | None
    """Of its gRPC port, for gateways and workers: `host:port`, or `grpcs://host:port` with TLS;
    null: none."""
    metrics_address: str | None
    """Of its `/metrics`: `host:port`, or `https://host:port`; null: none."""
    restarts: int
    """How often its process has ended without being told to."""
    memory_bytes: int | None
    """Memory that it uses, as last measured, in bytes; null: not known."""
    reason: str | None
    """Why it is in this state, such as an error; null: there is nothing to say."""
    boot_seconds: float | None
    """How long the last boot took."""
    started_at: datetime | None
    """When its last boot began (UTC); null: it has not been started."""
    phase_started_at: datetime | None
    """When the present phase of a boot began."""
    ready_at: datetime | None
    """When it became ready (UTC); null: it has not, since its last boot began."""
    load: float | None
    """How many calls waited or ran in it on average of late. Measured where the server scales."""


class ServerOut(BaseModel):
    """An inference server: what is desired, and what was last observed.

    The state, and what belongs to it, is that of the replica that is closest to answering calls.
    """

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)

    id: str
    """Id of the inference server, as its routes take it."""
    model: str
    """Name of the model."""
    version: int
    """Number of the model version."""
    flow_id: str | None
    """Id of the flow that it was started for; null: for no flow, or you do not manage the model."""
    desired: Desired
    """`running`, `stopped` by a user, or `asleep`: the next call starts it."""
    state: State
    """`stopped`, `booting`, `ready`, `unresponsive`, `draining` or `failed`; of several replicas,
    that of the one closest to answering calls."""
    phase: Phase | None
    """Of a boot: `fetching`, `spawning`, `loading` or `warming`; null: it does not boot."""
    idle_timeout_seconds: int | None
    """Seconds without an inference call after which the server is put to sleep; null: never."""
    replicas: int = Field(validation_alias="replica_count")
    """How many processes are to run it now, beside those that have registered themselves."""
    replica_range: ReplicaRange | None
    """Between how many the number follows the load; null: it stays."""
    target_queue: float | None
    """How many calls are to wait or run in each replica then; null: 2."""
    host_labels: dict[str, str] | None
    """The labels that a machine must have to run it; null if you do not manage the model."""
    batching: Batching
    """Which calls share runs of the model."""
    max_run_seconds: float | None
    """How long a run may take; null: its processes derive it from what their first run took."""
    ready_replicas: int
    """How many replicas are ready, with those that have registered themselves."""
    restarts: int
    """How often its processes have ended without being told to; 0 if you do not manage the
    model."""
    memory_bytes: int | None
    """Memory that its replicas use, as last measured, in bytes; null: not known, or you do not
    manage the model."""
    reason: str | None
    """Why it is in this state, such as an error; null: there is nothing to say, or you do not
    manage the model."""
    boot_seconds: float | None
    """How long the last boot took."""
    expected_boot_seconds: float | None
    """How long a boot takes: the median of the last 20. Null: it has not been ready yet."""
    slow_boot_seconds: float | None
    """What nine of ten of these took at most. Null: there were fewer than ten."""
    boot_elapsed_seconds: float | None = None
    """How long it has been booting, by the gateway's clock. Null: it does not boot."""
    started_at: datetime | None
    """When its last boot began (UTC); null: it has not been started."""
    phase_started_at: datetime | None
    """When the present phase of a boot began."""
    ready_at: datetime | None
    """When it became ready (UTC); null: it has not, since its last boot began."""
    created_at: datetime
    """When it was created (UTC)."""
    updated_at: datetime
    """When it was last changed (UTC)."""
    processes: list[ReplicaOut] = Field(validation_alias="replicas")
    """One for each replica; its state is `stopped` where there is none. Those that have registered
    themselves follow. Empty if you do not manage the model."""

    @classmethod
    def of(cls, row: InferenceServer, servers: InferenceServers, managed: Collection[str]) -> Self:
        """Convert a row; its state is that of `SeenState`.

        Who does not manage the model (`managed`: those that the caller manages) is not shown what
        its owner runs and where.
        """
        shown, seen = cls.model_validate(row), SeenState.of(row, servers)
        if row.model not in managed:
            shown = shown.model_copy(update=_OF_OTHERS)
        shown.state = State(seen.state)
        shown.phase = None if seen.phase is None else Phase(seen.phase)
        shown.phase_started_at = seen.phase_started_at
        shown.boot_elapsed_seconds = seen.boot_elapsed_seconds
        return shown


_OF_OTHERS: Mapping[str, object] = {
    "flow_id": None,
    "host_labels": None,
    "restarts": 0,
    "memory_bytes": None,
    "reason": None,
    "processes": [],
}
"""What is shown of the server of a model that the caller does not manage."""


class LogLineOut(BaseModel):
    """A line of the log of an inference server."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    slot: int
    """Of the replica."""
    at: datetime
    """When it was written (UTC)."""
    level: str
    """`debug`, `info`, `warning`, `error` or `critical`."""
    text: str
    """API keys in it are masked."""


class LogOut(BaseModel):
    """The last lines of an inference server's log, the newest last."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    lines: list[LogLineOut]
    """The lines of all replicas, by time."""
    next: str
    """Send it as `follow` to get only later lines."""

    @classmethod
    def of(cls, replicas: Sequence[ReplicaLines], tail: int, follow: Mapping[int, int]) -> Self:
        """Return up to `tail` lines of all replicas, later than those of `follow` by slot."""
        found = [
            (line.at, slot, line)
            for slot, lines in replicas
            for line in lines
            if line.at > follow.get(slot, 0)
        ]
        seen = {slot: lines[-1].at for slot, lines in replicas if lines}
        return cls(
            lines=[
                LogLineOut(
                    slot=slot,
                    at=datetime.fromtimestamp(at / 1e6, UTC),
                    level=line.level,
                    text=line.text,
                )
                for at, slot, line in sorted(found)[-tail:]
            ],
            next=",".join(f"{slot}:{at}" for slot, at in {**follow, **seen}.items()),
        )


class LogQuery(BaseModel):
    """Which lines of a log."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    tail: int = Field(default=MAX_LINES, ge=1, le=MAX_LINES)
    """At most so many of the last lines."""
    follow: str | None = Field(default=None, max_length=8_000, pattern=_CURSOR)
    """The `next` of an answer: only lines that are later."""

    def after(self) -> Mapping[int, int]:
        """Return the time of the last line that is known, by slot."""
        pairs = (pair.split(":") for pair in (self.follow or "").split(",") if pair)
        return {int(slot): int(at) for slot, at in pairs}


class RegistrationIn(BaseModel):
    """What a process that serves a model says of itself."""

    model_config = ConfigDict(
        extra="forbid",
        use_attribute_docstrings=True,
        json_schema_extra={
            "examples": [
                {
                    "model": "iris",
                    "version": 1,
                    "state": "ready",
                    "tcp_address": "10.0.0.7:9000",
                    "pid": 4711,
                    "boot_seconds": 1.5,
                }
            ]
        },
    )

    model: str = Field(min_length=1, max_length=128, pattern=_TEXT)
    """Name of the model."""
    version: int = Field(ge=1, lt=10**18)
    """Number of the model version."""
    state: Literal[State.BOOTING, State.READY, State.DRAINING, State.FAILED]
    """`booting`, `ready`, `draining` or `failed`."""
    phase: Phase | None = None
    """While it boots."""
    tcp_address: Address
    """Of its gRPC port, for gateways and workers: `host:port`, or `grpcs://host:port` with TLS."""
    metrics_address: MetricsAddress | None = None
    """Of its `/metrics`: `host:port`, or `https://host:port`."""
    pid: int = Field(ge=1, le=2**31 - 1)
    """Id of the process on its machine."""
    reason: str | None = Field(default=None, max_length=2_000, pattern=_TEXT)
    """Why it failed."""
    boot_seconds: float | None = Field(default=None, ge=0, le=86_400)
    """How long the last boot took."""

    def seen(self) -> Seen:
        """Return what the row gets."""
        return Seen(
            state=self.state,
            phase=self.phase,
            tcp_address=self.tcp_address,
            metrics_address=self.metrics_address,
            pid=self.pid,
            reason=self.reason,
            boot_seconds=self.boot_seconds,
        )


class RegisteredOut(BaseModel):
    """What a process that has registered is told."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    desired: Desired
    """Of the server of its model version. The process gets calls while it is `running`."""
    lease_seconds: float = LEASE_SECONDS
    """By then it has to register again."""


class ServerPage(BaseModel):
    """A page of inference servers."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    items: list[ServerOut]
    """The inference servers of this page, the newest first."""
    next_cursor: str | None
    """Send it as `cursor` to get the next page; null: this is the last one."""

    @classmethod
    def of(
        cls, page: Page[InferenceServer], servers: InferenceServers, managed: Collection[str]
    ) -> Self:
        """Return the response body; `managed` as `ServerOut.of`."""
        items = [ServerOut.of(row, servers, managed) for row in page.items]
        return cls(items=items, next_cursor=page.next_cursor)
