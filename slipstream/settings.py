"""Options of `slipstream up`, `gateway` and `worker`, and the environment of their processes."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.broker.broker import Queue, parse_queues
from gateway.fleet.labels import parse_labels
from slipstream.failures import UnusableError
from telemetry.allocator import ALLOCATION
from telemetry.options import (
    TcpAddress,
    absolute_path,
    flag,
    is_loopback,
    one_of,
    option,
    seconds,
    whole_number,
)

if TYPE_CHECKING:
    from transport.certificates import KeyPair

PREFIX = "SLIPSTREAM_"
"""Of every environment variable."""
WEBHOOK_SECRET_VARIABLE = "SLIPSTREAM_WEBHOOK_SECRET"  # nosec B105 # the name of a variable
"""The variable with the secret that the webhook commands verify with."""

PEPPER_VARIABLE = "SLIPSTREAM_KEY_PEPPER"
"""The variable with the pepper."""
_OF_ONE_PROCESS = (
    *("SLIPSTREAM_HOST", "SLIPSTREAM_PORT", "SLIPSTREAM_GRPC_PORT", "SLIPSTREAM_GRPC_SERVER"),
    *("SLIPSTREAM_TLS_", "SLIPSTREAM_BEHIND_PROXY", "SLIPSTREAM_INSECURE", "SLIPSTREAM_STATE"),
    *("SLIPSTREAM_WORKER", "SLIPSTREAM_MODELS_PER_PROCESS", "SLIPSTREAM_UNRESPONSIVE_SECONDS"),
    *("SLIPSTREAM_LOG_", "SLIPSTREAM_NO_DEMO", "SLIPSTREAM_INFERENCE_", "SLIPSTREAM_UPSTREAM_"),
    *(
        "SLIPSTREAM_API_KEY",
        "SLIPSTREAM_DRAIN_DELAY_SECONDS",
        "SLIPSTREAM_JOINED",
        "SLIPSTREAM_LABELS",
        "SLIPSTREAM_MEMORY_BYTES",
        "SLIPSTREAM_MODEL_CACHE_BYTES",
        WEBHOOK_SECRET_VARIABLE,
    ),
)
"""Prefixes of variables that say what one process does, not what the installation is."""
_VENDORS = ("AWS_", "AZURE_", "GOOGLE_")
"""Prefixes of variables with the credentials of buckets."""
_RELATIVE_SQLITE = re.compile(r"(sqlite[+\w]*:///)([^/:?][^?]*)(\?.*)?", re.DOTALL)

_LOG_LEVELS = ("debug", "info", "warning", "error", "critical")

_port = whole_number(1, 65535)


def _zero_or_from(minimum: int) -> Callable[[str], int]:
    """Return a parser of 0 and whole numbers from `minimum`."""

    def parse(text: str) -> int:
        number = int(text) if text.isascii() and text.isdigit() else -1
        if number != 0 and number < minimum:
            raise ValueError(f"expected 0, or a whole number from {minimum}, got '{text}'")
        return number

    return parse


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """Where to listen and where to keep everything."""

    host: str = option(str, "address to listen on", default="127.0.0.1")
    port: int = option(_port, "port of REST", default="8080", metavar="PORT")
    grpc_port: int = option(_port, "port of gRPC", default="8081", metavar="PORT")
    grpc_server: str = option(
        one_of("native", "grpcio"),
        "server of the gRPC port: native, or stock grpcio",
        default="native",
        metavar="NAME",
    )
    state: Path = option(
        absolute_path, "folder with all persistent state", default=".slipstream", metavar="DIR"
    )
    tls_certificate: Path | None = option(
        absolute_path,
        "PEM file with certificate and chain: REST and gRPC use TLS",
        name="--tls-cert",
        metavar="FILE",
    )
    tls_key: Path | None = option(absolute_path, "PEM file with its private key", metavar="FILE")
    behind_proxy: bool = flag("serve other machines without TLS: a proxy in front terminates it")
    insecure: bool = flag("serve other machines without TLS: keys and data in plain text")

    @property
    def url(self) -> str:
        """The URL of REST, by which others reach it, too."""
        host = address_for_others(self.host)
        scheme = "https" if self.tls_certificate else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def tls(self) -> KeyPair | None:
        """The certificate of REST and gRPC."""
        from transport.certificates import KeyPair  # noqa: PLC0415 - `up` imports this first

        if self.tls_certificate is None or self.tls_key is None:
            return None
        return KeyPair(certificate=self.tls_certificate, key=self.tls_key)

    @property
    def gateway_options(self) -> list[str]:
        """Options of `python -m gateway` that it does not take from the environment."""
        certificate, key = self.tls_certificate, self.tls_key
        words = ["--tls-certificate", str(certificate)] if certificate else []
        return [*words, "--tls-key", str(key)] if key else words


@dataclass(frozen=True, kw_only=True)
class UpOptions(ServeOptions):
    """What only `up` has."""

    workers: int = option(
        whole_number(1, 256),
        "gateway processes; one per core is the useful maximum",
        default="1",
        metavar="N",
    )
    models_per_process: int = option(
        whole_number(1, 10_000),
        "inference servers that share a process: less memory, less isolation",
        default="1",
        metavar="N",
    )
    worker_concurrency: int = option(
        whole_number(0, 1000),
        "sync runs and async runs of type api at a time on this machine; 0 for no worker here",
        default="32",
        metavar="N",
    )
    worker_idle_seconds: float | None = option(
        seconds(1),
        "stop the worker after this time without a run; the next run starts it again, and waits"
        " for it",
        shown_default="never",
        metavar="S",
    )
    unresponsive_seconds: float = option(
        seconds(1),
        "silence of a process after which it is killed and replaced",
        default="5",
        metavar="S",
    )
    log_format: str = option(
        one_of("text", "json"),
        "how to log on stderr: text, from level warning, beside the lines on stdout; or json, from"
        " level info",
        default="text",
        metavar="FORMAT",
    )
    log_file_bytes: int = option(
        _zero_or_from(1024 * 1024),
        "bytes of the log that `slipstream logs` reads, about: in DIR/logs, the older part in four"
        " more files; 0: none is written",
        default=str(100 * 1024 * 1024),
        metavar="N",
    )
    labels: Mapping[str, str] = option(
        parse_labels,
        "labels of this machine, which inference servers can require; `host` is its name",
        default="",
        shown_default="none",
        metavar="NAME=VALUE,...",
    )
    memory_bytes: int | None = option(
        whole_number(1 << 20),
        "memory that the inference servers of this machine may use together: a replica that needs"
        " more than is left goes to another machine, or is not run",
        shown_default="all of it, as a preference",
        metavar="N",
    )
    joined: bool = flag("run beside the other hosts of the database, see `slipstream join`")
    no_demo: bool = flag("create no demo on the first start")
    check: bool = flag(
        "check options, settings, certificates and the database, and exit", in_environment=False
    )
    json: bool = flag("print one JSON document when ready, for scripts", in_environment=False)


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """What `worker` has; all other settings come from the environment."""

    concurrency: int = option(
        whole_number(1, 1000),
        "runs of each queue at a time",
        default="32",
        metavar="N",
        in_environment=False,
    )
    queues: tuple[Queue, ...] = option(
        parse_queues, "sync, async or both", default="sync,async", in_environment=False
    )
    state: Path = option(
        absolute_path,
        "state folder, if database or broker are in one",
        default=".slipstream",
        metavar="DIR",
    )
    metrics: TcpAddress | None = option(
        TcpAddress.parse,
        "address of /metrics, /livez and /readyz",
        shown_default="none",
        metavar="HOST:PORT",
        in_environment=False,
    )


def check_exposure(options: ServeOptions) -> None:
    """Refuse to send keys in plain text over a network, unless a person has said so.

    Raises:
        UnusableError: other machines reach the address, there is no TLS, and neither
            `behind_proxy` nor `insecure` is set.
    """
    if options.tls_certificate or options.behind_proxy or options.insecure:
        return
    if not is_loopback(options.host):
        message = (
            f"--host: expected a loopback address where there is no TLS, got {options.host}: add "
            "--tls-cert and --tls-key; or --behind-proxy if a proxy in front terminates TLS; or "
            "--insecure if keys and data may cross the network in plain text"
        )
        raise UnusableError(message)


def reachable(host: str) -> str:
    """Return the host by which this machine reaches what listens on `host`."""
    try:
        anywhere = ip_address(host).is_unspecified
    except ValueError:
        return host
    if not anywhere:
        return host
    return "::1" if ":" in host else "127.0.0.1"


def address_for_others(host: str) -> str:
    """Return the host by which other machines reach what listens on `host`.

    On an unspecified address (0.0.0.0) it is the address with which this machine calls others: the
    first that comes to mind, although there may be more.
    """
    local = reachable(host)
    if local == host:
        return host
    family, beyond = (
        (socket.AF_INET6, "2001:db8::1") if ":" in host else (socket.AF_INET, "192.0.2.1")
    )  # of RFC 3849 and RFC 5737, for documentation: nothing is sent
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((beyond, 9))
        address: str = probe.getsockname()[0]
        return address
    return local


def installation_variables() -> dict[str, str]:
    """Return the variables of our environment that all processes of an installation share.

    Paths are absolute: other processes have other working directories. The pepper is not among
    them: it is to be kept apart from the state folder, into which they are written.
    """
    return {
        name: _with_absolute_path(name, text)
        for name, text in own_environment().items()
        if text and is_shared(name) and name != PEPPER_VARIABLE
    }


def own_environment() -> dict[str, str]:
    """Return our environment, with names in capitals."""
    return {name.upper(): text for name, text in os.environ.items()}


def has_pepper() -> bool:
    """Whether our environment contains the pepper itself."""
    return bool(os.environ.get(PEPPER_VARIABLE))


def is_shared(variable: str) -> bool:
    """Whether all processes of an installation need the same value of a variable."""
    return variable.startswith(PREFIX) and not variable.startswith(_OF_ONE_PROCESS)


def is_vendor_variable(variable: str) -> bool:
    """Whether a variable may contain the credentials of a bucket, in the form of its vendor."""
    return variable.upper().startswith(_VENDORS)


def _with_absolute_path(name: str, text: str) -> str:
    if name.endswith("_FILE"):
        return str(Path(text).absolute())
    match = _RELATIVE_SQLITE.fullmatch(text) if name == "SLIPSTREAM_DATABASE_URL" else None
    return f"{match[1]}{Path(match[2]).absolute()}{match[3] or ''}" if match else text


def process_environment(
    options: ServeOptions, running: Mapping[str, str] | None, *, workers: int = 1
) -> dict[str, str]:
    """Return the environment of a gateway: ours, with `options` and the number of `workers`.

    `running` are the shared variables of the installation that runs already and that it joins.
    """
    tls = {
        "SLIPSTREAM_TLS_CERTIFICATE": options.tls_certificate,
        "SLIPSTREAM_TLS_KEY": options.tls_key,
    }
    return {
        **_joined(running),
        **{name: str(path) for name, path in tls.items() if path},
        "SLIPSTREAM_HOST": options.host,
        "SLIPSTREAM_PORT": str(options.port),
        "SLIPSTREAM_GRPC_PORT": str(options.grpc_port),
        "SLIPSTREAM_GRPC_SERVER": options.grpc_server,
        "SLIPSTREAM_STATE": str(options.state),
        "SLIPSTREAM_WORKERS": str(workers),
    }


def inference_environment() -> dict[str, str]:
    """Return the environment of an inference server: ours, without secrets.

    Its spans go to the collector of ours, unless it has its own.

    It reaches neither the database nor the broker nor a bucket, and it runs models of others.
    """
    from gateway.settings import SECRETS  # noqa: PLC0415 - `up` imports this first

    secrets = {f"{PREFIX}{name.upper()}" for name in SECRETS}
    endpoint = os.environ.get(f"{PREFIX}TRACE_ENDPOINT")
    traces = {"SLIPSTREAM_INFERENCE_TRACE_ENDPOINT": endpoint} if endpoint else {}
    return traces | {
        name: text
        for name, text in os.environ.items()
        if name.upper() not in secrets and not is_vendor_variable(name)
    }


def worker_environment(options: WorkerOptions, running: Mapping[str, str] | None) -> dict[str, str]:
    """Return the environment of a worker process: ours, with the state folder of `options`.

    `running` is as in `process_environment`.
    """
    return {**_joined(running), "SLIPSTREAM_STATE": str(options.state)}


def _joined(running: Mapping[str, str] | None) -> dict[str, str]:
    """Return our environment; where an installation runs, with its shared variables, not ours."""
    if running is None:
        return {**ALLOCATION, **os.environ}
    own = {name: text for name, text in os.environ.items() if not is_shared(name.upper())}
    return {**ALLOCATION, **own, **running}


def join_environment(shared: Mapping[str, str], inference_token: Path | None) -> dict[str, str]:
    """Return our environment with the variables of the installation that this machine joins.

    `inference_token` is a file with the token that its inference servers ask for.

    Raises:
        UnusableError: a variable has another value, or the others cannot reach this machine.
    """
    own = own_environment()
    for name, text in shared.items():
        if own.get(name, text) != text:
            message = f"{name}: expected the value in the token, got another one: unset it"
            raise UnusableError(message)
    address = f"{PREFIX}INFERENCE_TCP"
    if address not in own:
        message = f"{address}: expected an address by which the other machines reach this one"
        raise UnusableError(f"{message}, such as 10.0.0.6:0")
    environment = {**os.environ, **shared}
    if inference_token is not None:
        for side in ("INFERENCE", "UPSTREAM"):
            environment.setdefault(f"{PREFIX}{side}_TOKEN_FILE", str(inference_token))
    return environment


def reload_environment(replacements: Mapping[str, str] | None) -> dict[str, str]:
    """Return the environment of the program after a reload.

    `replacements` take the place of all our variables; None changes nothing.
    """
    if replacements is None:
        return dict(os.environ)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return {**kept, **replacements}


def take_variable(name: str) -> str | None:
    """Return an environment variable that is meant for this process, and remove it."""
    return os.environ.pop(name, None)


def log_level(options: UpOptions) -> str:
    """Return the log level of all processes of `up`.

    People read on stdout what happens; JSON lines are collected.

    Raises:
        UnusableError: the environment has one that does not exist.
    """
    default = "warning" if options.log_format == "text" else "info"
    level = os.environ.get("SLIPSTREAM_LOG_LEVEL", default)
    if level.lower() not in _LOG_LEVELS:
        expected = "expected debug, info, warning or error"
        raise UnusableError(f"SLIPSTREAM_LOG_LEVEL: {expected}, got '{level}'")
    return level


def inference_options(**settings: object) -> list[str]:
    """Return settings as options of an inference server, except those set in the environment.

    The server inherits the environment, which would lose against its command line.
    """
    words: list[str] = []
    for name, value in settings.items():
        if f"SLIPSTREAM_INFERENCE_{name.upper()}" not in os.environ:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return words


def webhook_secret() -> str | None:
    """Return the secret that the webhook commands verify with, if the environment has one."""
    return os.environ.get(WEBHOOK_SECRET_VARIABLE)
