"""The inference server's settings: the command line, and for what it leaves out the environment.

Each option but the file descriptors can also be given as SLIPSTREAM_INFERENCE_ and its name. Plain
argparse: importing pydantic would be a good part of what a small model's server takes to boot.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NoReturn, Self

ENVIRONMENT_PREFIX = "SLIPSTREAM_INFERENCE_"
_EPILOG = (
    "Exit status: 0 told to stop; 1 it could not listen, or its parent has died; 2 wrong command "
    "line; 4 nobody had called it for --idle-timeout seconds."
)
_MIB = 1024 * 1024
_LAST_PORT = 65535


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A TCP address to listen on; port 0 lets the kernel choose one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read HOST:PORT, with an IPv6 address in brackets; raise ValueError on anything else."""
        host, colon, port = text.rpartition(":")
        if not (host and colon and port.isascii() and port.isdigit() and int(port) <= _LAST_PORT):
            raise ValueError(f"expected HOST:PORT, got {text!r}")
        return cls(host.removeprefix("[").removesuffix("]"), int(port))

    @property
    def is_loopback(self) -> bool:
        """Whether nobody but this machine reaches it."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set."""

    store: Path
    """The model store's folder."""
    model: str
    version: int
    socket: Path
    """Unix socket to listen on, made with mode 0600."""
    tcp: TcpAddress | None
    """TCP address to listen on as well. Anything but loopback takes `tls_client_ca` or
    `token_file`, and so does `metrics`."""
    metrics: TcpAddress
    advertise: str | None
    """Host by which other machines reach what is not on loopback. None: the one listened on."""
    tls_certificate: Path | None
    """PEM file that the TCP ports show: they speak TLS then, and nothing else."""
    tls_key: Path | None
    tls_client_ca: Path | None
    """PEM file with those who vouch for clients: each has to show a certificate then."""
    token_file: Path | None
    """File with tokens, one a line, of which callers of the TCP ports have to show one."""
    threads: int | None
    """Threads that one run may use. None: as many as the process may use CPUs."""
    max_message_bytes: int
    """Largest request, and largest answer."""
    instances: int
    """Runs that may go on at once, on threads of their own."""
    max_batch_size: int
    """Most rows of a run that calls share. What the model can do is found at load, up to this."""
    queue_calls: int
    """Calls that may wait for their run; more are refused with OVERLOADED."""
    queue_bytes: int
    """Bytes of input that may wait, likewise."""
    linger_microseconds: int
    """How long to stay awake for the next call of a client that sends one after the other; 0: not.
    Such a client is answered about 60 µs sooner, for up to a core while it calls."""
    idle_timeout: float | None
    """Seconds without a call after which to end by itself, with ExitStatus.IDLE. None: never."""
    grace_seconds: float
    """How long calls in flight may go on after SIGTERM."""
    log_level: str
    status_fd: int | None
    """Where to write a JSON line for each thing that the parent wants to know."""
    lifeline_fd: int | None
    """Read end of a pipe that the parent holds open: when it closes, the parent is dead."""


@dataclass(frozen=True, slots=True)
class _Option:
    parse: Callable[[str], object]
    help: str
    default: object = None
    required: bool = False


