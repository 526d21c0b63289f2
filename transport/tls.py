"""TLS of listeners and clients, from files that may change while we run.

What is in the files counts for connections that are made from then on; those that there are go on
as they are. Files that cannot be used, such as half a new pair, change nothing.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path

from transport.certificates import KeyPair, TlsError, client_context, server_context

H2 = ("h2",)
"""What gRPC speaks, for ALPN."""
_LOOK_SECONDS = 2.0

_Stamp = tuple[tuple[int, int, int] | None, ...]
OnRenewal = Callable[[str], None]
"""Hears of changed files: `""`, they are in force; else why what was there before stays."""


class _Files:
    """Files, and the context that was made of them."""

    def __init__(self, files: Sequence[Path | None], build: Callable[[], ssl.SSLContext]) -> None:
        self._files = [file for file in files if file is not None]
        self._build = build
        self._stamp = self._look()
        self._newest = build()

    def renew(self) -> bool:
        """Make a new context if a file has changed since the last time; return whether one has.

        Raises:
            TlsError: what is there now cannot be used. Not said again before it changes again.
        """
        stamp = self._look()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        self._newest = self._build()
        return True

    def _look(self) -> _Stamp:
        return tuple(map(_stamp_of, self._files))


class ServerTls(_Files):
    """TLS of a listener.

    Args:
        pair: what the server shows.
        protocols: for ALPN.
        client_ca: who vouches for clients; with it, each has to show a certificate.

    Raises:
        TlsError: a file cannot be used.
    """

    def __init__(
        self, pair: KeyPair, *, protocols: Sequence[str] = H2, client_ca: Path | None = None
    ) -> None:
        def build() -> ssl.SSLContext:
            return server_context(pair, protocols=protocols, client_ca=client_ca)

        super().__init__((pair.certificate, pair.key, client_ca), build)
        self.context = self._newest
        """For the listener, which keeps it: each handshake goes on with the newest."""
        self.context.sni_callback = self._hand_over

    def _hand_over(
        self, handshake: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _: ssl.SSLContext
    ) -> None:
        if self._newest is not self.context:
            handshake.context = self._newest


class ClientTls(_Files):
    """TLS of a client's connections.

    Args:
        ca: who vouches for servers; None: those that the system trusts.
        pair: what the client shows where it is asked.
        server_name: that the servers' certificates are for; None: the host of each address.
        on_renewal: hears of changed files.

    Raises:
        TlsError: a file cannot be used.
    """

    def __init__(
        self,
        *,
        ca: Path | None = None,
        pair: KeyPair | None = None,
        server_name: str | None = None,
        on_renewal: OnRenewal = lambda _: None,
    ) -> None:
        def build() -> ssl.SSLContext:
            return client_context(protocols=H2, ca=ca, pair=pair)

        files = (ca, *((pair.certificate, pair.key) if pair else ()))
        super().__init__(files, build)
        self.server_name = server_name
        self._on_renewal = on_renewal

    def context(self) -> ssl.SSLContext:
        """Return what the next connection needs."""
        outcome = _renew(self)
        if outcome is not None:
            self._on_renewal(outcome)
        return self._newest


async def keep_renewed(listeners: Sequence[ServerTls], on_renewal: OnRenewal) -> None:
    """Look after the files of listeners until cancelled."""
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        # Several listeners show the same files: what is the same for all is said once.
        for outcome in {await asyncio.to_thread(_renew, tls) for tls in listeners}:
            if outcome is not None:
                on_renewal(outcome)


def _renew(files: _Files) -> str | None:
    """Return None where nothing has changed, and else what OnRenewal takes."""
    try:
        return "" if files.renew() else None
    except TlsError as error:
        return str(error)


def _stamp_of(file: Path) -> tuple[int, int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
