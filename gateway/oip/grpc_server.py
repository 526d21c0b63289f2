"""The public gRPC port: the protocol's service, grpc.health.v1 and reflection."""

from __future__ import annotations

import socket
from typing import Protocol

from grpc_health.v1 import health_pb2

from gateway.certificate import Certificate
from gateway.oip.grpc_service import InferenceService
from gateway.readiness import Readiness
from gateway.settings import Settings
from gateway.web.connection_limits import max_connections_for
from protos import open_inference_pb2 as pb
from protos.methods import SERVICE
from transport import GrpcLimits, GrpcServer, Router
from transport.health import HEALTH, HealthService
from transport.reflection import add_reflection

_IDLE_SECONDS = 300.0
"""gRPC clients reconnect by themselves, with their next call."""
_KEEPALIVE_SECONDS = 60.0


class ListeningServer(Protocol):
    """A gRPC server that listens: the native one, or grpcio's."""

    async def drain(self, grace: float) -> None:
        """Accept no new calls, finish those in flight within `grace` seconds, and close."""


async def start_grpc_server(
    service: InferenceService,
    readiness: Readiness,
    settings: Settings,
    certificate: Certificate | None,
    listen_fd: int | None = None,
) -> ListeningServer:
    """Return the listening server. Gateway processes of one installation share the port.

    They share the socket `listen_fd`, so that a process which ends leaves its unaccepted
    connections to the others. Stock grpcio cannot: each process binds the port, and takes with it
    what it has not accepted.

    Raises:
        OSError: the port is in use by another program.
    """
    router = Router()
    service.add_to(router)
    HealthService((SERVICE,), lambda: not readiness.reasons()).add_to(router)
    add_reflection(router, (SERVICE, HEALTH), (pb.DESCRIPTOR, health_pb2.DESCRIPTOR))
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"{host}:{settings.grpc_port}"
    try:
        if settings.grpc_server == "grpcio":
            return await _start_grpcio(router, service, settings, address, certificate)
        server = _native_server(router, service, settings)
        tls = certificate.grpc if certificate else None
        if listen_fd is None:
            await server.listen(address, shared=True, tls=tls)
        else:
            await server.listen_on(socket.socket(fileno=listen_fd), tls=tls)
    except OSError as error:
        message = f"the gRPC port {address} cannot be bound: {error.strerror}"
        raise OSError(message) from None
    else:
        return server


def _native_server(router: Router, service: InferenceService, settings: Settings) -> GrpcServer:
    limits = GrpcLimits(
        max_message_bytes=settings.max_body_bytes,
        handshake_seconds=settings.header_seconds,
        message_seconds=settings.body_seconds,
        idle_seconds=_IDLE_SECONDS,
        keepalive_seconds=_KEEPALIVE_SECONDS,
    )
    return GrpcServer(
        router,
        limits=limits,
        max_connections=max_connections_for(settings.max_connections),
        evict_idle=True,
        on_error=service.log_error,
    )


async def _start_grpcio(
    router: Router,
    service: InferenceService,
    settings: Settings,
    address: str,
    certificate: Certificate | None,
) -> ListeningServer:
    # Imported only here: grpc takes a quarter of a second and some megabytes.
    from gateway.oip.grpcio_server import GrpcioServer  # noqa: PLC0415

    server = GrpcioServer(
        router, max_message_bytes=settings.max_body_bytes, on_error=service.log_error
    )
    await server.listen(address, certificate.pair if certificate else None)
    return server
