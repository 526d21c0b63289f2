"""Protection of the TCP ports: TLS and bearer tokens (`authorization: Bearer …`).

The Unix socket needs neither: its file mode admits only the user who runs the server.
"""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_address
from typing import Self

from inference_server.settings import Settings
from telemetry.logs import logger
from telemetry.options import TcpAddress
from transport import KeyPair, Metadata, RpcError, ServerTls, StatusCode
from transport.bearer_tokens import BearerTokens
from transport.certificates import certificate_warnings
from transport.health import HEALTH
from transport.tls import H2, reload_on_change

_HTTP_1_1 = ("http/1.1",)
_UNAUTHENTICATED = RpcError(
    StatusCode.UNAUTHENTICATED,
    "expected `authorization: Bearer TOKEN` with a token of this inference server's --token-file",
)


class TcpSecurity:
    """What the files of the settings hold.

    Attributes:
        grpc: TLS of the gRPC port; None: plain text.
        metrics: TLS of the metrics port; None: plain text.
        tokens: one of which every client must present; None: none is needed.
    """

    def __init__(
        self, *, grpc: ServerTls | None, metrics: ServerTls | None, tokens: BearerTokens | None
    ) -> None:
        self.grpc = grpc
        self.metrics = metrics
        self.tokens = tokens
        self._log = logger(__name__)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Read the files.

        Raises:
            TlsError, TokenFileError: one cannot be used.
        """
        tokens = BearerTokens(settings.token_file) if settings.token_file else None
        if settings.tls_certificate is None or settings.tls_key is None:
            return cls(grpc=None, metrics=None, tokens=tokens)
        pair = KeyPair(certificate=settings.tls_certificate, key=settings.tls_key)
        client_ca = settings.tls_client_ca
        for reason in certificate_warnings(pair):
            logger(__name__).warning("tls_warning", reason=reason)
        return cls(
            grpc=ServerTls(pair, protocols=H2, client_ca=client_ca),
            metrics=ServerTls(pair, protocols=_HTTP_1_1, client_ca=client_ca),
            tokens=tokens,
        )

    def guard(self, path: str, metadata: Metadata) -> RpcError | None:
        """Refuse gRPC calls without a token, if one is needed; health checks need none."""
        if self.tokens is None or path.startswith(f"/{HEALTH}/"):
            return None
        for name, value in metadata:
            if name == "authorization" and isinstance(value, str):
                return None if self.tokens.accepts(value.encode()) else _UNAUTHENTICATED
        return _UNAUTHENTICATED

    async def reload_on_change(self) -> None:
        """Reload the files whenever they change, until cancelled."""
        listeners = [tls for tls in (self.grpc, self.metrics) if tls is not None]
        reloads = [reload_on_change(listeners, self._on_tls_reload)]
        if self.tokens is not None:
            reloads.append(self.tokens.reload_on_change(self._on_token_reload))
        await asyncio.gather(*reloads)

    def _on_token_reload(self, error: str) -> None:
        if error:
            self._log.error("tokens_reload_failed", reason=error)
        else:
            self._log.info("tokens_reloaded")

    def _on_tls_reload(self, error: str) -> None:
        if error:
            self._log.error("tls_reload_failed", reason=error)
        else:
            self._log.info("tls_reloaded")


def advertised_address(listening: TcpAddress, settings: Settings) -> TcpAddress:
    """Return the address by which other machines reach the one listened on."""
    if listening.is_loopback:
        return listening
    host = settings.advertise or listening.host
    return TcpAddress(socket.gethostname() if _is_any(host) else host, listening.port)


def _is_any(host: str) -> bool:
    """Whether it stands for all addresses of this machine."""
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False
