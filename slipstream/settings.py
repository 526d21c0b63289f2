"""What `up` and `gateway` are asked for, and what carries it to the children."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transport.certificates import KeyPair

_YES = frozenset({"1", "true", "yes", "on"})
_MAX_PORT = 65535

WEBHOOK_SECRET_VARIABLE = "SLIPSTREAM_WEBHOOK_SECRET"  # noqa: S105 - the name of a variable
"""The variable that commands of webhooks find the secret in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """Where to listen and where to keep everything."""

    host: str
    port: int
    """Of REST."""
    grpc_port: int
    """Of the gRPC front door."""
    state: Path
    """Absolute."""
    grpc_server: str = "native"
    """`native` or `grpcio`: the server behind the gRPC port."""
    workers: int = 1
    """Gateway processes."""
    models_per_process: int = 1
    """Inference servers that share a process."""
    worker_concurrency: int = 0
    """Runs of type `api` at a time on this machine; 0 is no worker."""
    worker_idle_seconds: float | None = None
    """After so long without a run the worker sleeps; None is never."""
    tls_certificate: Path | None = None
    """Absolute. REST and the front door speak TLS with it, and with its key; None: they do not."""
    tls_key: Path | None = None

    @property
    def url(self) -> str:
        """The URL of REST, as this machine reaches it."""
        host = reachable(self.host)
        scheme = "https" if self.tls_certificate else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def tls(self) -> KeyPair | None:
        """What REST and the front door show."""
        from transport.certificates import KeyPair  # noqa: PLC0415 - `up` imports this first

        if self.tls_certificate is None or self.tls_key is None:
            return None
        return KeyPair(certificate=self.tls_certificate, key=self.tls_key)

    @property
    def gateway_options(self) -> list[str]:
        """What `python -m gateway` is told beside the environment."""
        certificate, key = self.tls_certificate, self.tls_key
        words = ["--tls-certificate", str(certificate)] if certificate else []
        return [*words, "--tls-key", str(key)] if key else words


def reachable(host: str) -> str:
    """Return the host by which this machine reaches what listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what `up` and `gateway` have in common; each option's default is its variable."""
    add = parser.add_argument
    add(
        "--host",
        default=os.environ.get("SLIPSTREAM_HOST", "127.0.0.1"),
        help="address to listen on (SLIPSTREAM_HOST, 127.0.0.1)",
    )
    add(
        "--port",
        type=_port,
        default=os.environ.get("SLIPSTREAM_PORT", "8080"),
        help="port of REST (SLIPSTREAM_PORT, 8080)",
    )
    add(
        "--grpc-port",
        type=_port,
        metavar="PORT",
        default=os.environ.get("SLIPSTREAM_GRPC_PORT", "8081"),
        help="port of the gRPC front door (SLIPSTREAM_GRPC_PORT, 8081)",
    )
    add(
        "--grpc-server",
        choices=("native", "grpcio"),
        default=os.environ.get("SLIPSTREAM_GRPC_SERVER", "native"),
        help="server of the gRPC port: native, or stock grpcio (SLIPSTREAM_GRPC_SERVER, native)",
    )
    add(
        "--state",
        type=Path,
        metavar="DIR",
        default=os.environ.get("SLIPSTREAM_STATE", ".slipstream"),
        help="folder with everything that is remembered (SLIPSTREAM_STATE, .slipstream)",
    )
    add(
        "--tls-cert",
        type=_file,
        metavar="FILE",
        default=os.environ.get("SLIPSTREAM_TLS_CERTIFICATE"),
        help="PEM file with certificate and chain: REST and the front door speak TLS"
        " (SLIPSTREAM_TLS_CERTIFICATE, none)",
    )
    add(
        "--tls-key",
        type=_file,
        metavar="FILE",
        default=os.environ.get("SLIPSTREAM_TLS_KEY"),
        help="PEM file with its private key (SLIPSTREAM_TLS_KEY, none)",
    )


