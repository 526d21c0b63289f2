"""One gateway process: `python -m gateway --listen-fd FD`.

Listens first, then imports and builds the rest.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, ModuleType
from typing import TYPE_CHECKING

import uvicorn
import uvloop

from gateway.boot import BootApp
from gateway.fast_path.connection import HttpConnection
from telemetry import allocator, garbage_collection
from telemetry.options import option, read, whole_number
from telemetry.parent_process import StatusPipe, exit_with_parent

if TYPE_CHECKING:
    from gateway.certificate import Certificate
    from transport.tls_listener import TlsListener

_BACKLOG = 2048
_GC_THRESHOLD = (50_000, 20, 50)
"""A call creates hundreds of objects and no cycles: the default of 700 would collect every call."""
_KEEP_ALIVE_SECONDS = 120
"""Longer than that of load balancers, so that they close idle connections, not we."""


class GatewayServer(uvicorn.Server):
    """uvicorn's server: the first signal drains, the second stops at once."""

    def __init__(self, config: uvicorn.Config, boot_app: BootApp, report: StatusPipe) -> None:
        super().__init__(config)
        self._boot_app = boot_app
        self._report = report
        self.supervised = False
        """Whether a supervisor handles Ctrl-C and sends SIGTERM."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and report it."""
        if self._boot_app.certificate is None:
            await super().startup(sockets)
        else:
            await super().startup([])
            # in place of asyncio's server, with the methods that uvicorn calls
            self.servers = [
                self._listen_with_tls(sock, self._boot_app.certificate)  # type: ignore[misc]
                for sock in sockets or []
            ]
        self._report.send("listening")

    def _listen_with_tls(self, sock: socket.socket, certificate: Certificate) -> TlsListener:
        from transport.tls_listener import TlsListener  # noqa: PLC0415 - only with TLS

        sock.listen(_BACKLOG)
        return TlsListener(
            sock,
            certificate.rest.context,
            self._connection,
            handshake_seconds=lambda: self._boot_app.limits.header_seconds,
            max_connections=lambda: self._boot_app.limits.max_connections,
        )

    def _connection(self) -> HttpConnection:
        state = self.lifespan.state
        return HttpConnection(config=self.config, server_state=self.server_state, app_state=state)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain: answer waiting requests first, then let the others finish."""
        if self._boot_app.on_drain is not None:
            self._boot_app.on_drain()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        if self.supervised and sig == signal.SIGINT:
            return
        self._boot_app.draining = True
        if self.should_exit:
            self.force_exit = True
        super().handle_exit(sig, frame)


@dataclass(frozen=True, kw_only=True)
class _GatewayOptions:
    listen_fd: int = option(
        whole_number(0), "listening TCP socket", required=True, in_environment=False
    )
    lifeline_fd: int | None = option(
        whole_number(0), "pipe that closes when the parent ends", in_environment=False
    )
    status_fd: int | None = option(whole_number(0), "pipe for status lines", in_environment=False)
    tls_certificate: Path | None = option(Path, "PEM file: use TLS with it", in_environment=False)
    tls_key: Path | None = option(Path, "PEM file with its private key", in_environment=False)


def main() -> None:
    """Run until a signal, or until the supervisor ends."""
    garbage_collection.pause()
    options = read(
        _GatewayOptions, None, prefix="", program="python -m gateway", description=__doc__
    )
    if options.lifeline_fd is not None:
        exit_with_parent(options.lifeline_fd)
    # uvicorn raises the signal again after draining: it must not interrupt the clean-up
    signal.signal(signal.SIGTERM, lambda *_: None)
    supervised = options.lifeline_fd is not None
    report = StatusPipe(options.status_fd)
    boot_app = BootApp()
    if options.tls_certificate or options.tls_key:
        boot_app.certificate = _certificate(options.tls_certificate, options.tls_key, report)
    sys.exit(uvloop.run(_serve(options.listen_fd, boot_app, report, supervised=supervised)))


def _certificate(certificate: Path | None, key: Path | None, report: StatusPipe) -> Certificate:
    """Return the certificate of the options; exit if it cannot be used."""
    from gateway.certificate import Certificate  # noqa: PLC0415 - only with TLS
    from transport.certificates import TlsError, key_pair_from  # noqa: PLC0415

    try:
        pair = key_pair_from(certificate, key, option_names=("--tls-certificate", "--tls-key"))
        assert pair is not None
        return Certificate(pair)
    except TlsError as error:
        report.send("failed", message=str(error))
        sys.exit(f"gateway: {error}")


async def _serve(listen_fd: int, boot_app: BootApp, report: StatusPipe, *, supervised: bool) -> int:
    config = uvicorn.Config(
        boot_app,
        http=HttpConnection,
        ws="none",
        lifespan="on",
        access_log=False,
        proxy_headers=False,
        log_config=None,
        server_header=False,
        date_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
    )
    server = GatewayServer(config, boot_app, report)
    server.supervised = supervised
    building = asyncio.create_task(_build(boot_app, server, report))
    heartbeats = asyncio.create_task(report.send_heartbeats())
    with _reloading_certificate(boot_app):
        await server.serve([socket.socket(fileno=listen_fd)])
    heartbeats.cancel()
    building.cancel()
    (outcome,) = await asyncio.gather(building, return_exceptions=True)
    return 1 if isinstance(outcome, Exception) else 0


@contextlib.contextmanager
def _reloading_certificate(boot_app: BootApp) -> Iterator[None]:
    if boot_app.certificate is None:
        yield
        return
    task = asyncio.create_task(boot_app.certificate.reload_on_change(), name="certificate")
    yield
    task.cancel()


async def _build(boot_app: BootApp, server: GatewayServer, report: StatusPipe) -> None:
    """Build the gateway behind the listening port; stop the process if that fails."""
    try:
        assembly = await asyncio.to_thread(_import_assembly)
        await assembly.assemble(boot_app)
    except Exception as error:
        report.send("failed", message=str(error))
        sys.stderr.write(f"gateway: {error}\n")
        server.should_exit = True
        raise
    garbage_collection.resume(*_GC_THRESHOLD)
    allocator.keep_freed_memory()
    report.send("ready")


def _import_assembly() -> ModuleType:
    return importlib.import_module("gateway.assembly")


if __name__ == "__main__":
    main()
