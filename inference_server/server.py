"""The composition root: everything is made and put together here; then listen, boot, drain."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
from pathlib import Path
from time import perf_counter

import transport
from inference_server.bearer_tokens import TokenFileError
from inference_server.boot import BootSequence
from inference_server.data_plane.served_model import ServedModel
from inference_server.exit_status import ServerExitStatus
from inference_server.idle_monitor import IdleMonitor
from inference_server.introspection import add_introspection
from inference_server.lifecycle import BootPhase, Lifecycle, LifecycleState
from inference_server.metrics import ModelMetrics
from inference_server.metrics_endpoint import MetricsEndpoint
from inference_server.runtime import threads
from inference_server.service import InferenceService
from inference_server.settings import Settings, TcpAddress
from inference_server.tcp_security import TcpSecurity, advertised_address
from inference_server.triton_extensions import TritonExtensions
from telemetry.instruments import Registry
from telemetry.logs import logger
from telemetry.parent_process import StatusPipe
from transport import GrpcLimits, Router, TlsError
from transport.addresses import TLS_SCHEME

_LONGEST_SOCKET_PATH = 103
"""Bytes; the kernels' own limits are 107 (Linux) and 103 (macOS)."""
_GC_THRESHOLD = (50_000, 20, 50)
"""A call makes a few hundred objects and no cycle: Python's own 700 would collect at every call."""


class ListenError(Exception):
    """An address cannot be listened on; the message says which and why."""