def _whole(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if int(text) < least:
            raise ValueError(text)
        return int(text)

    return number


def _seconds(text: str) -> float:
    if not 0 <= float(text) < float("inf"):
        raise ValueError(text)
    return float(text)


def _some_seconds(text: str) -> float:
    if not _seconds(text):
        raise ValueError(text)
    return float(text)


_OPTIONS: Mapping[str, _Option] = {
    "store": _Option(Path, "the model store's folder", required=True),
    "model": _Option(str, "name of the model to serve", required=True),
    "version": _Option(_whole(1), "version of the model to serve", required=True),
    "socket": _Option(Path, "Unix socket to listen on", required=True),
    "tcp": _Option(TcpAddress.parse, "HOST:PORT to listen on as well; see --token-file"),
    "metrics": _Option(TcpAddress.parse, "HOST:PORT of /metrics", "127.0.0.1:0"),
    "advertise": _Option(str, "host by which other machines reach --tcp and --metrics"),
    "tls_certificate": _Option(Path, "PEM file: the TCP ports speak TLS with it; takes --tls-key"),
    "tls_key": _Option(Path, "PEM file with its private key"),
    "tls_client_ca": _Option(Path, "PEM file: clients must show a certificate of this CA"),
    "token_file": _Option(
        Path,
        "file with tokens, one a line: callers must show one. Ports that other machines reach "
        "take this or --tls-client-ca",
    ),
    "threads": _Option(_whole(1), "threads that one run may use (default: the CPUs allowed)"),
    "max_message_bytes": _Option(_whole(1024), "largest request, and answer", str(64 * _MIB)),
    "instances": _Option(_whole(1), "runs that may go on at once", "1"),
    "max_batch_size": _Option(_whole(1), "most rows of a shared run; 1: calls run alone", "256"),
    "queue_calls": _Option(_whole(1), "calls that may wait for their run", "1024"),
    "queue_bytes": _Option(_whole(1024), "bytes of input that may wait", str(512 * _MIB)),
    "linger_microseconds": _Option(
        _whole(0), "time to stay awake for the next call of a client in a hurry; 0: not", "400"
    ),
    "idle_timeout": _Option(
        _some_seconds, "seconds without a call after which to end by itself (default: never)"
    ),
    "grace_seconds": _Option(_seconds, "time that calls in flight have after SIGTERM", "10"),
    "log_level": _Option(str, "debug, info, warning or error", "info"),
    "status_fd": _Option(_whole(0), "file descriptor to report the state on"),
    "lifeline_fd": _Option(_whole(0), "pipe whose closing means that the parent is dead"),
}


class SettingsError(Exception):
    """Settings that mean nothing; the message says which, and what to do."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise SettingsError(message)


def read(arguments: Sequence[str] | None = None) -> Settings:
    """Return the settings of this process; print what is wrong and exit with 2 if they are none."""
    parser = _parser()
    try:
        return _parsed(parser, arguments)
    except SettingsError as error:
        argparse.ArgumentParser.error(parser, str(error))


def check(arguments: Sequence[str]) -> Settings:
    """Return what `read` would, or raise SettingsError."""
    return _parsed(_parser(), arguments)


def _parser() -> _Parser:
    parser = _Parser(
        "inference_server", description="Serve one ONNX model version.", epilog=_EPILOG
    )
    for field in fields(Settings):
        option = _OPTIONS[field.name]
        default = option.default
        if not field.name.endswith("_fd"):
            default = os.environ.get(ENVIRONMENT_PREFIX + field.name.upper(), default)
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=option.parse,
            default=default,
            required=option.required and default is None,
            help=option.help,
        )
    return parser


def _parsed(parser: _Parser, arguments: Sequence[str] | None) -> Settings:
    values: dict[str, Any] = vars(parser.parse_args(arguments))  # Any: argparse has no types
    chosen = Settings(**values)
    if flaw := _flaw(chosen):
        raise SettingsError(flaw)
    return chosen


def _flaw(chosen: Settings) -> str | None:
    """Return what is wrong with the settings together."""
    if (chosen.tls_certificate is None) != (chosen.tls_key is None):
        given, missing = (
            ("certificate", "key") if chosen.tls_certificate else ("key", "certificate")
        )
        return f"--tls-{given} is given and --tls-{missing} is not: TLS takes both"
    if chosen.tls_client_ca and chosen.tls_certificate is None:
        return "--tls-client-ca is given without --tls-certificate and --tls-key: there is no TLS"
    if chosen.tls_client_ca or chosen.token_file:
        return None
    for option, endpoint in (("--tcp", chosen.tcp), ("--metrics", chosen.metrics)):
        if endpoint is not None and not endpoint.is_loopback:
            return (
                f"{option} {endpoint}: other machines reach this, and nothing keeps strangers out; "
                "give --tls-certificate, --tls-key and --tls-client-ca (mutual TLS), or "
                "--token-file, or listen on 127.0.0.1"
            )
    return None
