"""The services beside the protocol's: grpc.health.v1, and reflection that shows both."""

from __future__ import annotations

from grpc_health.v1 import health_pb2

from inference_server.lifecycle import Lifecycle, LifecycleState
from protos import open_inference_pb2 as pb
from protos.methods import SERVICE
from transport import Router
from transport.health import HEALTH, HealthService
from transport.reflection import add_reflection


def add_introspection(router: Router, lifecycle: Lifecycle) -> None:
    """Let `router` answer for the server's health, and for its services and their messages."""
    health = HealthService((SERVICE,), lambda: lifecycle.state is LifecycleState.READY)
    health.add_to(router)
    lifecycle.on_move(lambda: health.notify(final=lifecycle.state is LifecycleState.DRAINING))
    add_reflection(router, (SERVICE, HEALTH), (pb.DESCRIPTOR, health_pb2.DESCRIPTOR))