class OnnxServer:
    """One inference server, from the first socket to the last answer."""

    def __init__(self, settings: Settings, *, began: float) -> None:
        """Put the parts together; `began` is the `perf_counter()` that boot time counts from."""
        self._settings = settings
        self._began = began
        self._log = logger(__name__)
        self._status = StatusPipe(settings.status_fd)
        self._socket = settings.socket.absolute()
        self._lifecycle = Lifecycle(f"model '{settings.model}' version {settings.version}")
        registry = Registry()
        self._metrics = ModelMetrics(registry, settings.model, settings.version)
        self._scrape = MetricsEndpoint(registry.render)
        self._plane = ServedModel(settings.model, settings.version, self._lifecycle, self._metrics)
        self._repository = TritonExtensions(
            settings.model, settings.version, self._plane, self._lifecycle, self._metrics
        )
        self._methods = InferenceService(
            self._plane, self._repository, self._lifecycle, linger_seconds=_linger(settings)
        )
        router = Router()
        self._methods.add_to(router)
        add_introspection(router, self._lifecycle)
        limits = GrpcLimits(max_message_bytes=settings.max_message_bytes)
        self._transport = transport.GrpcServer(router, limits=limits, on_error=self._blame)
        self._lifecycle.on_move(self._report)

    async def run(self, stopping: asyncio.Event) -> ServerExitStatus:
        """Serve until `stopping`, or until nobody calls any more; answer the calls in flight then.

        Raises:
            ListenError: an address is taken or cannot be used; nothing was served.
        """
        try:
            exposure = self._exposure()
            await self._listen(exposure)
        except ListenError as error:
            self._status.send("failed", code="internal", message=str(error))
            raise
        renewing = asyncio.create_task(exposure.reload_on_change())
        boot = BootSequence(
            self._settings, self._lifecycle, self._plane, self._repository, self._metrics
        )
        booting = asyncio.create_task(boot.run())
        status = await self._over(stopping)
        booting.cancel()
        renewing.cancel()
        await self._drain()
        return status

    def _exposure(self) -> TcpSecurity:
        try:
            return TcpSecurity.of(self._settings)
        except (TlsError, TokenFileError) as error:
            raise ListenError(str(error)) from error

    async def _listen(self, exposure: TcpSecurity) -> None:
        settings = self._settings
        addresses = {"address": await self._listen_unix(self._socket)}
        if settings.tcp:
            addresses["tcp_address"] = await self._listen_tcp(settings.tcp, exposure)
        try:
            metrics = await self._scrape.listen(
                settings.metrics, tls=exposure.metrics, tokens=exposure.tokens
            )
        except OSError as error:
            raise ListenError(f"metrics: cannot listen on {settings.metrics}: {error}") from error
        scheme = "https://" if exposure.metrics else ""
        addresses["metrics_address"] = f"{scheme}{advertised_address(metrics, settings)}"
        self._metrics.moved(self._lifecycle)
        self._metrics.booted(BootPhase.SPAWNING, perf_counter() - self._began)
        self._log.info("listening", **addresses)
        self._status.send("listening", **addresses)

    async def _listen_unix(self, path: Path) -> str:
        """Listen on a socket that only this user can reach; return its gRPC address."""
        if len(os.fsencode(path)) > _LONGEST_SOCKET_PATH:
            message = (
                f"socket: {path} is longer than the {_LONGEST_SOCKET_PATH} bytes that sockets allow"
            )
            raise ListenError(f"{message}: choose a shorter state folder")
        try:
            return await self._transport.listen(f"unix:{path}")
        except FileNotFoundError:
            message = f"socket: the folder {path.parent} does not exist"
            raise ListenError(message) from None
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                message = f"socket: another process listens on {path}: stop it first"
                raise ListenError(message) from None
            raise ListenError(f"socket: cannot listen on {path}: {error.strerror}") from error

    async def _listen_tcp(self, endpoint: TcpAddress, exposure: TcpSecurity) -> str:
        """Listen for who comes over the network; return the address for them."""
        guard = exposure.tokens.guard if exposure.tokens else None
        try:
            bound = await self._transport.listen(str(endpoint), tls=exposure.grpc, guard=guard)
        except OSError as error:
            message = f"tcp: cannot listen on {endpoint}: {error.strerror}"
            raise ListenError(message) from error
        reached = advertised_address(TcpAddress.parse(bound), self._settings)
        return f"{TLS_SCHEME if exposure.grpc else ''}{reached}"

    def _blame(self, path: str, error: BaseException) -> None:
        """Log what a handler raised and should not have."""
        self._log.error("handler_failed", method=path, exc_info=error)

    async def _over(self, stopping: asyncio.Event) -> ServerExitStatus:
        """Return when it is time to end, with the reason."""
        told = asyncio.create_task(stopping.wait())
        waiting: set[asyncio.Task[object]] = {told}
        seconds = self._settings.idle_timeout
        if seconds is not None:
            waiting.add(asyncio.create_task(IdleMonitor(self._plane, seconds).lasts()))
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        if stopping.is_set():
            return ServerExitStatus.STOPPED
        self._log.info("idle", seconds=seconds)
        return ServerExitStatus.IDLE

    async def _drain(self) -> None:
        self._lifecycle.drain()
        self._methods.close_streams()
        await self._transport.drain(self._settings.grace_seconds)
        self._scrape.close()
        self._plane.close()
        with contextlib.suppress(FileNotFoundError):
            self._settings.socket.unlink()
        self._log.info("stopped")

    def _report(self) -> None:
        """Tell the parent, the metrics and the log of a move."""
        lifecycle = self._lifecycle
        self._metrics.moved(lifecycle)
        match lifecycle.state:
            case LifecycleState.BOOTING:
                self._tell("phase", phase=lifecycle.phase)
            case LifecycleState.READY:
                gc.freeze()  # what boot has made stays: no collection needs to look at it again
                gc.set_threshold(*_GC_THRESHOLD)
                self._tell("ready", boot_seconds=round(perf_counter() - self._began, 4))
            case LifecycleState.FAILED if lifecycle.failure:
                failure = lifecycle.failure
                self._tell("failed", code=failure.code, message=failure.message)
            case _:
                self._tell("draining")

    def _tell(self, happened: str, **fields: object) -> None:
        log = self._log.error if happened == "failed" else self._log.info
        log(happened, **fields)
        self._status.send(happened, **fields)


def _linger(settings: Settings) -> float:
    """Return how long to stay awake for a next call: not at all where others need the one CPU."""
    return settings.linger_microseconds / 1e6 if threads.plan().cpus > 1 else 0.0
