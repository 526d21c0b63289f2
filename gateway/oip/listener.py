"""Opens the front door's port: the protocol's service, grpc.health.v1 and reflection."""

from __future__ import annotations

from grpc_health.v1 import health_pb2

from gateway.oip.grpc_server import InferenceService
from gateway.readiness import Readiness
from gateway.settings import Settings
from gateway.web.connection_limits import max_connections_for
from protos import open_inference_pb2 as pb
from protos.methods import SERVICE
from transport import GrpcLimits, GrpcServer, Router, ServerTls
from transport.health import HEALTH, HealthService
from transport.reflection import add_reflection

_IDLE_SECONDS = 300.0
"""gRPC clients connect again by themselves, with their next call."""
_KEEPALIVE_SECONDS = 60.0


async def start_grpc_server(
    front_door: InferenceService, readiness: Readiness, settings: Settings, tls: ServerTls | None
) -> GrpcServer:
    """Return the listening gRPC server. Gateway processes of one installation share the port.

    Raises:
        OSError: the port is taken by somebody else.
    """
    router = Router()
    front_door.add_to(router)
    HealthService((SERVICE,), lambda: not readiness.reasons()).add_to(router)
    add_reflection(router, (SERVICE, HEALTH), (pb.DESCRIPTOR, health_pb2.DESCRIPTOR))
    limits = GrpcLimits(
        max_message_bytes=settings.max_body_bytes,
        handshake_seconds=settings.header_seconds,
        message_seconds=settings.body_seconds,
        idle_seconds=_IDLE_SECONDS,
        keepalive_seconds=_KEEPALIVE_SECONDS,
    )
    server = GrpcServer(
        router,
        limits=limits,
        max_connections=max_connections_for(settings.max_connections),
        evict_idle=True,
        on_error=front_door.blame,
    )
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"{host}:{settings.grpc_port}"
    try:
        await server.listen(address, shared=True, tls=tls)
    except OSError as error:
        message = f"the gRPC port {address} cannot be bound: {error.strerror}"
        raise OSError(message) from None
    return server
