"""The inference server's settings: options, and SLIPSTREAM_INFERENCE_… variables of their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from telemetry import options
from telemetry.logs import FORMATS
from telemetry.options import OptionsError, TcpAddress, one_of, option, seconds, whole_number
from telemetry.traces import check_endpoint

BATCHING = ("auto", "off", "declared")
"""Whether calls share runs by proof, not at all, or also by the word of the model's owner."""
ENVIRONMENT_PREFIX = "SLIPSTREAM_INFERENCE_"
_EPILOG = (
    "Exit status: 0 stopped by a signal; 1 could not listen, or the parent has died; 2 invalid "
    "options; 4 idle for --idle-timeout seconds; 5 a run or a load did not end in time."
)
_MIB = 1024 * 1024


def _urls(text: str) -> tuple[str, ...]:
    """Read URLs that are separated by commas; raise ValueError on anything else."""
    urls = tuple(filter(None, map(str.strip, text.split(","))))
    if not urls or not all(url.startswith(("http://", "https://")) for url in urls):
        raise ValueError(f"expected URLs such as https://gateway:8080, got {text!r}")
    return urls


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that can be set."""

    store: str = option(
        str,
        "folder of the model store, or its URL: s3://BUCKET/PREFIX, gs://… or az://…",
        required=True,
        metavar="FOLDER|URL",
    )
    model: str = option(str, "name of the model to serve", required=True)
    version: int = option(whole_number(1), "version of the model to serve", required=True)
    store_options_file: Path | None = option(
        Path,
        "file with options of the bucket, such as access_key_id=…, one per line",
        shown_default="the vendor's own variables",
        metavar="FILE",
    )
    cache: Path | None = option(
        Path, "folder in which models of a bucket are kept; takes a --store URL", metavar="FOLDER"
    )
    cache_bytes: int = option(
        whole_number(1024), "bytes of the models kept there", default=str(20 * 1024**3), metavar="N"
    )
    socket: Path | None = option(
        Path, "Unix socket to listen on, created with mode 0600; can be omitted with --tcp"
    )
    tcp: TcpAddress | None = option(
        TcpAddress.parse, "TCP address to listen on as well; see --token-file", metavar="HOST:PORT"
    )
    metrics: TcpAddress = option(
        TcpAddress.parse,
        "address of /metrics, /livez and /readyz",
        default="127.0.0.1:0",
        metavar="HOST:PORT",
    )
    advertise: str | None = option(
        str,
        "host by which other machines reach --tcp and --metrics",
        shown_default="the host listened on",
        metavar="HOST",
    )
    tls_certificate: Path | None = option(
        Path, "PEM file: the TCP ports use TLS with it; takes --tls-key", metavar="FILE"
    )
    tls_key: Path | None = option(Path, "PEM file with its private key", metavar="FILE")
    tls_client_ca: Path | None = option(
        Path,
        "PEM file with a CA bundle: clients must present a certificate that it verifies",
        metavar="FILE",
    )
    token_file: Path | None = option(
        Path,
        "file with tokens, one per line: callers of the TCP ports must send one. Ports that other "
        "machines can reach need this or --tls-client-ca",
        metavar="FILE",
    )
    register: tuple[str, ...] | None = option(
        _urls,
        "URLs of gateways, separated by commas: the server registers at one of them, and so is "
        "called by all; takes --tcp and --register-key-file",
        metavar="URL",
    )
    register_key_file: Path | None = option(
        Path, "file with an API key of scope serve, for --register", metavar="FILE"
    )
    register_ca: Path | None = option(
        Path,
        "PEM file with a CA bundle that verifies the gateways",
        shown_default="the system's",
        metavar="FILE",
    )
    threads: int | None = option(
        whole_number(1),
        "threads that one run may use",
        shown_default="the CPUs allowed",
        metavar="N",
    )
    max_message_bytes: int = option(
        whole_number(1024),
        "largest request and largest answer",
        default=str(64 * _MIB),
        metavar="N",
    )
    memory_bytes: int | None = option(
        whole_number(256 * _MIB),
        "memory that the process may use, beside files that it maps; a call that needs more fails. "
        "Servers that share a process share it",
        shown_default="2 GiB, and four times the model's files",
        metavar="N",
    )
    instances: int = option(
        whole_number(1), "concurrent runs, each on a thread of its own", default="1", metavar="N"
    )
    batching: str = option(
        one_of(*BATCHING),
        "which calls share runs. auto: those of a model whose rows are proved independent; off: "
        "none; declared: of other models, those of keys of one owner, as the gateway names it",
        default="auto",
        metavar="|".join(BATCHING),
    )
    max_batch_size: int = option(
        whole_number(1),
        "most rows of a run that calls share; 1: calls run alone",
        default="256",
        metavar="N",
    )
    """An upper limit: what the model can do is measured at load."""
    queue_calls: int = option(
        whole_number(1),
        "calls that may wait for their run; more are refused with OVERLOADED",
        default="1024",
        metavar="N",
    )
    queue_bytes: int = option(
        whole_number(1024),
        "bytes of input that may wait; more are refused likewise",
        default=str(512 * _MIB),
        metavar="N",
    )
    linger_microseconds: int = option(
        whole_number(0),
        "time to busy-poll for the next call of a client that sends one call after the other; "
        "0: never",
        default="400",
        metavar="N",
    )
    """Such a client is answered about 60 µs sooner, for up to a core while it calls."""
    idle_timeout: float | None = option(
        seconds(),
        "seconds without a call after which the server ends, with exit status 4; 0: never",
        shown_default="never",
        metavar="S",
    )
    grace_seconds: float = option(
        seconds(), "time that calls in flight have after SIGTERM", default="10", metavar="S"
    )
    max_run_seconds: float | None = option(
        seconds(0, above=True),
        "time that a run may take, whatever the deadline of its call is; then it fails with "
        "RUN_TIME_EXCEEDED",
        shown_default="100 times what the first run took, for each time that an input is as large "
        "as the first one, and at least 30",
        metavar="S",
    )
    run_grace_seconds: float = option(
        seconds(0, above=True),
        "time that a run has to end after its last caller has gone; then the server ends itself, "
        "with exit status 5",
        default="3",
        metavar="S",
    )
    load_seconds: float = option(
        seconds(0, above=True),
        "time that loading the model may take; then the server fails and ends, with exit status 5",
        default="300",
        metavar="S",
    )
    warm_up_seconds: float = option(
        seconds(0, above=True),
        "time that the first runs may take; the server fails if not one of them ends",
        default="30",
        metavar="S",
    )
    trace_endpoint: str | None = option(
        check_endpoint,
        "base URL of an OTLP/HTTP collector, such as http://127.0.0.1:4318, that gets the spans of "
        "calls which gateways sample; takes the extra `traces`",
        shown_default="no spans",
        metavar="URL",
    )
    log_level: str = option(str, "debug, info, warning or error", default="info", metavar="LEVEL")
    log_format: str = option(
        one_of(*FORMATS),
        "text, json, or auto: text on a terminal, JSON elsewhere",
        default="auto",
        metavar="FORMAT",
    )
    log_file: Path | None = option(
        Path,
        "file to which the lines from level info are appended, too, as JSON",
        shown_default="none",
        metavar="FILE",
    )
    status_fd: int | None = option(
        whole_number(0), "file descriptor for status lines", in_environment=False, metavar="FD"
    )
    lifeline_fd: int | None = option(
        whole_number(0), "pipe that closes when the parent ends", in_environment=False, metavar="FD"
    )

    def __post_init__(self) -> None:
        if conflict := _find_conflict(self):
            raise OptionsError(conflict)


def read(arguments: Sequence[str] | None = None) -> Settings:
    """Return the settings of this process; print what is wrong and exit with 2 if invalid."""
    return options.read(
        Settings,
        arguments,
        prefix=ENVIRONMENT_PREFIX,
        program="slipstream inference-server",
        description="Serve one version of an ONNX model.",
        epilog=_EPILOG,
    )


def check(arguments: Sequence[str]) -> Settings:
    """Return what `read` would, or raise OptionsError."""
    return options.check(Settings, arguments, prefix=ENVIRONMENT_PREFIX)


def _find_conflict(chosen: Settings) -> str | None:
    """Return what is wrong with the combination of settings, or None."""
    if problem := _find_missing(chosen):
        return problem
    if (chosen.tls_certificate is None) != (chosen.tls_key is None):
        given, missing = (
            ("certificate", "key") if chosen.tls_certificate else ("key", "certificate")
        )
        return f"--tls-{given} is given and --tls-{missing} is not: TLS takes both"
    if chosen.tls_client_ca and chosen.tls_certificate is None:
        return "--tls-client-ca is given without --tls-certificate and --tls-key: there is no TLS"
    if chosen.tls_client_ca or chosen.token_file:
        return None
    for name, endpoint in (("--tcp", chosen.tcp), ("--metrics", chosen.metrics)):
        if endpoint is not None and not endpoint.is_loopback:
            return (
                f"{name} {endpoint}: other machines reach this, and it asks for no credentials; "
                "give --tls-certificate, --tls-key and --tls-client-ca (mutual TLS), or "
                "--token-file, or listen on 127.0.0.1"
            )
    return None


def _find_missing(chosen: Settings) -> str | None:
    """Return which setting another one takes that is not there, or None."""
    if chosen.socket is None and chosen.tcp is None:
        return "neither --socket nor --tcp is given: the server would not listen"
    if (chosen.cache is None) == ("://" in chosen.store):
        return "--store with a URL, and --cache with a folder, are given together or not at all"
    if (chosen.register is None) != (chosen.register_key_file is None):
        return "--register and --register-key-file are given together or not at all"
    if chosen.register is not None and chosen.tcp is None:
        return "--register is given without --tcp: gateways could not reach the server"
    return None
