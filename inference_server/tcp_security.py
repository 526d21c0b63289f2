"""What a server opens to other machines, and what keeps strangers out."""

from __future__ import annotations

import asyncio
import socket
from typing import Self

from inference_server.bearer_tokens import BearerTokens, TokenFileError
from inference_server.settings import Settings, TcpAddress
from telemetry.logs import logger
from transport import KeyPair, ServerTls
from transport.certificates import certificate_warnings
from transport.tls import H2, reload_on_change

_LOOK_SECONDS = 2.0
_HTTP = ("http/1.1",)
_ANY = {"0.0.0.0", "::"}  # noqa: S104 - nothing is bound here


class TcpSecurity:
    """TLS and tokens of the TCP ports. The Unix socket needs neither: its mode keeps others out.

    Attributes:
        grpc: TLS of the gRPC port; None: without.
        metrics: that of /metrics.
        tokens: of which every caller must show one; None: nobody must.
    """

    def __init__(
        self, *, grpc: ServerTls | None, metrics: ServerTls | None, tokens: BearerTokens | None
    ) -> None:
        self.grpc = grpc
        self.metrics = metrics
        self.tokens = tokens
        self._log = logger(__name__)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Read the files that the settings name.

        Raises:
            TlsError, TokenError: one cannot be used.
        """
        tokens = BearerTokens(settings.token_file) if settings.token_file else None
        if settings.tls_certificate is None or settings.tls_key is None:
            return cls(grpc=None, metrics=None, tokens=tokens)
        pair = KeyPair(certificate=settings.tls_certificate, key=settings.tls_key)
        ca = settings.tls_client_ca
        made = cls(
            grpc=ServerTls(pair, protocols=H2, client_ca=ca),
            metrics=ServerTls(pair, protocols=_HTTP, client_ca=ca),
            tokens=tokens,
        )
        for reason in certificate_warnings(pair):
            made._log.warning("tls_warning", reason=reason)
        return made

    async def reload_on_change(self) -> None:
        """Take over what changes in the files, until cancelled."""
        listeners = [tls for tls in (self.grpc, self.metrics) if tls is not None]
        await asyncio.gather(reload_on_change(listeners, self._tell), self._keep_tokens())

    async def _keep_tokens(self) -> None:
        while self.tokens is not None:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                if await asyncio.to_thread(self.tokens.renew):
                    self._log.info("tokens_reloaded")
            except TokenFileError as error:
                self._log.error("tokens_reload_failed", reason=str(error))

    def _tell(self, reason: str) -> None:
        if reason:
            self._log.error("tls_reload_failed", reason=reason)
        else:
            self._log.info("tls_reloaded")


def advertised_address(endpoint: TcpAddress, settings: Settings) -> TcpAddress:
    """Return an address that is listened on as others reach it."""
    if endpoint.is_loopback:
        return endpoint
    host = settings.advertise or endpoint.host
    return TcpAddress(socket.gethostname() if host in _ANY else host, endpoint.port)