def add_up_options(parser: argparse.ArgumentParser) -> None:
    """Add what only `up` has."""
    add = parser.add_argument
    add(
        "--workers",
        type=_workers,
        metavar="N",
        default=os.environ.get("SLIPSTREAM_WORKERS", "1"),
        help="gateway processes; one a core is the useful maximum (SLIPSTREAM_WORKERS, 1)",
    )
    add(
        "--models-per-process",
        type=_models,
        metavar="N",
        default=os.environ.get("SLIPSTREAM_MODELS_PER_PROCESS", "1"),
        help="inference servers that share a process: less memory, less protection from each other"
        " (SLIPSTREAM_MODELS_PER_PROCESS, 1)",
    )
    add(
        "--worker-concurrency",
        type=_runs,
        metavar="N",
        default=os.environ.get("SLIPSTREAM_WORKER_CONCURRENCY", str(_default_concurrency())),
        help="runs of type api at a time on this machine, 0 for none here"
        " (SLIPSTREAM_WORKER_CONCURRENCY, 2, or 1 on one core)",
    )
    add(
        "--worker-idle-seconds",
        type=_seconds,
        metavar="S",
        default=os.environ.get("SLIPSTREAM_WORKER_IDLE_SECONDS"),
        help="let the worker sleep after so long without a run; the next run wakes it, and waits"
        " for it (SLIPSTREAM_WORKER_IDLE_SECONDS, never)",
    )
    add(
        "--no-demo",
        action="store_true",
        default=os.environ.get("SLIPSTREAM_NO_DEMO", "").lower() in _YES,
        help="make no demo on the first start (SLIPSTREAM_NO_DEMO)",
    )
    add("--json", action="store_true", help="print one JSON document when ready, for scripts")


def process_environment(options: ServeOptions) -> dict[str, str]:
    """Return our environment with `options` in it: all other settings pass through it as well."""
    tls = {
        "SLIPSTREAM_TLS_CERTIFICATE": options.tls_certificate,
        "SLIPSTREAM_TLS_KEY": options.tls_key,
    }
    return {
        **os.environ,
        **{name: str(path) for name, path in tls.items() if path},
        "SLIPSTREAM_HOST": options.host,
        "SLIPSTREAM_PORT": str(options.port),
        "SLIPSTREAM_GRPC_PORT": str(options.grpc_port),
        "SLIPSTREAM_GRPC_SERVER": options.grpc_server,
        "SLIPSTREAM_STATE": str(options.state),
        "SLIPSTREAM_WORKERS": str(options.workers),
    }


def worker_environment(state: Path | None) -> dict[str, str]:
    """Return our environment, with a state folder in it where one is given."""
    return {**os.environ, **({"SLIPSTREAM_STATE": str(state.absolute())} if state else {})}


def log_level() -> str:
    """Return the level of the log lines below `up`, unless it is set.

    On a terminal `up` itself says what happens; elsewhere the lines are what is collected.
    """
    default = "warning" if sys.stderr.isatty() else "info"
    return os.environ.get("SLIPSTREAM_LOG_LEVEL", default)


def inference_options(**settings: object) -> list[str]:
    """Return settings as options of inference servers, but those that our environment has set.

    A server inherits the environment, and takes from it what its command line leaves out.
    """
    words: list[str] = []
    for name, value in settings.items():
        if f"SLIPSTREAM_INFERENCE_{name.upper()}" not in os.environ:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return words


def webhook_secret() -> str | None:
    """Return the secret that the commands of webhooks verify by, where the environment has one."""
    return os.environ.get(WEBHOOK_SECRET_VARIABLE)


def _file(text: str) -> Path | None:
    return Path(text).absolute() if text else None


def _port(text: str) -> int:
    return _between(1, _MAX_PORT, text)


def _models(text: str) -> int:
    return _between(1, 10_000, text)


def _workers(text: str) -> int:
    return _between(1, 256, text)


def _runs(text: str) -> int:
    return _between(0, 1000, text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds < float("inf"):
        message = f"expected a number of seconds from 1 up, got '{text}'"
        raise argparse.ArgumentTypeError(message)
    return seconds


def _default_concurrency() -> int:
    return min(2, os.cpu_count() or 1)


def _between(least: int, most: int, text: str) -> int:
    if not (text.isdecimal() and least <= int(text) <= most):
        message = f"expected a whole number from {least} to {most}, got '{text}'"
        raise argparse.ArgumentTypeError(message)
    return int(text)
