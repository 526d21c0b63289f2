"""One gateway process: `python -m gateway --listen-fd FD`.

Listens first, then imports and builds the rest. With `--accept-when-ready` it is the other way
round: other processes accept connections from the same sockets meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import uvicorn
import uvloop

from gateway.boot import BootApp
from gateway.errors import StorageError
from gateway.fast_path.connection import HttpConnection
from gateway.fleet.service_process import ProcessKind, SeenProcess, http_address
from gateway.fleet.states import State
from gateway.freed_memory import return_memory_when_steady
from gateway.http_server import GatewayServer
from telemetry import allocator, garbage_collection
from telemetry.options import flag, option, read, whole_number
from telemetry.parent_process import StatusPipe, exit_with_parent

if TYPE_CHECKING:
    from gateway.certificate import Certificate
    from gateway.settings import Settings

_BACKLOG = 2048
_GC_THRESHOLD = (5_000, 5, 50)
"""A call creates hundreds of objects and no cycles: the default of 700 would collect every call.
Connections and ASGI requests leave cycles behind, and 50,000 such objects stop all calls for 50 ms.
"""
_SWITCH_SECONDS = 0.0005
"""After which a thread gives the interpreter's lock to the event loop. By default it waits 5 ms,
and each call takes several turns of the loop."""
_READY_SECONDS = 10.0
"""How long a process that accepts connections when it is ready waits for that, once it is built.
Then it accepts them all the same, and says what is missing."""
_READY_POLL_SECONDS = 0.02
_UNUSABLE = 3
"""Exit status of commands that cannot run here, see `slipstream --help`."""
_KEEP_ALIVE_SECONDS = 120
"""Longer than that of load balancers, so that they close idle connections, not we."""


@dataclass(frozen=True, kw_only=True)
class _GatewayOptions:
    listen_fd: int = option(
        whole_number(0), "listening TCP socket of REST", required=True, in_environment=False
    )
    grpc_listen_fd: int | None = option(
        whole_number(0),
        "listening TCP socket of gRPC; without it, the port is bound",
        in_environment=False,
    )
    accept_when_ready: bool = flag("accept no connections before it is ready")
    lifeline_fd: int | None = option(
        whole_number(0), "pipe that closes when the parent ends", in_environment=False
    )
    status_fd: int | None = option(whole_number(0), "pipe for status lines", in_environment=False)
    tls_certificate: Path | None = option(Path, "PEM file: use TLS with it", in_environment=False)
    tls_key: Path | None = option(Path, "PEM file with its private key", in_environment=False)


def main() -> None:
    """Run until a signal, or until the supervisor ends."""
    garbage_collection.pause()
    sys.setswitchinterval(_SWITCH_SECONDS)
    options = read(
        _GatewayOptions, None, prefix="", program="python -m gateway", description=__doc__
    )
    if options.lifeline_fd is not None:
        exit_with_parent(options.lifeline_fd)
    # uvicorn raises the signal again after draining: it must not interrupt the clean-up
    signal.signal(signal.SIGTERM, lambda *_: None)
    report = StatusPipe(options.status_fd)
    boot_app = BootApp()
    if options.tls_certificate or options.tls_key:
        boot_app.certificate = _certificate(options.tls_certificate, options.tls_key, report)
    sys.exit(uvloop.run(_serve(options, boot_app, report)))


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


async def _serve(options: _GatewayOptions, boot_app: BootApp, report: StatusPipe) -> int:
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
    server = GatewayServer(
        config,
        boot_app,
        report,
        supervised=options.lifeline_fd is not None,
        listens_first=not options.accept_when_ready,
    )
    building = asyncio.create_task(_build(options, boot_app, server, report))
    heartbeats = asyncio.create_task(report.send_heartbeats())
    memory = asyncio.create_task(return_memory_when_steady(), name="freed memory")
    with _reloading_certificate(boot_app):
        await server.serve([socket.socket(fileno=options.listen_fd)])
    heartbeats.cancel()
    memory.cancel()
    building.cancel()
    (outcome,) = await asyncio.gather(building, return_exceptions=True)
    if isinstance(outcome, StorageError):
        return _UNUSABLE
    return 1 if isinstance(outcome, Exception) else 0


@contextlib.contextmanager
def _reloading_certificate(boot_app: BootApp) -> Iterator[None]:
    if boot_app.certificate is None:
        yield
        return
    task = asyncio.create_task(boot_app.certificate.reload_on_change(), name="certificate")
    yield
    task.cancel()


async def _build(
    options: _GatewayOptions, boot_app: BootApp, server: GatewayServer, report: StatusPipe
) -> None:
    """Build the gateway behind the listening port; stop the process if that fails."""
    try:
        assembly = await asyncio.to_thread(_import_assembly)
        container = await assembly.assemble(boot_app)
        if options.accept_when_ready:
            await _until_ready(boot_app)
            await server.listen()
        await container.open_grpc_port(options.grpc_listen_fd)
    except Exception as error:
        report.send("failed", message=str(error))
        sys.stderr.write(f"gateway: {error}\n")
        server.should_exit = True
        raise
    garbage_collection.resume(*_GC_THRESHOLD)
    allocator.keep_freed_memory()
    report.send("ready")
    if options.lifeline_fd is None:  # else the supervisor does it
        container.announce(partial(_seen, container.settings, boot_app))


def _seen(settings: Settings, boot_app: BootApp) -> SeenProcess:
    """Return what others are to know of this process."""
    return SeenProcess(
        kind=ProcessKind.GATEWAY,
        name="gateway",
        state=State.DRAINING if boot_app.stopping else State.READY,
        pid=os.getpid(),
        address=http_address(settings.host, settings.port, tls=boot_app.certificate is not None),
    )


async def _until_ready(boot_app: BootApp) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _READY_SECONDS
    while boot_app.reasons():
        if loop.time() >= deadline:
            return
        await asyncio.sleep(_READY_POLL_SECONDS)


def _import_assembly() -> ModuleType:
    return importlib.import_module("gateway.assembly")


if __name__ == "__main__":
    main()
