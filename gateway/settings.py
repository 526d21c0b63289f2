"""The gateway's settings: read once from `SLIPSTREAM_…`, frozen, passed on as an argument."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

_LONGEST_PAUSE_SECONDS = 7 * 86_400.0


class Settings(BaseSettings):
    """Every setting, with its default. The environment variable is SLIPSTREAM_ and the name."""

    model_config = SettingsConfigDict(
        env_prefix="SLIPSTREAM_", frozen=True, use_attribute_docstrings=True, extra="ignore"
    )

    host: str = "127.0.0.1"
    """Address that REST and the gRPC front door listen on. Loopback unless told otherwise."""
    port: int = Field(default=8080, ge=1, le=65535)
    """Port of REST."""
    grpc_port: int = Field(default=8081, ge=1, le=65535)
    """Port of the gRPC front door."""
    grpc_server: Literal["native", "grpcio"] = "native"
    """Server behind the gRPC port: `native`, which is faster and has limits of connections, or
    stock `grpcio`."""
    workers: int = Field(default=1, ge=1, le=256)
    """Gateway processes, all listening on the same port. One a core is the useful maximum."""
    state: Path = Path(".slipstream")
    """Folder with everything that this installation remembers."""
    database_url: str | None = None
    """Such as postgresql://user@host/name. Default: SQLite in the state folder."""
    broker_url: str | None = None
    """Such as redis://host:6379/0 or amqp://user:password@host:5672//. Default: a folder in the
    state folder, which needs no server and serves one machine."""
    queue_prefix: str = Field(default="slipstream", pattern=r"^[a-z0-9][a-z0-9_-]{0,40}$")
    """Of the queues' names. Installations that share a broker need different ones."""
    key_pepper: str | None = None
    """Secret that API keys are hashed, and webhooks' secrets encrypted with. Default: made once,
    kept in the state folder. Machines that share a database need the same one."""
    key_age_warning_days: int = Field(default=90, ge=1, le=3650)
    """Days after which an API key is shown with the warning that it is old."""
    anonymous_v2: bool = False
    """Open `/v2` and the gRPC front door to clients that send no key. Loopback only."""
    max_body_bytes: int = Field(default=64 * 1024 * 1024, ge=1024)
    """Largest request body, and largest gRPC message, in bytes."""
    infer_timeout_seconds: float = Field(default=300.0, gt=0)
    """Longest that a call of `/v2` or the front door may take; a caller can ask for less."""
    server_runs: int = Field(default=16, ge=1, le=10_000)
    """Runs of type `server` that a gateway process does at a time."""
    tls_certificate: Path | None = None
    """PEM file with the certificate, and its chain, of REST and the gRPC front door: both speak TLS
    then. Takes tls_key; read again when it changes."""
    tls_key: Path | None = None
    """PEM file with the certificate's private key."""
    upstream_tls_ca: Path | None = None
    """PEM file with those who vouch for inference servers on other machines. Default: those that
    the system trusts."""
    upstream_tls_certificate: Path | None = None
    """PEM file with the certificate that such servers are shown."""
    upstream_tls_key: Path | None = None
    """PEM file with its private key."""
    upstream_tls_server_name: str | None = None
    """Name that their certificates are for. Default: the host of each server's address."""
    upstream_token_file: Path | None = None
    """File with the token that they are shown, in its first line."""
    webhook_allow: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = ()
    """Networks, separated by commas, that flows and webhooks may call beside the public internet:
    private ones, at any port. Where clouds keep credentials stays closed."""
    webhook_allow_http: bool = False
    """Let flows and webhooks call http:// URLs, too."""
    webhook_schedule_seconds: Annotated[tuple[float, ...], NoDecode] = (
        *(0.0, 5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0),
    )
    """Seconds before each attempt to deliver an event, separated by commas: as many attempts as
    there are numbers. Each pause is up to a fifth longer."""
    webhook_timeout_seconds: float = Field(default=15.0, gt=0, le=30)
    """How long one attempt may take, from the name's look-up to the answer's end."""
    public_base_url: str | None = Field(default=None, pattern=r"^https?://[^\s/?#]+(/[^\s?#]*)?$")
    """Where the world finds this gateway, such as https://flows.example.com. Default: host and
    port of this machine. Events say by it where a run's result is."""
    rate_limit_url: str | None = Field(default=None, pattern=r"^rediss?://")
    """Such as redis://host:6379/0: where all gateway processes count calls together. Default:
    each counts for itself, and has its share of every quota."""
    key_calls_per_minute: int | None = Field(default=None, ge=1)
    """Of keys that have no `calls_per_minute` of their own."""
    key_calls_per_day: int | None = Field(default=None, ge=1)
    """Of keys that have no `calls_per_day` of their own."""
    key_concurrent_runs: int | None = Field(default=None, ge=1)
    """Of keys that have no `concurrent_runs` of their own."""
    key_polls_per_minute: int = Field(default=3000, ge=0)
    """Reads of runs by keys that have no `polls_per_minute` of their own; 0: any number."""
    deployment_calls_per_minute: int | None = Field(default=None, ge=1)
    """Of deployments that have no `calls_per_minute` of their own."""
    deployment_calls_per_day: int | None = Field(default=None, ge=1)
    """Of deployments that have no `calls_per_day` of their own."""
    deployment_concurrent_runs: int | None = Field(default=None, ge=1)
    """Of deployments that have no `concurrent_runs` of their own."""
    failed_auth_per_minute: int = Field(default=120, ge=0)
    """Calls without a good key that an address may make before it is told to wait; 0: any."""
    max_header_bytes: int = Field(default=32 * 1024, ge=1024)
    """Of a request's headers together."""
    max_header_count: int = Field(default=100, ge=10)
    """Headers of a request."""
    max_url_bytes: int = Field(default=8 * 1024, ge=256)
    """Of a request's target."""
    header_seconds: float = Field(default=10.0, gt=0)
    """From a request's first byte until its headers have to be there."""
    body_seconds: float = Field(default=60.0, gt=0)
    """That a body may take, beside a second for each 16 KiB that have come."""
    request_timeout_seconds: float = Field(default=120.0, gt=0)
    """Longest that a management request may take until its answer begins."""
    max_connections: int = Field(default=4096, ge=16)
    """That a gateway process keeps for HTTP, and as many again for gRPC; as far as the operating
    system lets it."""
    drain_seconds: float = Field(default=10.0, ge=0)
    """How long calls in flight may go on after SIGTERM."""
    run_retention_days: int = Field(default=30, ge=1, le=3650)
    """Days that finished runs can be asked for; then they are deleted and answer 410."""
    session_idle_hours: float = Field(default=12.0, gt=0, le=24 * 365)
    """Hours after which a console session ends that nobody uses."""
    session_days: float = Field(default=30.0, gt=0, le=3650)
    """Days after which a console session ends, however much it is used."""
    trusted_proxies: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = ()
    """Networks of reverse proxies, separated by commas: where a request comes through one of them,
    `X-Forwarded-For` says whom it is of."""
    secure_cookies: bool = False
    """Mark session cookies for TLS only where requests come by http, too: behind a proxy that ends
    TLS."""
    console_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins of the console beside the one that requests name as their host, separated by commas:
    behind a proxy that changes the host."""
    usage_minute_hours: int = Field(default=48, ge=24, le=24 * 366)
    """Hours that usage can be asked for minute by minute; of the time before, day by day."""
    usage_retention_days: int = Field(default=400, ge=3, le=3650)
    """Days that usage can be asked for."""
    log_level: str = "info"
    """debug, info, warning or error."""

    @property
    def database(self) -> str:
        """The SQLAlchemy URL in force."""
        return self.database_url or f"sqlite+aiosqlite:///{self.state.absolute()}/slipstream.db"

    @property
    def public_url(self) -> str:
        """Where callers find the gateway, without a slash at the end."""
        return (self.public_base_url or f"http://{self.host}:{self.port}").rstrip("/")

    @property
    def broker_folder(self) -> Path:
        """The folder that is the broker where no URL is set."""
        return self.state / "broker"

    @property
    def models(self) -> Path:
        """The model store's folder."""
        return self.state / "models"

    @property
    def run(self) -> Path:
        """Folder for what only matters while processes run: sockets, metric snapshots."""
        return self.state / "run"

    @field_validator("webhook_schedule_seconds")
    @classmethod
    def _check_schedule(cls, given: tuple[float, ...]) -> tuple[float, ...]:
        if not given or not all(0 <= pause <= _LONGEST_PAUSE_SECONDS for pause in given):
            message = f"expected numbers from 0 to {_LONGEST_PAUSE_SECONDS:g}, separated by commas"
            raise ValueError(message)
        return given

    @field_validator("trusted_proxies")
    @classmethod
    def _check_proxies(
        cls, given: tuple[IPv4Network | IPv6Network, ...]
    ) -> tuple[IPv4Network | IPv6Network, ...]:
        if any(network.prefixlen == 0 for network in given):
            message = "expected the proxies' own networks: with all of them, anybody is believed"
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
