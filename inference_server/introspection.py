"""The services beside the protocol's: grpc.health.v1, and reflection that shows both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message
from grpc_health.v1 import health_pb2

from inference_server.lifecycle import Lifecycle, State
from protos import open_inference_pb2 as pb
from protos.methods import SERVICE
from transport import Router, RpcError, StatusCode, StreamCall, UnaryCall

HEALTH = "grpc.health.v1.Health"
REFLECTION = "grpc.reflection.v1alpha.ServerReflection"
_SERVICES = ("", SERVICE)
_Status = health_pb2.HealthCheckResponse

Request = TypeVar("Request", bound=Message)


class Health:
    """Shows the lifecycle as grpc.health.v1 does: SERVING while calls are taken, else not."""

    def __init__(self, lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle
        self._watches: set[_Watch] = set()
        lifecycle.on_move(self._moved)

    def add_to(self, router: Router) -> None:
        """Let `router` know the two methods."""
        router.unary(f"/{HEALTH}/Check", self._check)
        router.stream(f"/{HEALTH}/Watch", self._watch)

    def status(self, service: str) -> int:
        """Return the status of a service now."""
        if service not in _SERVICES:
            return int(_Status.SERVICE_UNKNOWN)
        ready = self._lifecycle.state is State.READY
        return int(_Status.SERVING if ready else _Status.NOT_SERVING)

    def _check(self, raw: bytes, _call: UnaryCall) -> bytes:
        request = _read(health_pb2.HealthCheckRequest, raw)
        if request.service not in _SERVICES:
            raise RpcError(StatusCode.NOT_FOUND, "there is no such service")
        return _answer(self.status(request.service))

    def _watch(self, call: StreamCall) -> _Watch:
        watch = _Watch(self, call, self._watches.discard)
        self._watches.add(watch)
        return watch

    def _moved(self) -> None:
        draining = self._lifecycle.state is State.DRAINING
        for watch in list(self._watches):
            watch.tell(last=draining)


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
        self._service = _read(health_pb2.HealthCheckRequest, messages[0]).service
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


class Reflection:
    """One call of the reflection service.

    grpc's own implementation answers; it and grpc are imported when somebody first asks, since
    nothing else in this process needs them. It gets a pool of its own: the protocol's messages are
    not in protobuf's default one (see `protos/generate.py`).
    """

    def __init__(self, call: StreamCall) -> None:
        self._call = call
        # Any: grpc-reflection is published without types
        self._servicer: Any = _reflection_servicer()

    def messages(self, messages: list[bytes]) -> None:
        """Answer each question."""
        from grpc_reflection.v1alpha import reflection_pb2  # noqa: PLC0415 - see the class

        questions = [_read(reflection_pb2.ServerReflectionRequest, raw) for raw in messages]
        for answer in self._servicer.ServerReflectionInfo(iter(questions), None):
            self._call.send(answer.SerializeToString())

    def half_closed(self) -> None:
        """End: every question is answered."""
        self._call.finish()

    def cancelled(self) -> None:
        """Nothing is kept."""


def add_introspection(router: Router, lifecycle: Lifecycle) -> None:
    """Let `router` answer for the server's health, and for its services and their messages."""
    Health(lifecycle).add_to(router)
    router.stream(f"/{REFLECTION}/ServerReflectionInfo", Reflection)


def _reflection_servicer() -> Any:
    from grpc_reflection.v1alpha import reflection  # noqa: PLC0415 - see Reflection

    pool = DescriptorPool()
    for file in (pb.DESCRIPTOR, health_pb2.DESCRIPTOR):
        pool.AddSerializedFile(file.serialized_pb)
    return reflection.ReflectionServicer((SERVICE, HEALTH, REFLECTION), pool=pool)


def _read(kind: type[Request], raw: bytes) -> Request:
    try:
        return kind.FromString(raw)
    except DecodeError:
        raise RpcError(StatusCode.INVALID_ARGUMENT, "the request is no such message") from None


def _answer(status: int) -> bytes:
    answer: bytes = _Status(status=status).SerializeToString()
    return answer
