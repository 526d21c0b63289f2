"""The Open Inference Protocol of one gateway process: one data plane behind two doors."""

from __future__ import annotations

from gateway.auth.proxies import TrustedProxies
from gateway.certificate import Certificate
from gateway.metrics import GatewayMetrics
from gateway.oip.access import ModelAccess
from gateway.oip.dataplane import DataPlane
from gateway.oip.grpc_server import ListeningServer, start_grpc_server
from gateway.oip.grpc_service import InferenceService
from gateway.oip.rest import V2App
from gateway.readiness import Readiness
from gateway.settings import Settings
from gateway.upstream.servers import InferenceServers


class OipRoom:
    """`/v2`, and the gRPC front door, which listens from `open` on."""

    def __init__(
        self,
        settings: Settings,
        servers: InferenceServers,
        readiness: Readiness,
        access: ModelAccess,
        metrics: GatewayMetrics,
        *,
        proxies: TrustedProxies,
    ) -> None:
        plane = DataPlane(
            servers, readiness, metrics, timeout_seconds=settings.infer_timeout_seconds
        )
        self.rest = V2App(plane, access, proxies, metrics, max_body_bytes=settings.max_body_bytes)
        self._front_door = InferenceService(plane, access, proxies, metrics)
        self._readiness = readiness
        self._settings = settings
        self._server: ListeningServer | None = None

    async def open(self, certificate: Certificate | None) -> None:
        """Open the front door, with TLS where there is a certificate.

        Raises:
            OSError: its port is taken.
        """
        self._server = await start_grpc_server(
            self._front_door, self._readiness, self._settings, certificate
        )

    async def close(self, drain_seconds: float) -> None:
        """Close the front door when the calls in flight have ended, within limits."""
        if self._server is not None:
            await self._server.drain(drain_seconds)
