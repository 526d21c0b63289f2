"""Opens the front door's port: the protocol's service, grpc.health.v1 and reflection."""

from __future__ import annotations

import grpc
import grpc.aio
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from gateway.oip.access import ModelAccess
from gateway.oip.front_door import Doorkeeper, FrontDoor, told
from gateway.oip.interception import ServiceInterceptor
from gateway.readiness import Readiness
from gateway.settings import Settings
from protos import open_inference_pb2 as pb
from protos.methods import SERVICE
from protos.service import Context, add_inference_service


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # published without types
    """Shows the gateway's readiness as grpc.health.v1 does."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    async def Check(  # noqa: N802 - the protocol's name
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> health_pb2.HealthCheckResponse:
        """Return the status now."""
        if request.service not in (health.OVERALL_HEALTH, SERVICE):
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such service")
        status = health_pb2.HealthCheckResponse
        ready = not self._readiness.reasons()
        return status(status=status.SERVING if ready else status.NOT_SERVING)


async def open_front_door(
    front_door: FrontDoor,
    access: ModelAccess,
    readiness: Readiness,
    settings: Settings,
) -> grpc.aio.Server:
    """Return the started gRPC server. Gateway processes of one installation share the port.

    Raises:
        OSError: the port is taken by somebody else.
    """
    server = grpc.aio.server(
        interceptors=[ServiceInterceptor(told, Doorkeeper(access).admit)],
        options=[
            ("grpc.max_send_message_length", settings.max_body_bytes),
            ("grpc.max_receive_message_length", settings.max_body_bytes),
            ("grpc.so_reuseport", 1),
        ],
    )
    add_inference_service(front_door, server)
    health_pb2_grpc.add_HealthServicer_to_server(Health(readiness), server)
    pool = DescriptorPool()
    for file in (pb.DESCRIPTOR, health_pb2.DESCRIPTOR):
        pool.AddSerializedFile(file.serialized_pb)
    names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server, pool=pool)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"{host}:{settings.grpc_port}"
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        message = f"the gRPC port {address} cannot be bound: {error}"
        raise OSError(message) from None
    await server.start()
    return server
