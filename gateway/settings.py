"""The gateway's settings: read once from `SLIPSTREAM_…` variables, passed on as an argument."""

from __future__ import annotations

import math
import re
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from telemetry.control_groups import available_memory
from telemetry.instruments import MAX_SERIES
from telemetry.options import is_loopback
from telemetry.traces import check_endpoint

_STORE_URL = re.compile(r"file:///.*|(s3|gs|az)://[^/@?#]+(/[^@?#]*)?")
_CALL_LOG = re.compile(r"off|errors|all|slow:([1-9][0-9]{0,6})ms")
SLOW_CALL_SECONDS = 1.0
"""Calls that took as long can be looked up, also if they have succeeded."""
_DRAIN_DELAY_SECONDS = 5.0
"""As long as usual clients use an idle connection again: httpx, Node, HAProxy."""
_MAX_PAUSE_SECONDS = 7 * 86_400.0
SECRETS = ("database_url", "broker_url", "key_pepper", "rate_limit_url", "model_store_options")
"""Settings that a file can contain, named by the setting with `_file`."""


class Settings(BaseSettings):
    """Every setting with its default. Its environment variable is SLIPSTREAM_ and the name."""

    model_config = SettingsConfigDict(
        env_prefix="SLIPSTREAM_",
        frozen=True,
        use_attribute_docstrings=True,
        extra="ignore",
        hide_input_in_errors=True,  # it contains secrets
    )

    host: str = "127.0.0.1"
    """Address of REST and gRPC. Loopback by default."""
    port: int = Field(default=8080, ge=1, le=65535)
    """Port of REST."""
    grpc_port: int = Field(default=8081, ge=1, le=65535)
    """Port of gRPC."""
    grpc_server: Literal["native", "grpcio"] = "native"
    """Server behind the gRPC port: `native`, which is faster and has limits of connections, or
    stock `grpcio`."""
    workers: int = Field(default=1, ge=1, le=256)
    """Gateway processes, all listening on the same port. One per core is the useful maximum."""
    state: Path = Path(".slipstream")
    """Folder with all persistent state."""
    database_url: str | None = None
    """Such as postgresql://user@host/name. Default: SQLite in the state folder."""
    database_url_file: Path | None = None
    """File with the URL of the database, in place of `database_url`; read at the start."""
    broker_url: str | None = None
    """Such as redis://host:6379/0 or amqp://user:password@host:5672//. Default: a folder in the
    state folder, which needs no server and serves one machine."""
    broker_url_file: Path | None = None
    """File with the URL of the broker, in place of `broker_url`; read at the start."""
    queue_prefix: str = Field(default="slipstream", pattern=r"^[a-z0-9][a-z0-9_-]{0,40}$")
    """Prefix of the queues' names. Installations that share a broker need different ones."""
    key_pepper: str | None = None
    """Secret with which API keys are hashed and webhook secrets encrypted. Default: created once in
    the state folder. Machines that share a database need the same one."""
    key_pepper_file: Path | None = None
    """File with the pepper, in place of `key_pepper`; read at the start."""
    key_age_warning_days: int = Field(default=90, ge=1, le=3650)
    """Age in days from which an API key is shown with a warning."""
    anonymous_v2: bool = False
    """Open `/v2` and gRPC to clients without a key. Loopback only."""
    max_body_bytes: int = Field(default=64 * 1024 * 1024, ge=1024)
    """Largest request body and gRPC message, in bytes."""
    max_upload_bytes: int = Field(default=4 * 1024**3, ge=1024)
    """Largest upload of a model version, in bytes."""
    model_store: str | None = None
    """URL of the model store: `file:///folder`, `s3://bucket/prefix`, `gs://…` or `az://…`.
    Default: the folder `models` of `state`."""
    model_store_options: str | None = None
    """Options of the bucket, such as `access_key_id=…,secret_access_key=…,endpoint=https://…`.
    Default: what the vendor's own variables say, such as `AWS_ACCESS_KEY_ID`."""
    model_store_options_file: Path | None = None
    """File with `model_store_options`, in place of it; read at the start."""
    model_cache_bytes: int = Field(default=20 * 1024**3, ge=1024)
    """Bytes of the models of a bucket that a host keeps on its disk."""
    model_store_bytes: int | None = Field(default=None, ge=1024)
    """Bytes of all models together, above which uploads are refused. Default: what the disk holds,
    of which uploads always leave 5 % or 1 GiB free."""
    user_model_bytes: int = Field(default=64 * 1024**3, ge=1024)
    """Bytes of the models that one user may have uploaded."""
    user_model_versions: int = Field(default=1000, ge=1)
    """Model versions that one user may have uploaded."""
    verifications: int = Field(default=1, ge=1, le=64)
    """Uploads that each gateway process verifies at once; each may take minutes and gigabytes."""
    scale_down_seconds: float = Field(default=60.0, ge=1, le=86_400)
    """How long fewer replicas must have sufficed until an inference server in a range has fewer."""
    infer_timeout_seconds: float = Field(default=300.0, gt=0)
    """Longest duration of a call of `/v2` or gRPC; callers can ask for less."""
    server_runs: int = Field(default=16, ge=1, le=10_000)
    """Concurrent runs of type `server` per gateway process."""
    evaluators: int = Field(default=8, ge=1, le=256)
    """Processes per gateway or worker process that evaluate expressions and schemas, at most. They
    are started when they are needed. One user has at most half of them at a time."""
    evaluator_memory_bytes: int = Field(default=512 * 1024 * 1024, ge=128 * 1024 * 1024)
    """Memory that such a process may allocate."""
    evaluation_seconds: float = Field(default=10.0, gt=0, le=3600)
    """CPU time of one evaluation."""
    function_processes: int = Field(default=16, ge=1, le=256)
    """Processes per gateway or worker process that call the functions of Python nodes, at most, and
    so calls at a time. One user has at most half of them at a time."""
    function_memory_bytes: int = Field(default=4 * 1024**3, ge=256 * 1024**2)
    """Memory that such a process may allocate."""
    child_memory_bytes: int | None = Field(default=None, ge=128 * 1024**2)
    """Memory that the evaluators and function processes of all gateways and workers of a host may
    use together: beyond it, the largest one is ended. Default: a quarter of the machine's memory,
    or of the container's limit."""
    tls_certificate: Path | None = None
    """PEM file with the certificate and chain of REST and gRPC, which both use TLS then. Needs
    tls_key; reloaded when it changes."""
    tls_key: Path | None = None
    """PEM file with the certificate's private key."""
    upstream_tls_ca: Path | None = None
    """CA bundle used to verify inference servers on other machines. Default: the system's."""
    upstream_tls_certificate: Path | None = None
    """PEM file with the client certificate for such servers."""
    upstream_tls_key: Path | None = None
    """PEM file with its private key."""
    upstream_tls_server_name: str | None = None
    """Name that their certificates must contain. Default: the host of each server's address."""
    upstream_token_file: Path | None = None
    """File with the token that such servers require, in its first line."""
    metrics_token_file: Path | None = None
    """File with the tokens that `/metrics` requires, one per line; reloaded when it changes.
    Default: programs on this machine read it without a token."""
    metrics_max_series: int = Field(default=MAX_SERIES, ge=100)
    """Series of each metric, per gateway process; `metrics_series_dropped_total` counts the
    others."""
    webhook_allow: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = ()
    """Private networks, comma-separated, that flows and webhooks may call beside the public
    internet, at any port. Addresses of cloud metadata services stay blocked."""
    webhook_allow_http: bool = False
    """Allow http:// URLs in flows and webhooks."""
    webhook_schedule_seconds: Annotated[tuple[float, ...], NoDecode] = (
        *(0.0, 5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0),
    )
    """Seconds before each delivery attempt of an event, comma-separated. The number of values is
    the number of attempts; each pause is up to a fifth longer."""
    webhook_timeout_seconds: float = Field(default=15.0, gt=0, le=30)
    """Duration of one delivery attempt, from the DNS look-up to the end of the response."""
    public_base_url: str | None = Field(default=None, pattern=r"^https?://[^\s/?#]+(/[^\s?#]*)?$")
    """Public URL of this gateway, such as https://flows.example.com. Default: host and port of this
    machine. The `result_url` of webhook events begins with it."""
    rate_limit_url: str | None = Field(default=None, pattern=r"^rediss?://")
    """Such as redis://host:6379/0: all gateway processes count calls together. Default: each counts
    for itself, and has its share of every quota."""
    rate_limit_url_file: Path | None = None
    """File with `rate_limit_url`, in place of it; read at the start."""
    key_calls_per_minute: int | None = Field(default=None, ge=1)
    """Limit of keys that have no `calls_per_minute` of their own."""
    key_calls_per_day: int | None = Field(default=None, ge=1)
    """Limit of keys that have no `calls_per_day` of their own."""
    key_concurrent_runs: int | None = Field(default=None, ge=1)
    """Limit of keys that have no `concurrent_runs` of their own."""
    key_polls_per_minute: int = Field(default=3000, ge=0)
    """Reads of runs by keys that have no `polls_per_minute` of their own; 0: unlimited."""
    key_event_streams: int = Field(default=256, ge=1)
    """Streams of events of runs that one key, or all sessions of a user, may have open per gateway
    process; all keys and sessions of a user four times as many."""
    deployment_calls_per_minute: int | None = Field(default=None, ge=1)
    """Limit of deployments that have no `calls_per_minute` of their own."""
    deployment_calls_per_day: int | None = Field(default=None, ge=1)
    """Limit of deployments that have no `calls_per_day` of their own."""
    deployment_concurrent_runs: int | None = Field(default=None, ge=1)
    """Limit of deployments that have no `concurrent_runs` of their own."""
    failed_auth_per_minute: int = Field(default=120, ge=0)
    """Failed authentications per address before it must wait; 0: unlimited."""
    max_header_bytes: int = Field(default=32 * 1024, ge=1024)
    """Bytes of a request's headers together."""
    max_header_count: int = Field(default=100, ge=10)
    """Headers of a request."""
    max_url_bytes: int = Field(default=8 * 1024, ge=256)
    """Bytes of a request's target."""
    header_seconds: float = Field(default=10.0, gt=0)
    """Time from a request's first byte to the end of its headers."""
    body_seconds: float = Field(default=60.0, gt=0)
    """Time for the body of a request, plus one second per 16 KiB received."""
    request_timeout_seconds: float = Field(default=120.0, gt=0)
    """Time until the response to a management request begins."""
    max_connections: int = Field(default=4096, ge=16)
    """Connections per gateway process, for HTTP and for gRPC each, within the operating system's
    limit. Above it the ones idle longest are closed."""
    max_connections_per_address: int | None = Field(default=None, ge=1)
    """HTTP connections of one address per gateway process. Default: half of `max_connections`.
    Trusted proxies and Unix sockets have no such limit."""
    max_bodies_per_address: int | None = Field(default=None, ge=1)
    """Requests of one address whose bodies are still arriving, per gateway process. Default: a
    quarter of `max_connections`. Behind a trusted proxy, the address that it forwards counts."""
    max_unfinished_bytes: int = Field(default=256 * 1024 * 1024, ge=1024 * 1024)
    """Memory for the bodies that are still arriving at one gateway process, in bytes; without the
    first 64 KiB of each."""
    drain_seconds: float = Field(default=10.0, ge=0)
    """How long calls in flight may go on after SIGTERM."""
    drain_delay_seconds: float | None = Field(default=None, ge=0, le=300)
    """After SIGTERM, the time between the moment at which `/readyz` says `draining` and the end of
    the listening ports, in which load balancers learn of it. Idle connections of a gateway that is
    replaced stay open for as long. Default: 5; 0 for a stop where only this machine reaches the
    ports."""
    unresponsive_seconds: float = Field(default=5.0, ge=1)
    """Silence of a process after which it is killed and replaced."""
    run_retention_days: int = Field(default=30, ge=1, le=3650)
    """Days that finished runs are kept; afterwards they are deleted and answer 410."""
    run_storage_bytes: int = Field(default=64 * 1024**3, ge=1024)
    """Bytes of the stored runs and webhook events of all users together, above which new runs are
    refused. With SQLite also what the disk holds, of which runs leave 5 % or 1 GiB free."""
    user_run_storage_bytes: int = Field(default=8 * 1024**3, ge=1024)
    """Bytes of the stored runs and webhook events of one user; at most half of
    `run_storage_bytes`."""
    user_definition_bytes: int = Field(default=2 * 1024**3, ge=1024)
    """Bytes of the flows of one user with their revisions, and of the versions of deployments. With
    SQLite at most half of what the disk holds, of which twice the reserve of runs stays free."""
    user_deployments: int = Field(default=5000, ge=1)
    """Deployments that one user may have."""
    user_api_keys: int = Field(default=5000, ge=1)
    """API keys that one user may have."""
    user_audit_bytes: int = Field(default=1024**3, ge=1024)
    """Bytes of the audit events of what one user has done, above which changes are refused."""
    audit_retention_days: int | None = Field(default=None, ge=90, le=36_500)
    """Days that audit events are kept. Default: until `slipstream audit prune` deletes them."""
    deployment_versions: int = Field(default=100, ge=1)
    """Newest versions of a deployment that are kept; older ones that nothing runs are deleted when
    a version is added."""
    session_idle_hours: float = Field(default=12.0, gt=0, le=24 * 365)
    """Hours without a request after which a console session ends."""
    session_days: float = Field(default=30.0, gt=0, le=3650)
    """Days after which a console session always ends."""
    trusted_proxies: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = ()
    """Networks of reverse proxies, comma-separated, whose `X-Forwarded-For` is trusted."""
    secure_cookies: bool = False
    """Mark session cookies as secure although requests arrive by HTTP: behind a proxy that
    terminates TLS."""
    console_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins of the console, comma-separated, beside the host that requests name: behind a proxy
    that changes the host."""
    usage_minute_hours: int = Field(default=48, ge=24, le=24 * 366)
    """Hours for which usage is kept by the minute; older usage is kept by the day."""
    usage_retention_days: int = Field(default=400, ge=3, le=3650)
    """Days that usage is kept."""
    trace_endpoint: str | None = None
    """Base URL of an OTLP/HTTP collector that gets traces, such as http://127.0.0.1:4318. Needs the
    extra `traces`. Default: no traces."""
    trace_sample_rate: float = Field(default=0.01, ge=0, le=1)
    """Share of the calls that are traced, if they have no `traceparent`, which says it else."""
    call_log: str = "off"
    """Calls of deployments that leave a line in the log: `off`, `errors`, `slow:250ms`, which is
    errors and calls that took as long, or `all`."""
    call_retention_minutes: int = Field(default=60, ge=1, le=10_080)
    """Minutes for which calls that failed, took 1 s, or are selected by SLIPSTREAM_CALL_LOG can be
    looked up: the newest 10,000 of each user."""
    log_level: str = "info"
    """debug, info, warning or error."""
    log_format: Literal["auto", "text", "json"] = "auto"
    """Form of the lines on stderr: `text`, `json`, or `auto`, which is text on a terminal."""
    log_file: Path | None = None
    """File to which the lines from level `info` are appended, too, as JSON."""

    @property
    def database(self) -> str:
        """The SQLAlchemy URL in force."""
        return self.database_url or f"sqlite+aiosqlite:///{self.state.absolute()}/slipstream.db"

    @property
    def public_url(self) -> str:
        """Public URL of the gateway, without a trailing slash."""
        scheme = "https" if self.tls_certificate else "http"
        return (self.public_base_url or f"{scheme}://{self.host}:{self.port}").rstrip("/")

    @property
    def public_grpc_address(self) -> str:
        """Host and port of gRPC: the host of the public URL, else the one on which it listens."""
        host = urlsplit(self.public_base_url or "").hostname or self.host
        return f"{f'[{host}]' if ':' in host else host}:{self.grpc_port}"

    @property
    def drain_delay(self) -> float:
        """The seconds between "draining" and the end of the listening ports, for a stop."""
        if self.drain_delay_seconds is None and is_loopback(self.host):
            return 0.0  # a person stops it, and no load balancer has to learn of it
        return self.replaced_idle

    @property
    def replaced_idle(self) -> float:
        """The seconds that idle connections stay open when others have taken the ports over."""
        return (
            _DRAIN_DELAY_SECONDS if self.drain_delay_seconds is None else self.drain_delay_seconds
        )

    @property
    def call_log_min_seconds(self) -> float | None:
        """The duration from which calls are logged, beside those that failed; None: no call is."""
        if self.call_log == "off":
            return None
        if self.call_log == "errors":
            return math.inf
        slow = _CALL_LOG.fullmatch(self.call_log)
        assert slow is not None
        return int(slow[1] or 0) / 1e3

    @property
    def kept_call_min_seconds(self) -> float:
        """The duration from which calls can be looked up, beside those that failed."""
        logged = self.call_log_min_seconds
        return SLOW_CALL_SECONDS if logged is None else min(logged, SLOW_CALL_SECONDS)

    @property
    def broker_folder(self) -> Path:
        """The broker's folder if no URL is set."""
        return self.state / "broker"

    @property
    def child_memory_budget(self) -> int:
        """Bytes, see `child_memory_bytes`."""
        least = 128 * 1024**2
        return self.child_memory_bytes or max(least, available_memory() // 4)

    @property
    def run(self) -> Path:
        """Folder for files that matter only while processes run: sockets, metric snapshots."""
        return self.state / "run"

    @model_validator(mode="before")
    @classmethod
    def _read_secrets(cls, given: dict[str, Any]) -> dict[str, Any]:  # Any: not validated yet
        read: dict[str, str] = {}
        for name in SECRETS:
            file = given.get(f"{name}_file")
            if file and given.get(name):
                variable = f"SLIPSTREAM_{name.upper()}"
                raise ValueError(f"expected {variable} or {variable}_FILE, got both")
            if file:
                read[name] = _content(name, file)
        return {**given, **read}

    @field_validator("trace_endpoint")
    @classmethod
    def _check_trace_endpoint(cls, given: str | None) -> str | None:
        return None if given is None else check_endpoint(given)

    @field_validator("model_store")
    @classmethod
    def _check_model_store(cls, given: str | None) -> str | None:
        if given is not None and not _STORE_URL.fullmatch(given):
            raise ValueError("expected file:///folder, s3://bucket/…, gs://bucket/… or az://…")
        return given

    @field_validator("call_log")
    @classmethod
    def _check_call_log(cls, given: str) -> str:
        if not _CALL_LOG.fullmatch(given):
            expected = "off, errors, all, or slow: and whole milliseconds, such as slow:250ms"
            raise ValueError(f"expected {expected}")
        return given

    @field_validator("webhook_schedule_seconds")
    @classmethod
    def _check_schedule(cls, given: tuple[float, ...]) -> tuple[float, ...]:
        if not given or not all(0 <= pause <= _MAX_PAUSE_SECONDS for pause in given):
            message = f"expected numbers from 0 to {_MAX_PAUSE_SECONDS:g}, separated by commas"
            raise ValueError(message)
        return given

    @field_validator("trusted_proxies")
    @classmethod
    def _check_proxies(
        cls, given: tuple[IPv4Network | IPv6Network, ...]
    ) -> tuple[IPv4Network | IPv6Network, ...]:
        if any(network.prefixlen == 0 for network in given):
            message = (
                "expected the proxies' own networks; a network of all addresses trusts every client"
            )
            raise ValueError(message)
        return given

    @field_validator(
        "webhook_allow",
        "webhook_schedule_seconds",
        "trusted_proxies",
        "console_origins",
        mode="before",
    )
    @classmethod
    def _split(cls, given: object) -> object:
        if isinstance(given, str):
            return tuple(word.strip() for word in given.split(",") if word.strip())
        return given


def _content(name: str, file: object) -> str:
    """Return what a secret's file contains, without the end of the line."""
    try:
        return Path(str(file)).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        message = f"SLIPSTREAM_{name.upper()}_FILE: {file} cannot be read: {error}"
        raise ValueError(message) from None
