"""The first moments of `up`: claim the state folder, bind the ports, start what takes time.

Imports nothing that takes time: the gateways have to answer within a second.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.worker.plan import QueueWorkerPlan
from slipstream.failures import UnusableError
from slipstream.settings import UpOptions, log_level, process_environment
from slipstream.supervisor import ports
from slipstream.supervisor.fork_server import ForkServer
from slipstream.supervisor.process import ChildProcess, Lifeline
from slipstream.supervisor.signals import StopSignals
from slipstream.supervisor.state_folder import StateFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What is held from the first moment to the last."""

    options: UpOptions
    signals: StopSignals
    folder: StateFolder
    lifeline: Lifeline
    rest: socket.socket
    """Listens; the gateways accept from it, and connections queue while none of them does."""
    front_door: socket.socket
    """Keeps the gRPC port from strangers while no gateway has it."""
    gateways: Mapping[str, ChildProcess]
    """The gateway processes by name."""
    fork_server: ForkServer | None
    """Where inference servers come from, unless they share processes or the system has none."""

    async def spawn_gateway(self, _name: str) -> ChildProcess:
        """Start one more gateway on the same ports."""
        return _spawn_gateway(self.options, self.rest, self.lifeline)

    def spawn_queue_worker(self, plan: QueueWorkerPlan) -> ChildProcess:
        """Start a queue worker."""
        command = [sys.executable, "-m", "gateway.worker", *plan.arguments]
        return ChildProcess.spawn(
            command, lifeline=self.lifeline, environment=_environment(self.options)
        )

    def release(self) -> None:
        """Give everything back. Children that still run end at once."""
        self.lifeline.close()
        self.rest.close()
        self.front_door.close()
        self.folder.release()


def launch(options: UpOptions) -> Launch:
    """Start what answers first.

    Raises:
        UnusableError: a certificate, the state folder or a port cannot be used; nothing has been
            started then.
    """
    signals = StopSignals()
    signals.install()
    if options.tls_certificate or options.tls_key:
        _check_certificate(options)
    folder = StateFolder.claim(
        options.state,
        host=options.host,
        port=options.port,
        grpc_port=options.grpc_port,
        tls_certificate=options.tls_certificate,
    )
    rest = ports.listen(options.host, options.port)
    front_door = ports.reserve(options.host, options.grpc_port)
    lifeline = Lifeline()
    gateways = {name: _spawn_gateway(options, rest, lifeline) for name in _names(options.workers)}
    forks = ForkServer.SUPPORTED and options.models_per_process == 1
    fork_server = ForkServer.start(lifeline) if forks else None
    return Launch(
        options=options,
        signals=signals,
        folder=folder,
        lifeline=lifeline,
        rest=rest,
        front_door=front_door,
        gateways=gateways,
        fork_server=fork_server,
    )


def _check_certificate(options: UpOptions) -> None:
    """Say once, and in one line, what each gateway would say."""
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


def _spawn_gateway(options: UpOptions, rest: socket.socket, lifeline: Lifeline) -> ChildProcess:
    return ChildProcess.spawn(
        [
            *(sys.executable, "-m", "gateway", "--listen-fd", str(rest.fileno())),
            *options.gateway_options,
        ],
        lifeline=lifeline,
        inherit=[rest.fileno()],
        environment=_environment(options),
    )


def _environment(options: UpOptions) -> dict[str, str]:
    return {
        **process_environment(options, workers=options.workers),
        "SLIPSTREAM_LOG_LEVEL": log_level(),
    }
