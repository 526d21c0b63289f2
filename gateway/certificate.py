"""The TLS certificate of the REST and gRPC ports, reloaded when its files change."""

from __future__ import annotations

from contextlib import suppress

from telemetry.logs import logger
from transport.certificates import KeyPair, TlsError, certificate_warnings
from transport.tls import H2, ServerTls, reload_on_change

_HTTP = ("http/1.1",)

log = logger("gateway.tls")


class Certificate:
    """TLS of both ports, from the same files.

    Raises:
        TlsError: a file cannot be used.
    """

    def __init__(self, pair: KeyPair) -> None:
        self.rest = ServerTls(pair, protocols=_HTTP)
        self.grpc = ServerTls(pair, protocols=H2)
        self.pair = pair

    async def reload_on_change(self) -> None:
        """Take over what changes in the files, until cancelled."""
        self._warn()
        await reload_on_change((self.rest, self.grpc), self._tell)

    def _tell(self, reason: str) -> None:
        if reason:
            log.error("tls_reload_failed", reason=reason)
        else:
            log.info("tls_reloaded")
            self._warn()

    def _warn(self) -> None:
        with suppress(TlsError):  # they have changed again: the next look says so
            for reason in certificate_warnings(self.pair):
                log.warning("tls_warning", reason=reason)
