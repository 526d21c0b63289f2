"""The first moments of `up`: lock the state folder, bind the ports, start the gateways.

Imports only what is quick to import: the gateways must answer within a second.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.storage.schema_version import newest_revision
from slipstream.failures import UnusableError
from slipstream.log_files import log_file
from slipstream.settings import (
    UpOptions,
    check_exposure,
    has_pepper,
    installation_variables,
    log_level,
    process_environment,
)
from slipstream.supervisor import ports
from slipstream.supervisor.fork_server import ForkServer
from slipstream.supervisor.handover import Handover
from slipstream.supervisor.process import ChildProcess, Lifeline
from slipstream.supervisor.running_supervisor import RunningSupervisor, remember_database
from slipstream.supervisor.signals import StopSignals
from slipstream.supervisor.state_folder import StateFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What is opened first and closed last."""

    options: UpOptions
    signals: StopSignals
    folder: StateFolder
    lifeline: Lifeline
    rest: socket.socket
    """Listening socket of REST. All gateways accept from it; connections queue until one does."""
    grpc: socket.socket
    """The same of gRPC; with stock grpcio it reserves the port, see `ports.reserve`."""
    gateways: Mapping[str, ChildProcess]
    """The gateway processes by name."""
    fork_server: ForkServer | None
    """Forks inference servers; None if they share processes or the system supports none."""
    predecessor: Handover | None = None
    """What goes on from before a reload."""

    @property
    def log_file(self) -> Path | None:
        """Where all processes append their log; None: nowhere."""
        return _log_file(self.options)

    def spawn_gateway(self, *, accept_when_ready: bool) -> ChildProcess:
        """Start a gateway on the same ports."""
        return _spawn_gateway(
            self.options, self.rest, self.grpc, self.lifeline, accept_when_ready=accept_when_ready
        )

    def spawn_worker(self) -> ChildProcess:
        """Start a worker."""
        command = [sys.executable, "-m", "gateway.worker", "--queues", "sync,async"]
        command += ["--concurrency", str(self.options.worker_concurrency)]
        return ChildProcess.spawn(
            command, lifeline=self.lifeline, environment=_environment(self.options)
        )

    def stop_listening(self) -> None:
        """Close our side of the ports: connections are refused when the gateways stop, too."""
        self.rest.close()
        self.grpc.close()

    def release(self) -> None:
        """Close everything. Children that still run exit at once."""
        self.lifeline.close()
        self.stop_listening()
        self.folder.release()


def launch(options: UpOptions, predecessor: Handover | None = None) -> Launch:
    """Bind the ports, or take over those of a predecessor, and start the gateways.

    Raises:
        UnusableError: a certificate, the state folder, the address or a port cannot be used; no
            process has been started.
    """
    signals = StopSignals(reloads=True, count=predecessor.signals if predecessor else 0)
    signals.install()
    check_options(options)
    record = _record(options)
    if predecessor is None:
        folder = StateFolder.claim(options.state, record)
        rest = ports.listen(options.host, options.port)
        grpc = ports.open_grpc_port(options)
        lifeline = Lifeline()
    else:
        lock, sockets = predecessor.lock_fd, Path(predecessor.sockets)
        folder = StateFolder.adopt(options.state, record, lock=lock, sockets=sockets)
        rest = socket.socket(fileno=predecessor.rest_fd)
        grpc = socket.socket(fileno=predecessor.grpc_fd)
        lifeline = Lifeline(predecessor.lifeline_fds)
    remember_database(folder.path, record)
    replacing = predecessor is not None
    gateways = {
        name: _spawn_gateway(options, rest, grpc, lifeline, accept_when_ready=replacing)
        for name in _names(options.workers)
    }
    forks = ForkServer.SUPPORTED and options.models_per_process == 1
    fork_server = ForkServer.start(lifeline) if forks else None
    return Launch(
        options=options,
        signals=signals,
        folder=folder,
        lifeline=lifeline,
        rest=rest,
        grpc=grpc,
        gateways=gateways,
        fork_server=fork_server,
        predecessor=predecessor,
    )


def check_options(options: UpOptions) -> None:
    """Raise UnusableError if a certificate, the address or the log level cannot be used."""
    check_exposure(options)
    log_level(options)
    if options.tls_certificate or options.tls_key:
        _check_certificate(options)


def _record(options: UpOptions) -> RunningSupervisor:
    certificate = options.tls_certificate
    return RunningSupervisor(
        pid=os.getpid(),
        host=options.host,
        port=options.port,
        grpc_port=options.grpc_port,
        workers=options.workers,
        schema=newest_revision(),
        tls_certificate=str(certificate) if certificate else None,
        tls_key=str(options.tls_key) if options.tls_key else None,
        settings=installation_variables(),
        pepper_in_environment=has_pepper(),
    )


def _check_certificate(options: UpOptions) -> None:
    """Report once what every gateway would report."""
    from transport.certificates import TlsError, key_pair_from, server_context  # noqa: PLC0415

    called = ("--tls-cert", "--tls-key")
    try:
        pair = key_pair_from(options.tls_certificate, options.tls_key, option_names=called)
        assert pair is not None
        server_context(pair, protocols=())
    except TlsError as error:
        raise UnusableError(str(error)) from None


def _names(workers: int) -> list[str]:
    return ["gateway"] if workers == 1 else [f"gateway {n}" for n in range(1, workers + 1)]


def _spawn_gateway(
    options: UpOptions,
    rest: socket.socket,
    grpc: socket.socket,
    lifeline: Lifeline,
    *,
    accept_when_ready: bool,
) -> ChildProcess:
    command = [sys.executable, "-m", "gateway", *ports.listen_options(options, rest, grpc)]
    if accept_when_ready:
        command.append("--accept-when-ready")
    return ChildProcess.spawn(
        [*command, *options.gateway_options],
        lifeline=lifeline,
        inherit=[rest.fileno(), grpc.fileno()],
        environment=_environment(options),
    )


def _log_file(options: UpOptions) -> Path | None:
    return log_file(options.state) if options.log_file_bytes else None


def _environment(options: UpOptions) -> dict[str, str]:
    file = _log_file(options)
    return {
        **process_environment(options, None, workers=options.workers),
        "SLIPSTREAM_LOG_LEVEL": log_level(options),
        "SLIPSTREAM_LOG_FORMAT": options.log_format,
        **({} if file is None else {"SLIPSTREAM_LOG_FILE": str(file)}),
        "SLIPSTREAM_UNRESPONSIVE_SECONDS": str(options.unresponsive_seconds),
    }
