"""Protection of the TCP ports: TLS and bearer tokens (`authorization: Bearer …`).

The Unix socket needs neither: its file mode admits only the user who runs the server.
"""

from __future__ import annotations

import asyncio
import hmac
import socket
from pathlib import Path
from typing import Self

from inference_server.settings import Settings, TcpAddress
from telemetry.logs import logger
from transport import KeyPair, Metadata, RpcError, ServerTls, StatusCode
from transport.certificates import certificate_warnings
from transport.health import HEALTH
from transport.tls import H2, reload_on_change

_CHECK_SECONDS = 2.0
_HTTP_1_1 = ("http/1.1",)
_ANY_HOST = {"0.0.0.0", "::"}  # noqa: S104 - nothing is bound here
_SCHEME = "bearer "
_MIN_TOKEN_LENGTH = 16
"""Characters; shorter tokens can be guessed."""
_UNAUTHENTICATED = RpcError(
    StatusCode.UNAUTHENTICATED,
    "expected `authorization: Bearer TOKEN` with a token of this inference server's --token-file",
)


class TokenFileError(Exception):
    """A token file that cannot be used; the message names it and says what to do."""


class BearerTokens:
    """The tokens of a file, one per line; with two of them, clients can rotate.

    Raises:
        TokenFileError: the file cannot be read, or has no valid token.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._content: bytes | None = None
        self._tokens: list[bytes] = []
        self.reload()

    def reload(self) -> bool:
        """Read the file if it has changed; return whether it had. An invalid one changes nothing.

        Raises:
            TokenFileError: the file cannot be read, or has no valid token.
        """
        try:
            content = self._path.read_bytes()
        except OSError as error:
            message = f"the token file {self._path} cannot be read: {error.strerror}"
            raise TokenFileError(message) from None
        if content == self._content:
            return False
        self._content = content
        tokens = content.split()
        if not tokens or min(map(len, tokens)) < _MIN_TOKEN_LENGTH:
            message = (
                f"the token file {self._path}: expected tokens of at least {_MIN_TOKEN_LENGTH} "
                "characters, one per line; create one with `openssl rand -hex 32`"
            )
            raise TokenFileError(message)
        self._tokens = tokens
        return True

    def accepts(self, authorization: bytes) -> bool:
        """Return whether the value of a header holds one of the tokens, in constant time each."""
        if authorization[: len(_SCHEME)].lower() != _SCHEME.encode():
            return False
        presented = authorization[len(_SCHEME) :].strip()
        return any(hmac.compare_digest(presented, token) for token in self._tokens)

    def guard(self, path: str, metadata: Metadata) -> RpcError | None:
        """Refuse gRPC calls without a token; health checks need none."""
        if path.startswith(f"/{HEALTH}/"):
            return None
        for name, value in metadata:
            if name == "authorization" and isinstance(value, str):
                return None if self.accepts(value.encode()) else _UNAUTHENTICATED
        return _UNAUTHENTICATED


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

    async def reload_on_change(self) -> None:
        """Reload the files whenever they change, until cancelled."""
        listeners = [tls for tls in (self.grpc, self.metrics) if tls is not None]
        await asyncio.gather(
            reload_on_change(listeners, self._on_tls_reload), self._reload_tokens()
        )

    async def _reload_tokens(self) -> None:
        while self.tokens is not None:
            await asyncio.sleep(_CHECK_SECONDS)
            try:
                if await asyncio.to_thread(self.tokens.reload):
                    self._log.info("tokens_reloaded")
            except TokenFileError as error:
                self._log.error("tokens_reload_failed", reason=str(error))

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
    return TcpAddress(socket.gethostname() if host in _ANY_HOST else host, listening.port)
