"""The composition root: everything is made and put together here; then listen, boot, drain."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from pathlib import Path
from time import perf_counter

import grpc.aio

from inference_server.boot import Boot
from inference_server.dataplane import DataPlane
from inference_server.errors import told
from inference_server.introspection import add_introspection
from inference_server.lifecycle import Lifecycle, Phase, State
from inference_server.metrics import ModelMetrics
from inference_server.parent import StatusLines
from inference_server.scrape import MetricsEndpoint
from inference_server.servicer import Servicer
from inference_server.settings import Endpoint, Settings
from protos.interception import ServiceInterceptor
from protos.service import add_inference_service
from telemetry.instruments import Registry
from telemetry.logs import logger

_LONGEST_SOCKET_PATH = 103
"""Bytes; the kernels' own limits are 107 (Linux) and 103 (macOS)."""
_PRIVATE = 0o177
"""The umask that leaves a socket with mode 0600."""
_STOPPED_AT_ONCE = 128 + signal.SIGTERM


class ListenError(Exception):
    """An address cannot be listened on; the message says which and why."""


class Server:
    """One inference server, from the first socket to the last answer."""

    def __init__(self, settings: Settings, *, began: float) -> None:
        """Put the parts together; `began` is the `perf_counter()` that boot time counts from."""
        self._settings = settings
        self._began = began
        self._log = logger(__name__)
        self._status = StatusLines(settings.status_fd)
        self._stopping = asyncio.Event()
        self._lifecycle = Lifecycle(f"model '{settings.model}' version {settings.version}")
        registry = Registry()
        self._metrics = ModelMetrics(registry, settings.model, settings.version)
        self._scrape = MetricsEndpoint(registry.render)
        self._plane = DataPlane(settings.model, settings.version, self._lifecycle, self._metrics)
        self._servicer = Servicer(self._plane, self._lifecycle)
        self._grpc = grpc.aio.server(
            interceptors=[ServiceInterceptor(told)], options=_options(settings.max_message_bytes)
        )
        add_inference_service(self._servicer, self._grpc)
        add_introspection(self._grpc, self._lifecycle)
        self._lifecycle.on_move(self._report)

    async def run(self) -> None:
        """Serve until SIGTERM, and until the calls in flight are answered then.

        Raises:
            ListenError: an address is taken or cannot be used; nothing was served.
        """
        try:
            await self._listen()
        except ListenError as error:
            self._status.write("failed", code="internal", message=str(error))
            raise
        self._catch_signals()
        boot = Boot(self._settings, self._lifecycle, self._plane, self._metrics)
        booting = asyncio.create_task(boot.run())
        await self._stopping.wait()
        booting.cancel()
        await self._drain()

    async def _listen(self) -> None:
        settings = self._settings
        addresses = {"address": _bind_unix(self._grpc, settings.socket)}
        if settings.tcp:
            addresses["tcp_address"] = str(_bind_tcp(self._grpc, settings.tcp))
        try:
            metrics = await self._scrape.listen(settings.metrics)
        except OSError as error:
            raise ListenError(f"metrics: cannot listen on {settings.metrics}: {error}") from error
        addresses["metrics_address"] = str(metrics)
        await self._grpc.start()
        self._metrics.moved(self._lifecycle)
        self._metrics.booted(Phase.SPAWNING, perf_counter() - self._began)
        self._log.info("listening", **addresses)
        self._status.write("listening", **addresses)

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop)
        if self._settings.lifeline_fd is None:
            loop.add_signal_handler(signal.SIGINT, self._stop)

    def _stop(self) -> None:
        if self._stopping.is_set():
            os._exit(_STOPPED_AT_ONCE)
        self._stopping.set()

    async def _drain(self) -> None:
        self._lifecycle.drain()
        self._servicer.close_streams()
        await self._grpc.stop(self._settings.grace_seconds)
        self._scrape.close()
        with contextlib.suppress(FileNotFoundError):
            self._settings.socket.unlink()
        self._log.info("stopped")

    def _report(self) -> None:
        """Tell the parent, the metrics and the log of a move."""
        lifecycle = self._lifecycle
        self._metrics.moved(lifecycle)
        match lifecycle.state:
            case State.BOOTING:
                self._tell("phase", phase=lifecycle.phase)
            case State.READY:
                self._tell("ready", boot_seconds=round(perf_counter() - self._began, 4))
            case State.FAILED if lifecycle.failure:
                failure = lifecycle.failure
                self._tell("failed", code=failure.code, message=failure.message)
            case _:
                self._tell("draining")

    def _tell(self, happened: str, **fields: object) -> None:
        log = self._log.error if happened == "failed" else self._log.info
        log(happened, **fields)
        self._status.write(happened, **fields)


def _options(max_message_bytes: int) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.so_reuseport", 0),  # a second server on a taken port must hear of it
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 5000),
    ]


def _bind_unix(server: grpc.aio.Server, path: Path) -> str:
    """Have `server` listen on a socket that only this user can reach; return its gRPC address."""
    if len(os.fsencode(path)) > _LONGEST_SOCKET_PATH:
        message = (
            f"socket: {path} is longer than the {_LONGEST_SOCKET_PATH} bytes that sockets allow"
        )
        raise ListenError(f"{message}: choose a shorter state folder")
    if not path.parent.is_dir():
        raise ListenError(f"socket: the folder {path.parent} does not exist")
    if _answers(path):
        raise ListenError(f"socket: another process listens on {path}: stop it first")
    address = f"unix:{path.absolute()}"
    before = os.umask(_PRIVATE)
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        raise ListenError(f"socket: cannot listen on {path}: {error}") from error
    finally:
        os.umask(before)
    return address


def _answers(path: Path) -> bool:
    """Whether somebody listens on a socket: gRPC would quietly take it away from them."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(os.fsencode(path))
        except OSError:
            return False
    return True


def _bind_tcp(server: grpc.aio.Server, endpoint: Endpoint) -> Endpoint:
    try:
        port = server.add_insecure_port(str(endpoint))
    except RuntimeError as error:
        raise ListenError(f"tcp: cannot listen on {endpoint}: {error}") from error
    return Endpoint(endpoint.host, port)
