"""The tables of all features. Ids are UUID strings, times UTC; JSON columns hold validated data."""

from __future__ import annotations

from datetime import UTC, datetime
from statistics import median
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from gateway.ids import new_id
from gateway.storage.clock import now


class UtcTime(TypeDecorator[datetime]):
    """A time in UTC with its zone. SQLite stores it without the zone, as sortable text."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """Return `value` in UTC."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """Return the stored time with its zone."""
        return value.replace(tzinfo=UTC) if value and value.tzinfo is None else value


MAX_HANDLE_LENGTH = 39
MAX_SLUG_LENGTH = 63
_NOT_DELETED = text("status <> 'deleted'")

Id = String(36)
Word = String(32)
Name = String(200)
Json = dict[str, Any]


class Table(DeclarativeBase):
    """The base of all tables. Constraints have names, so that migrations can refer to them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Listed(Table):
    """A table that is listed in pages, by `created_at` and `id`."""

    __abstract__ = True

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=now)


class Owned(Listed):
    """A table whose rows belong to a profile."""

    __abstract__ = True

    noun: ClassVar[str]
    """The word for a row in messages."""

    profile_id: Mapped[str] = mapped_column(ForeignKey("profiles.id", ondelete="CASCADE"))


class Profile(Listed):
    """A user, who owns flows, deployments, keys and models."""

    __tablename__ = "profiles"
    __table_args__ = (Index("ix_profiles_handle", "handle", unique=True),)

    email: Mapped[str] = mapped_column(String(320), unique=True)
    """In lower case."""
    handle: Mapped[str | None] = mapped_column(String(MAX_HANDLE_LENGTH))
    """The user in addresses of deployments, as `storage/slugs.py` has it; NULL: a release before
    migration 0046 has made the user, who gets one with the next deployment."""
    role: Mapped[str] = mapped_column(Word)
    state: Mapped[str] = mapped_column(Word, default="active")
    """`active`, or `deactivated`: keys and sessions are rejected."""
    password_hash: Mapped[str | None] = mapped_column(Text)
    """An Argon2 hash; NULL: no password is set, so the user cannot log in."""
    password_changed_at: Mapped[datetime | None] = mapped_column(UtcTime)
    last_login_at: Mapped[datetime | None] = mapped_column(UtcTime)


class ApiKey(Owned):
    """An API key as a keyed hash, with the characters that its mask shows."""

    __tablename__ = "api_keys"
    noun = "API key"
    __table_args__ = (
        Index("ix_api_keys_page", "profile_id", "created_at", "id"),
        Index("ix_api_keys_mask", "profile_id", "display_prefix"),
    )

    name: Mapped[str] = mapped_column(Name)
    scope: Mapped[str] = mapped_column(Word)
    deployments: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    """The deployments it may trigger; NULL: all of the profile's."""
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    display_prefix: Mapped[str] = mapped_column(String(8))
    display_suffix: Mapped[str] = mapped_column(String(5))
    state: Mapped[str] = mapped_column(Word, default="active")
    last_used_at: Mapped[datetime | None] = mapped_column(UtcTime)
    last_address: Mapped[str | None] = mapped_column(String(64))
    """The client address of a recent call; NULL: never used, or over a Unix socket."""
    environment: Mapped[str | None] = mapped_column(Word)
    """A label for where it is used, such as `production`."""
    expires_at: Mapped[datetime | None] = mapped_column(UtcTime)
    total_uses: Mapped[int] = mapped_column(BigInteger, default=0)
    """Requests made with it; updated in batches, with a short delay."""
    refused_uses: Mapped[int] = mapped_column(BigInteger, default=0)
    """Requests that were refused because it was not valid."""
    last_refused_at: Mapped[datetime | None] = mapped_column(UtcTime)
    rotated_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """When it was rotated; NULL: not rotated."""
    grace_ends_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """Until when it stays valid beside its replacement."""
    uses_since_rotation: Mapped[int] = mapped_column(BigInteger, default=0)
    replaces: Mapped[str | None] = mapped_column(Id)
    """The key that it replaced, which may have been deleted."""
    replaced_by: Mapped[str | None] = mapped_column(Id)
    """Its replacement, which may have been deleted."""
    limits: Mapped[Json | None] = mapped_column(JSON(none_as_null=True))
    """See `limits/call_limits.py`; NULL: no limits of its own."""
    all_runs: Mapped[bool] = mapped_column(Boolean, default=False)
    """Whether it sees all runs of its deployments; otherwise those that it started."""


