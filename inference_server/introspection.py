"""The services beside the protocol's: grpc.health.v1, and reflection that shows both."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from inference_server.lifecycle import Lifecycle, State
from protos import open_inference_pb2 as pb
from protos.service import SERVICE, Context

_SERVICES = (health.OVERALL_HEALTH, SERVICE)
_Status = health_pb2.HealthCheckResponse


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # published without types
    """Shows the lifecycle as grpc.health.v1 does: SERVING while calls are taken, else NOT_SERVING.

    grpc's own servicer loses its other watchers when one leaves, and lets a watcher that does not
    read hold up every change.
    """

    def __init__(self, lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle
        self._moved = asyncio.Event()
        lifecycle.on_move(self._wake)

    async def Check(  # noqa: N802 - the protocol's name, as below
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> health_pb2.HealthCheckResponse:
        """Return the status now."""
        if request.service not in _SERVICES:
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such service")
        return _status(request.service, self._lifecycle.state)

    async def Watch(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> None:
        """Send the status now and at each change, until the server drains."""
        last = None
        while True:
            moved, state = self._moved, self._lifecycle.state
            status = _status(request.service, state)
            if status != last:
                await context.write(status)
                last = status
            if state is State.DRAINING:
                return
            await moved.wait()

    def _wake(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()


def _status(service: str, state: State) -> health_pb2.HealthCheckResponse:
    if service not in _SERVICES:
        return _Status(status=_Status.SERVICE_UNKNOWN)
    return _Status(status=_Status.SERVING if state is State.READY else _Status.NOT_SERVING)


def add_introspection(server: grpc.aio.Server, lifecycle: Lifecycle) -> None:
    """Have `server` answer for its health, and for its services and their messages.

    Reflection gets a pool of its own: the protocol's messages are not in protobuf's default one
    (see `protos/generate.py`).
    """
    health_pb2_grpc.add_HealthServicer_to_server(Health(lifecycle), server)
    pool = DescriptorPool()
    for file in (pb.DESCRIPTOR, health_pb2.DESCRIPTOR):
        pool.AddSerializedFile(file.serialized_pb)
    names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server, pool=pool)
