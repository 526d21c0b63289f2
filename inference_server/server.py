"""One inference server: the composition root, and its life: listen, boot, serve, drain."""

from __future__ import annotations

import asyncio
import errno
import os
from mmap import mmap
from pathlib import Path
from time import monotonic, perf_counter
from typing import TYPE_CHECKING

from inference_server import running_call
from inference_server.boot import BootSequence
from inference_server.data_plane.served_model import ServedModel
from inference_server.lifecycle import BootPhase, Lifecycle, LifecycleState
from inference_server.metrics import ModelMetrics
from inference_server.model_info import ModelInfo
from inference_server.runtime.host import MemoryLimit, plan_threads
from inference_server.service import ProtocolService, add_health_and_reflection
from inference_server.settings import Settings
from inference_server.spawn import ServerExitStatus
from inference_server.tcp_security import TcpSecurity, advertised_address
from telemetry import garbage_collection
from telemetry.http_endpoint import HttpEndpoint
from telemetry.instruments import Registry
from telemetry.logs import logger, name_task
from telemetry.options import TcpAddress
from telemetry.parent_process import StatusPipe
from telemetry.traces import Tracer
from transport import GrpcLimits, GrpcServer, Router, TlsError
from transport.addresses import TLS_SCHEME
from transport.bearer_tokens import TokenFileError

if TYPE_CHECKING:
    from inference_server.registration import Registration

REPORTED_EVENTS = frozenset(
    {"listening", "phase", "ready", "failed", "stuck", "draining", "stopped"}
)
"""What the parent notices anyway, beside what is logged."""
_MAX_SOCKET_PATH_BYTES = 103
"""The kernels' own limits are 107 (Linux) and 103 (macOS)."""
_GC_THRESHOLDS = (50_000, 20, 50)
"""A call creates a few hundred objects and no cycle. With Python's default of 700 the collector
would run at every call."""
_FIRST_CALL_SECONDS = 90.0
"""A server waits at least so long for its first call: clients were told to retry, and some do so
after a minute. It must not be asleep again by then."""
_IDLE_CHECKS = 20
"""Per idle time-out, so that a server ends at most a twentieth late."""
_MAX_IDLE_CHECK_SECONDS = 5.0


class ListenError(Exception):
    """An address cannot be listened on; the message says which and why."""