class Flow(Owned):
    """A flow's draft. Deployments run snapshots of it."""

    __tablename__ = "flows"
    noun = "flow"
    __table_args__ = (
        Index("ix_flows_page", "profile_id", "created_at", "id"),
        Index("ix_flows_updated_page", "profile_id", "updated_at", "id"),
        Index("ix_flows_name_page", "profile_id", "name", "id"),
    )

    name: Mapped[str] = mapped_column(Name)
    definition: Mapped[Json] = mapped_column(JSON)
    """`nodes` and `edges`, as `flows/spec.py` accepts them."""
    updated_at: Mapped[datetime] = mapped_column(UtcTime, default=now, onupdate=now)


class Deployment(Owned):
    """A stable URL for a flow. A deleted one stays as a tombstone, so that its URL answers 410."""

    __tablename__ = "deployments"
    noun = "deployment"
    __table_args__ = (
        Index("ix_deployments_page", "profile_id", "created_at", "id"),
        Index(
            "ix_deployments_slug",
            *("profile_id", "slug"),
            unique=True,
            sqlite_where=_NOT_DELETED,
            postgresql_where=_NOT_DELETED,
        ),
        Index("ix_deployments_tombstones", "profile_id", "slug", "created_at", "id"),
    )

    flow_id: Mapped[str] = mapped_column(Id, index=True)
    """No foreign key: a tombstone outlives its flow."""
    name: Mapped[str] = mapped_column(Name)
    slug: Mapped[str | None] = mapped_column(String(MAX_SLUG_LENGTH))
    """The deployment in its address, as `storage/slugs.py` has it; NULL: a release before migration
    0046 has made it, and it has none yet."""
    execution_mode: Mapped[str] = mapped_column(Word)
    deployment_type: Mapped[str] = mapped_column(Word)
    timeout_seconds: Mapped[int] = mapped_column(Integer)
    notification_method: Mapped[str] = mapped_column(Word)
    callback_url: Mapped[str | None] = mapped_column(Text)
    webhook_events: Mapped[list[str]] = mapped_column(JSON)
    response_format: Mapped[str] = mapped_column(Word)
    non_finite: Mapped[str] = mapped_column(Word, default="string")
    queue_timeout_seconds: Mapped[int | None] = mapped_column(Integer)
    cold_start_wait_seconds: Mapped[int] = mapped_column(Integer)
    on_timeout: Mapped[str] = mapped_column(Word)
    include_node_outputs: Mapped[bool] = mapped_column(Boolean)
    retry_safe: Mapped[bool] = mapped_column(Boolean)
    require_idempotency_key: Mapped[bool] = mapped_column(Boolean)
    record_runs: Mapped[str] = mapped_column(Word)
    record_sample: Mapped[float] = mapped_column(Float)
    cancel_on_disconnect: Mapped[bool] = mapped_column(Boolean)
    limits: Mapped[Json | None] = mapped_column(JSON(none_as_null=True))
    """As those of API keys."""
    cors_origins: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    """Origins whose pages may call it from a browser; NULL: none."""
    live_version: Mapped[int] = mapped_column(Integer)
    rollout_seq: Mapped[int] = mapped_column(Integer, default=0)
    """Number of the last redeploy or promotion that was started."""
    live_rollout_seq: Mapped[int] = mapped_column(Integer, default=0)
    """Number of the rollout that made the live version live; an earlier one may not replace it."""
    status: Mapped[str] = mapped_column(Word, default="active")
    updated_at: Mapped[datetime] = mapped_column(UtcTime, default=now, onupdate=now)


