"""How this process authenticates to inference servers on other machines, and which it trusts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Self

from gateway.settings import Settings
from telemetry.logs import logger
from transport import ClientTls, Metadata
from transport.certificates import certificate_warnings, key_pair_from

log = logger("gateway.upstream")


class UpstreamCredentials:
    """For connections over TCP; a Unix socket needs none.

    Args:
        tls: for addresses with TLS; None: the system's CAs, and no client certificate.
        token: returns what is sent as `authorization: Bearer …`, or None.
    """

    def __init__(
        self, tls: ClientTls | None = None, token: Callable[[], str | None] = lambda: None
    ) -> None:
        self.tls = tls
        self._token = token

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the credentials that the settings name.

        Raises:
            TlsError: a file cannot be used.
        """
        pair = key_pair_from(
            settings.upstream_tls_certificate,
            settings.upstream_tls_key,
            option_names=("SLIPSTREAM_UPSTREAM_TLS_CERTIFICATE", "SLIPSTREAM_UPSTREAM_TLS_KEY"),
        )
        tls = None
        if pair is not None or settings.upstream_tls_ca or settings.upstream_tls_server_name:
            tls = ClientTls(
                ca=settings.upstream_tls_ca,
                pair=pair,
                server_name=settings.upstream_tls_server_name,
                on_reload=_log_reload,
            )
        for reason in certificate_warnings(pair) if pair else ():
            log.warning("tls_warning", reason=reason)
        file = settings.upstream_token_file
        return cls(tls) if file is None else cls(tls, lambda: _first_token(file))

    def metadata(self, address: str) -> Metadata:
        """Return the metadata of each call to a server at `address`."""
        token = None if address.startswith("unix:") else self._token()
        return (("authorization", f"Bearer {token}"),) if token else ()


def _first_token(file: Path) -> str | None:
    """Return the first word of a file, which may change at any time."""
    try:
        words = file.read_text().split()
    except OSError as error:
        log.warning("token_unreadable", file=str(file), reason=error.strerror)
        return None
    return words[0] if words else None


def _log_reload(reason: str) -> None:
    if reason:
        log.error("tls_reload_failed", reason=reason)
    else:
        log.info("tls_reloaded")