class OnnxServer:
    """One inference server, from its first socket to its last response."""

    def __init__(
        self,
        settings: Settings,
        memory_limit: MemoryLimit,
        *,
        started_at: float,
        is_alone: bool = True,
    ) -> None:
        """Create all parts.

        `memory_limit` is that of the process; `started_at` is the `perf_counter()` that boot time
        counts from. With `is_alone` the process has no other server: a call of this one has ended
        it if the process crashes.
        """
        self._is_alone = is_alone
        self._settings = settings
        self._memory_limit = memory_limit
        self._started_at = started_at
        self._log = logger(__name__)
        self._status_pipe = StatusPipe(settings.status_fd)
        name, version = settings.model, settings.version
        self._lifecycle = Lifecycle(f"model '{name}' version {version}")
        registry = Registry()
        self._metrics = ModelMetrics(registry, name, version)
        self._http = HttpEndpoint(registry.render, self._readiness)
        self._model = ServedModel(name, version, self._lifecycle, self._metrics)
        self._info = ModelInfo(name, version, self._model, self._lifecycle, self._metrics)
        self._service = ProtocolService(
            self._model, self._info, self._lifecycle, spin_seconds=_spin_seconds(settings)
        )
        router = Router()
        self._service.add_to(router)
        add_health_and_reflection(router, self._lifecycle)
        limits = GrpcLimits(max_message_bytes=settings.max_message_bytes)
        self._grpc_server = GrpcServer(router, limits=limits, on_error=self._on_handler_error)
        self._lifecycle.on_change(self._on_lifecycle_change)
        self._stuck = asyncio.Event()
        self._registration: Registration | None = None
        self._tracer: Tracer | None = None

    async def run(self, stopping: asyncio.Event) -> ServerExitStatus:
        """Serve until `stopping` is set or the idle time-out passes, then drain.

        Where a run or a load does not end in time, end at once with ServerExitStatus.STUCK: the
        process must end, because nothing else ends the thread.

        Raises:
            ListenError: an address is taken or invalid; nothing was served.
        """
        name_task(model=self._settings.model, version=self._settings.version)
        try:
            security = self._security()
            addresses = await self._listen(security)
            if self._settings.register:
                self._registration = self._register()
        except ListenError as error:
            self._status_pipe.send("failed", code="internal", message=str(error))
            raise
        background = [
            asyncio.create_task(security.reload_on_change()),
            asyncio.create_task(self._status_pipe.send_heartbeats(self._load)),
        ]
        if self._registration is not None:
            self._registration.start(addresses["tcp_address"], addresses["metrics_address"])
        boot = BootSequence(
            self._settings,
            self._lifecycle,
            self._model,
            self._info,
            self._metrics,
            memory_limit=self._memory_limit,
            running_call=self._create_running_call(),
            open_tracer=self._open_tracer,
            on_stuck=self._on_stuck,
        )
        booting = asyncio.create_task(boot.run())
        status = await self._wait_for_end(stopping)
        booting.cancel()
        grace = 0.0 if status is ServerExitStatus.STUCK else self._settings.grace_seconds
        await self._drain(grace)
        if self._tracer is not None and status is not ServerExitStatus.STUCK:
            await self._tracer.close()
        for task in background:
            task.cancel()
        if self._registration is not None and status is not ServerExitStatus.STUCK:
            await self._registration.leave()  # else its lease ends
        return status

    def _create_running_call(self) -> mmap | None:
        """Return where the call that runs is named; None: several may run at a time."""
        socket = self._settings.socket
        if socket is None or not self._is_alone or self._settings.instances > 1:
            return None
        try:
            return running_call.create(socket)
        except OSError as error:  # a full disk, for example: calls are served all the same
            self._log.warning("running_call_not_kept", reason=str(error))
            return None

    def _open_tracer(self) -> Tracer | None:
        """Open the tracer if the settings name a collector. Imports packages for a while."""
        settings = self._settings
        if settings.trace_endpoint is not None:
            self._tracer = Tracer(
                settings.trace_endpoint,
                service="slipstream-inference-server",
                dropped=self._metrics.dropped_spans,
                resource={
                    "slipstream.model.name": settings.model,
                    "slipstream.model.version": settings.version,
                },
            )
        return self._tracer

    def _security(self) -> TcpSecurity:
        try:
            return TcpSecurity.from_settings(self._settings)
        except (TlsError, TokenFileError) as error:
            raise ListenError(str(error)) from error

    def _register(self) -> Registration:
        # Imported here: an HTTP client takes a tenth of a second, and 10 MiB
        from inference_server.registration import Registration, RegistrationError  # noqa: PLC0415

        try:
            return Registration(self._settings, self._lifecycle)
        except RegistrationError as error:
            raise ListenError(str(error)) from error

    async def _listen(self, security: TcpSecurity) -> dict[str, str]:
        """Listen on all addresses; return them."""
        settings = self._settings
        addresses = {}
        if settings.socket:
            addresses["address"] = await self._listen_unix(settings.socket.absolute())
        if settings.tcp:
            addresses["tcp_address"] = await self._listen_tcp(settings.tcp, security)
        try:
            metrics = await self._http.listen(
                settings.metrics,
                ssl=security.metrics.context if security.metrics else None,
                accepts=security.tokens.accepts if security.tokens else None,
            )
        except OSError as error:
            raise ListenError(f"metrics: cannot listen on {settings.metrics}: {error}") from error
        scheme = "https://" if security.metrics else ""
        addresses["metrics_address"] = f"{scheme}{advertised_address(metrics, settings)}"
        self._metrics.record_state(self._lifecycle)
        self._metrics.record_phase(BootPhase.SPAWNING, perf_counter() - self._started_at)
        self._log.info("listening", **addresses)
        self._status_pipe.send("listening", **addresses)
        return addresses

    async def _listen_unix(self, path: Path) -> str:
        """Listen on a socket that only this user can reach; return its gRPC address."""
        if len(os.fsencode(path)) > _MAX_SOCKET_PATH_BYTES:
            message = (
                f"socket: {path} is longer than the {_MAX_SOCKET_PATH_BYTES} bytes that sockets "
                "allow: choose a shorter state folder"
            )
            raise ListenError(message)
        try:
            return await self._grpc_server.listen(f"unix:{path}")
        except FileNotFoundError:
            message = f"socket: the folder {path.parent} does not exist"
            raise ListenError(message) from None
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                message = f"socket: another process listens on {path}: stop it first"
                raise ListenError(message) from None
            raise ListenError(f"socket: cannot listen on {path}: {error.strerror}") from error

    async def _listen_tcp(self, address: TcpAddress, security: TcpSecurity) -> str:
        """Listen on a TCP port; return the gRPC address by which other machines reach it."""
        guard = security.guard if security.tokens else None
        try:
            bound = await self._grpc_server.listen(str(address), tls=security.grpc, guard=guard)
        except OSError as error:
            message = f"tcp: cannot listen on {address}: {error.strerror}"
            raise ListenError(message) from error
        reachable = advertised_address(TcpAddress.parse(bound), self._settings)
        return f"{TLS_SCHEME if security.grpc else ''}{reachable}"

    async def _wait_for_end(self, stopping: asyncio.Event) -> ServerExitStatus:
        """Wait until the server is told to stop, has been idle or is stuck; return which."""
        waiting: set[asyncio.Task[object]] = {
            asyncio.create_task(event.wait()) for event in (stopping, self._stuck)
        }
        timeout = self._settings.idle_timeout
        if timeout:
            waiting.add(asyncio.create_task(_wait_until_idle(self._model, timeout)))
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        if self._stuck.is_set():
            return ServerExitStatus.STUCK
        if stopping.is_set():
            return ServerExitStatus.STOPPED
        self._log.info("idle", seconds=timeout)
        return ServerExitStatus.IDLE

    async def _drain(self, grace: float) -> None:
        self._lifecycle.drain()
        self._service.close_streams()
        await self._grpc_server.drain(grace)
        self._http.close()
        self._model.close()
        self._memory_limit.remove_model(self._model)
        if self._settings.socket:
            self._settings.socket.unlink(missing_ok=True)
            running_call.remove(self._settings.socket)
        self._log.info("stopped")

    def _load(self) -> dict[str, object]:
        """Return what each heartbeat says of the calls, see `ServedModel`."""
        model = self._model
        return {
            "at": monotonic(),
            "answered": model.answered,
            "outstanding": model.outstanding,
            "call_seconds": model.call_seconds,
        }

    def _readiness(self) -> dict[str, object]:
        """Return what the health service says, and the phase of a boot."""
        state = self._lifecycle.state
        answer: dict[str, object] = {"ready": state is LifecycleState.READY, "state": state}
        if state is LifecycleState.BOOTING:
            answer["phase"] = self._lifecycle.phase
        if self._registration is not None and not self._registration.is_known:
            answer |= {"ready": False, "reason": "not registered at a gateway yet: see the log"}
        return answer

    def _on_stuck(self, reason: str) -> None:
        """End, because only the end of the process ends a thread that `reason` tells of."""
        self._report("stuck", message=reason)
        self._stuck.set()

    def _on_handler_error(self, path: str, error: BaseException) -> None:
        """Log a bug: handlers raise nothing but RpcError."""
        self._log.error("handler_failed", method=path, exc_info=error)

    def _on_lifecycle_change(self) -> None:
        """Report a transition to the parent, the metrics and the log."""
        lifecycle = self._lifecycle
        self._metrics.record_state(lifecycle)
        match lifecycle.state:
            case LifecycleState.BOOTING:
                self._report("phase", phase=lifecycle.phase)
            case LifecycleState.READY:
                garbage_collection.resume(*_GC_THRESHOLDS)
                boot_seconds = round(perf_counter() - self._started_at, 4)
                if self._registration is not None:
                    self._registration.boot_seconds = boot_seconds
                self._report("ready", boot_seconds=boot_seconds)
            case LifecycleState.FAILED if lifecycle.failure:
                failure = lifecycle.failure
                self._report("failed", code=failure.code, message=failure.message)
            case _:
                self._report("draining")

    def _report(self, event: str, **fields: object) -> None:
        log = self._log.error if event in {"failed", "stuck"} else self._log.info
        log(event, **fields)
        self._status_pipe.send(event, **fields)


async def _wait_until_idle(model: ServedModel, timeout: float) -> None:
    """Return once a ready server has had no inference call for `timeout` seconds.

    Polls counters that exist anyway, so that no call pays for it. A call that waits or runs counts,
    however long it takes. Probes, metadata, statistics and metrics are not inference calls.
    """
    interval = min(timeout / _IDLE_CHECKS, _MAX_IDLE_CHECK_SECONDS)
    answered, idle_since = model.answered, monotonic()
    remaining = max(timeout, _FIRST_CALL_SECONDS)
    while monotonic() - idle_since < remaining:
        await asyncio.sleep(interval)
        called = model.outstanding or model.answered != answered
        if called or not model.ready:
            answered, idle_since = model.answered, monotonic()
        if called and model.ready:
            remaining = timeout


def _spin_seconds(settings: Settings) -> float:
    """Return how long to poll for a client's next message; 0 if the server has only one CPU."""
    return settings.linger_microseconds / 1e6 if plan_threads().cpus > 1 else 0.0