class DeploymentVersion(Table):
    """A snapshot of a flow with its pinned models. Only name and description can change."""

    __tablename__ = "deployment_versions"

    deployment_id: Mapped[str] = mapped_column(
        ForeignKey("deployments.id", ondelete="CASCADE"), primary_key=True
    )
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    definition: Mapped[Json] = mapped_column(JSON)
    models: Mapped[dict[str, Json]] = mapped_column(JSON)
    """Node id → the pinned model version with its signature, as `models/pins.py` writes it."""
    input_schema: Mapped[Json | None] = mapped_column(JSON(none_as_null=True))
    """The JSON Schema of `input_data`; NULL: the flow has none."""
    drafted_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """The flow's `updated_at` at the time of the snapshot; if it is unchanged, so is the draft."""
    name: Mapped[str | None] = mapped_column(Name)
    description: Mapped[str | None] = mapped_column(Text)
    created_by: Mapped[str | None] = mapped_column(Id)
    """The profile."""
    created_by_key: Mapped[str | None] = mapped_column(Id)
    """The API key, which may have been deleted; NULL for the command line."""
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=now)


class Rollout(Table):
    """The last canary or shadow of a deployment: a version that is tried beside the live one."""

    __tablename__ = "rollouts"

    deployment_id: Mapped[str] = mapped_column(
        ForeignKey("deployments.id", ondelete="CASCADE"), primary_key=True
    )
    id: Mapped[str] = mapped_column(Id)
    """Another one for each rollout, so that late counts of an earlier one are recognised."""
    strategy: Mapped[str] = mapped_column(Word)
    baseline: Mapped[int] = mapped_column(Integer)
    """The version that was live when it began."""
    candidate: Mapped[int] = mapped_column(Integer)
    """The version that is tried."""
    weight: Mapped[int] = mapped_column(Integer)
    """Per cent of the calls that reach the candidate."""
    checks: Mapped[Json] = mapped_column(JSON)
    """As `deployments/rollout_settings.py` writes them."""
    promote_after_seconds: Mapped[int | None] = mapped_column(Integer)
    """NULL: a person promotes the candidate."""
    promote_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """By the database's clock."""
    state: Mapped[str] = mapped_column(Word)
    cause: Mapped[str | None] = mapped_column(Word)
    """Of a rollback: which check the candidate has failed; NULL: a person did it."""
    reason: Mapped[str | None] = mapped_column(Text)
    """Why it has ended, for people."""
    observed: Mapped[Json] = mapped_column(JSON)
    """As `deployments/rollouts/observations.py` writes them."""
    started_at: Mapped[datetime] = mapped_column(UtcTime, default=now)
    ended_at: Mapped[datetime | None] = mapped_column(UtcTime)


class Model(Table):
    """Whose a model is, and who may use it; its versions are in the model store.

    A model without a row belongs to the installation and is shared. A row stays when the last
    version is removed; who publishes the name next takes it over.
    """

    __tablename__ = "models"

    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    owner_id: Mapped[str | None] = mapped_column(
        ForeignKey("profiles.id", ondelete="SET NULL"), index=True
    )
    """The profile; NULL: the installation."""
    visibility: Mapped[str] = mapped_column(Word)
    """`private` or `shared`, see `auth/model_access.py`."""
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=now)
    updated_at: Mapped[datetime] = mapped_column(UtcTime, default=now, onupdate=now)


