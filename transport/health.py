"""The grpc.health.v1 service: whether a server and its services take calls."""

from __future__ import annotations

from collections.abc import Callable, Collection

from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2

from transport.router import Router
from transport.server_streams import StreamCall, UnaryCall
from transport.status import RpcError, StatusCode

HEALTH = "grpc.health.v1.Health"
_OVERALL = ""
_Response = health_pb2.HealthCheckResponse


class HealthService:
    """SERVING while `is_ready()`, otherwise NOT_SERVING, for the server and its `services`.

    Clients in Watch get changes when `notify` is called.
    """

    def __init__(self, services: Collection[str], is_ready: Callable[[], bool]) -> None:
        self._services = frozenset({_OVERALL, *services})
        self._is_ready = is_ready
        self._watchers: set[_HealthWatcher] = set()

    def add_to(self, router: Router) -> None:
        """Register the two methods."""
        router.unary(f"/{HEALTH}/Check", self._check)
        router.stream(f"/{HEALTH}/Watch", self._watch)

    def notify(self, *, final: bool = False) -> None:
        """Send the current status to watching clients; `final` also ends their calls."""
        for watcher in list(self._watchers):
            watcher.notify(final=final)

    def status(self, service: str) -> int:
        """Return the current status of a service."""
        if service not in self._services:
            return int(_Response.SERVICE_UNKNOWN)
        return int(_Response.SERVING if self._is_ready() else _Response.NOT_SERVING)

    def _check(self, raw: bytes, _call: UnaryCall) -> bytes:
        service = _parse_service(raw)
        if service not in self._services:
            raise RpcError(StatusCode.NOT_FOUND, f"unknown service {service[:80]!r}")
        return _encode_status(self.status(service))

    def _watch(self, call: StreamCall) -> _HealthWatcher:
        watcher = _HealthWatcher(self, call, self._watchers.discard)
        self._watchers.add(watcher)
        return watcher


class _HealthWatcher:
    """One Watch call: sends the status at first and at each change, until the server drains."""

    def __init__(
        self,
        health: HealthService,
        call: StreamCall,
        on_end: Callable[[_HealthWatcher], None],
    ) -> None:
        self._health = health
        self._call = call
        self._on_end = on_end
        self._service: str | None = None
        self._sent: int | None = None

    def messages(self, messages: list[bytes]) -> None:
        """Handle the only request."""
        self._service = _parse_service(messages[0])
        self.notify()

    def half_closed(self) -> None:
        """Continue: the client still waits for answers."""

    def cancelled(self) -> None:
        """Stop watching."""
        self._on_end(self)

    def notify(self, *, final: bool = False) -> None:
        """Send the status if it has changed."""
        if self._service is not None:
            status = self._health.status(self._service)
            if status != self._sent:
                self._sent = status
                self._call.send(_encode_status(status))
        if final:
            self._on_end(self)
            self._call.finish()


def _parse_service(raw: bytes) -> str:
    try:
        return str(health_pb2.HealthCheckRequest.FromString(raw).service)
    except DecodeError:
        message = "the request is not a valid HealthCheckRequest"
        raise RpcError(StatusCode.INVALID_ARGUMENT, message) from None


def _encode_status(status: int) -> bytes:
    response: bytes = _Response(status=status).SerializeToString()
    return response
