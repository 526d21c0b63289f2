"""grpc.health.v1 for a server: which of its services take calls, now and at each change."""

from __future__ import annotations

from collections.abc import Callable, Collection

from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2

from transport.router import Router, StreamCall, UnaryCall
from transport.status import RpcError, StatusCode

HEALTH = "grpc.health.v1.Health"
_OVERALL = ""
_Status = health_pb2.HealthCheckResponse


class Health:
    """SERVING while `ready()`, else NOT_SERVING, for the server as a whole and its `services`.

    Who waits in Watch hears of a change when `changed` is called.
    """

    def __init__(self, services: Collection[str], ready: Callable[[], bool]) -> None:
        self._services = frozenset({_OVERALL, *services})
        self._ready = ready
        self._watches: set[_Watch] = set()

    def add_to(self, router: Router) -> None:
        """Let `router` know the two methods."""
        router.unary(f"/{HEALTH}/Check", self._check)
        router.stream(f"/{HEALTH}/Watch", self._watch)

    def changed(self, *, last: bool = False) -> None:
        """Tell who waits; `last` ends their calls."""
        for watch in list(self._watches):
            watch.tell(last=last)

    def status(self, service: str) -> int:
        """Return the status of a service now."""
        if service not in self._services:
            return int(_Status.SERVICE_UNKNOWN)
        return int(_Status.SERVING if self._ready() else _Status.NOT_SERVING)

    def _check(self, raw: bytes, _call: UnaryCall) -> bytes:
        service = _service(raw)
        if service not in self._services:
            raise RpcError(StatusCode.NOT_FOUND, "there is no such service")
        return _answer(self.status(service))

    def _watch(self, call: StreamCall) -> _Watch:
        watch = _Watch(self, call, self._watches.discard)
        self._watches.add(watch)
        return watch


class _Watch:
    """One call of Watch: the status at first, and at each change, until the server drains."""

    def __init__(self, health: Health, call: StreamCall, on_end: Callable[[_Watch], None]) -> None:
        self._health = health
        self._call = call
        self._on_end = on_end
        self._service: str | None = None
        self._told: int | None = None

    def messages(self, messages: list[bytes]) -> None:
        """Take the one request."""
        self._service = _service(messages[0])
        self.tell()

    def half_closed(self) -> None:
        """Go on: the answers are what the client waits for."""

    def cancelled(self) -> None:
        """Forget the client."""
        self._on_end(self)

    def tell(self, *, last: bool = False) -> None:
        """Send the status, if it is news."""
        if self._service is not None:
            status = self._health.status(self._service)
            if status != self._told:
                self._told = status
                self._call.send(_answer(status))
        if last:
            self._on_end(self)
            self._call.finish()


def _service(raw: bytes) -> str:
    try:
        return str(health_pb2.HealthCheckRequest.FromString(raw).service)
    except DecodeError:
        raise RpcError(StatusCode.INVALID_ARGUMENT, "the request is no such message") from None


def _answer(status: int) -> bytes:
    answer: bytes = _Status(status=status).SerializeToString()
    return answer