class InferenceServer(Listed):
    """The inference server of a model version: what users want, and the replicas that run it.

    The properties describe the server as a whole: the state is that of the replica that is closest
    to answering calls. The table has more columns, for gateways of an older release: see migration
    0022.
    """

    __tablename__ = "inference_servers"
    __table_args__ = (
        UniqueConstraint("model", "version"),
        Index("ix_inference_servers_page", "created_at", "id"),
    )

    model: Mapped[str] = mapped_column(String(128))
    version: Mapped[int] = mapped_column(BigInteger)
    flow_id: Mapped[str | None] = mapped_column(Id)
    """The flow that it was started for, if any."""
    needed_by: Mapped[str] = mapped_column(Word, default="person", server_default="person")
    """Why it runs, see `fleet/states.py`."""
    desired: Mapped[str] = mapped_column(Word, default="running")
    generation: Mapped[int] = mapped_column(Integer, default=1)
    """Incremented by each requested start; a failed server is started again when it changes."""
    idle_timeout_seconds: Mapped[int | None] = mapped_column(Integer)
    """Seconds without a call after which it is put to sleep; NULL: never."""
    host_labels: Mapped[dict[str, str] | None] = mapped_column(JSON(none_as_null=True))
    """The labels that a host must have to run it."""
    min_replicas: Mapped[int | None] = mapped_column(Integer)
    """The number of its hosted replicas follows their load, between this and `max_replicas`; NULL:
    it stays as it is."""
    max_replicas: Mapped[int | None] = mapped_column(Integer)
    target_queue: Mapped[float | None] = mapped_column(Float)
    """How many calls wait or run in a replica on average, to which the number is adapted."""
    batching: Mapped[str] = mapped_column(Word, default="auto", server_default="auto")
    """Which calls share runs, see `fleet/states.py`."""
    max_run_seconds: Mapped[float | None] = mapped_column(Float)
    """How long a run of the model may take; NULL: derived by the inference server."""
    boots: Mapped[list[float] | None] = mapped_column(JSON(none_as_null=True))
    """How many seconds its last boots took, the newest last; NULL: it has not been ready yet."""
    updated_at: Mapped[datetime] = mapped_column(UtcTime, default=now, onupdate=now)
    replicas: Mapped[list[Replica]] = relationship(
        order_by="Replica.slot",
        lazy="selectin",
        cascade="all, delete-orphan",
        passive_deletes=True,
    )

    @property
    def lead(self) -> Replica:
        """The replica that is closest to answering calls."""
        nothing = Replica(state="stopped", restarts=0)  # it was deleted between two queries
        return min(self.replicas, key=lambda replica: CLOSEST.index(replica.state), default=nothing)

    @property
    def state(self) -> str:
        """Of the lead."""
        return self.lead.state

    @property
    def phase(self) -> str | None:
        """Of the lead."""
        return self.lead.phase

    @property
    def reason(self) -> str | None:
        """Of the lead."""
        return self.lead.reason

    @property
    def boot_seconds(self) -> float | None:
        """Of the lead."""
        return self.lead.boot_seconds

    @property
    def expected_boot_seconds(self) -> float | None:
        """The median of its last boots; None: there was none."""
        return median(self.boots) if self.boots else None

    @property
    def slow_boot_seconds(self) -> float | None:
        """What nine of ten of its last boots took at most; None: there were fewer than ten."""
        boots = sorted(self.boots or ())
        return boots[len(boots) * 9 // 10 - 1] if len(boots) >= _ENOUGH_BOOTS else None

    def elapsed_boot_seconds(self, at: datetime) -> float | None:
        """For how long the lead boots at a time; None: it does not."""
        if self.state != "booting" or self.started_at is None:
            return None
        return max(0.0, (at - self.started_at).total_seconds())

    @property
    def phase_started_at(self) -> datetime | None:
        """Of the lead."""
        return self.lead.phase_started_at

    @property
    def started_at(self) -> datetime | None:
        """Of the lead."""
        return self.lead.started_at

    @property
    def ready_at(self) -> datetime | None:
        """Of the lead."""
        return self.lead.ready_at

    @property
    def restarts(self) -> int:
        """Of all replicas."""
        return sum(replica.restarts for replica in self.replicas)

    @property
    def memory_bytes(self) -> int | None:
        """Of all replicas."""
        known = [replica.memory_bytes for replica in self.replicas]
        return sum(filter(None, known)) if any(known) else None

    @property
    def successors(self) -> list[Replica]:
        """Replicas on their way to another host: each takes the place of another one when ready."""
        ids = {replica.id for replica in self.replicas}
        return [replica for replica in self.replicas if replica.replaces in ids]

    @property
    def hosted(self) -> list[Replica]:
        """The replicas that hosts run, without successors; others have registered themselves."""
        successors = self.successors
        return [
            replica
            for replica in self.replicas
            if not replica.is_registered and replica not in successors
        ]

    @property
    def replica_count(self) -> int:
        """How many replicas are desired."""
        return len(self.hosted)

    @property
    def replica_range(self) -> dict[str, int] | None:
        """Between how many hosted replicas it scales; None: their number stays."""
        if self.min_replicas is None or self.max_replicas is None:
            return None
        return {"min": self.min_replicas, "max": self.max_replicas}

    @property
    def scales(self) -> bool:
        """Whether the number of its hosted replicas follows their load."""
        return self.replica_range is not None

    @property
    def idle_seconds(self) -> int | None:
        """Seconds without a call after which it is put to sleep; None: never."""
        return UNNEEDED_IDLE_SECONDS if self.needed_by == "nothing" else self.idle_timeout_seconds

    @property
    def sleeps(self) -> bool:
        """Whether it is put to sleep when none of its replicas has had a call for a while."""
        return self.idle_seconds is not None

    @property
    def ready_replicas(self) -> int:
        """How many replicas are ready."""
        return sum(replica.state == "ready" for replica in self.replicas)


UNNEEDED_IDLE_SECONDS = 60
"""After which a server sleeps that nothing needs, whatever its idle timeout is."""
_ENOUGH_BOOTS = 10
"""To say which are slow."""
CLOSEST = ("ready", "booting", "draining", "unresponsive", "failed", "stopped")
"""The states of a replica, from answering calls to having no process."""


class Replica(Table):
    """One of the processes of an inference server: its last observed state."""

    __tablename__ = "replicas"
    __table_args__ = (UniqueConstraint("server_id", "slot"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    server_id: Mapped[str] = mapped_column(ForeignKey("inference_servers.id", ondelete="CASCADE"))
    slot: Mapped[int] = mapped_column(Integer)
    """From 0 on, without gaps; of one that has registered itself, from 1000 on."""
    host_id: Mapped[str | None] = mapped_column(
        ForeignKey("hosts.id", ondelete="SET NULL"), index=True
    )
    """The host that runs it, and alone writes what follows; NULL: it is open, or has registered."""
    replaces: Mapped[str | None] = mapped_column(Id)
    """The replica whose place it takes when it is ready, see `fleet/moves.py`."""
    lease_until: Mapped[datetime | None] = mapped_column(UtcTime, index=True)
    """Of a process that has registered itself, by the database's clock: the row is deleted then."""
    state: Mapped[str] = mapped_column(Word, default="stopped")
    phase: Mapped[str | None] = mapped_column(Word)
    phase_started_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """While it boots."""
    pid: Mapped[int | None] = mapped_column(Integer)
    address: Mapped[str | None] = mapped_column(Text)
    tcp_address: Mapped[str | None] = mapped_column(Text)
    """For gateways and workers on other machines."""
    metrics_address: Mapped[str | None] = mapped_column(Text)
    restarts: Mapped[int] = mapped_column(Integer, default=0)
    memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    reason: Mapped[str | None] = mapped_column(Text)
    crashed_call: Mapped[str | None] = mapped_column(String(32))
    """The id, by which gateways know it, of the call whose run has last ended a process of it."""
    started_at: Mapped[datetime | None] = mapped_column(UtcTime)
    ready_at: Mapped[datetime | None] = mapped_column(UtcTime)
    boot_seconds: Mapped[float | None] = mapped_column(Float)
    load: Mapped[float | None] = mapped_column(Float)
    """How many calls waited or ran in it on average of late. Written where the server scales."""
    idle_since: Mapped[datetime | None] = mapped_column(UtcTime)
    """Since when it has had no call, by the database's clock; NULL: it has, or it is not known."""

    @property
    def is_registered(self) -> bool:
        """Whether its process was not started by a host, and has registered itself."""
        return self.lease_until is not None


class ReplicaLog(Table):
    """The last lines of a replica's log, see `fleet/server_logs.py`."""

    __tablename__ = "replica_logs"

    replica_id: Mapped[str] = mapped_column(
        ForeignKey("replicas.id", ondelete="CASCADE"), primary_key=True
    )
    lines: Mapped[list[list[Any]]] = mapped_column(JSON)
    """Each: microseconds since the epoch, level, text. Any: these."""


class Host(Listed):
    """A machine whose supervisor runs replicas of inference servers, while its lease lasts."""

    __tablename__ = "hosts"

    name: Mapped[str] = mapped_column(Name)
    owner: Mapped[str] = mapped_column(Text)
    """The supervisor's process, see `execution/lease_owner.py`."""
    token: Mapped[int] = mapped_column(BigInteger)
    """Greater with each claim."""
    lease_until: Mapped[datetime] = mapped_column(UtcTime)
    """By the database's clock."""
    joined: Mapped[bool] = mapped_column(Boolean, default=False)
    """Whether it has joined an installation; at most one has not."""
    version: Mapped[str | None] = mapped_column(String(64))
    """Of Slipstream, that its supervisor runs."""
    labels: Mapped[dict[str, str] | None] = mapped_column(JSON(none_as_null=True))
    memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    """What its inference servers may use together."""
    cordoned_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """Since when it takes no replicas, and those that it has move away; NULL: it takes some."""


class PepperCheck(Table):
    """One row, written once: how the pepper is recognised, see `auth/pepper.py`."""

    __tablename__ = "pepper_check"
    __table_args__ = (CheckConstraint("id = 1", name="single_row"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    digest: Mapped[str] = mapped_column(String(64))


class ServiceProcess(Table):
    """A gateway or a worker, see `fleet/processes.py`."""

    __tablename__ = "service_processes"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    host_id: Mapped[str | None] = mapped_column(
        ForeignKey("hosts.id", ondelete="CASCADE"), index=True
    )
    """The host that looks after it, and lends it its lease; NULL: it runs alone."""
    lease_until: Mapped[datetime | None] = mapped_column(UtcTime)
    """Of one that runs alone, by the database's clock."""
    host: Mapped[str] = mapped_column(Name)
    """The name of its machine."""
    kind: Mapped[str] = mapped_column(Word)
    name: Mapped[str] = mapped_column(Name)
    state: Mapped[str] = mapped_column(Word)
    reason: Mapped[str | None] = mapped_column(Text)
    pid: Mapped[int | None] = mapped_column(Integer)
    address: Mapped[str | None] = mapped_column(Text)
    """The URL of its REST port, or of its probes and metrics."""
    version: Mapped[str] = mapped_column(String(64))
    concurrency: Mapped[int | None] = mapped_column(Integer)
    """How many runs a worker executes at a time."""
    started_at: Mapped[datetime | None] = mapped_column(UtcTime)


class ChangeCounter(Table):
    """One row: the last revision. Its lock makes revisions follow the order of commits."""

    __tablename__ = "change_counter"
    __table_args__ = (CheckConstraint("id = 1", name="single_row"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    revision: Mapped[int] = mapped_column(BigInteger)


class Change(Table):
    """One change for the other processes, see `changes.py`."""

    __tablename__ = "changes"

    revision: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(Word)
    entity_id: Mapped[str] = mapped_column(String(200))
    owner_id: Mapped[str | None] = mapped_column(Id)
    """The profile of an entity without a row of its own, or whose row is deleted."""
    at: Mapped[datetime] = mapped_column(UtcTime, default=now)
