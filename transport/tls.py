"""TLS of listeners and clients, from files that are reloaded when they change.

New files apply to new connections; established connections continue as they are. Files that cannot
be used, such as half of a new key pair, change nothing.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path

from transport.certificates import KeyPair, TlsError, client_context, server_context

H2 = ("h2",)
"""ALPN protocols of gRPC."""
_CHECK_SECONDS = 2.0

_Stamp = tuple[tuple[int, int, int] | None, ...]
OnReload = Callable[[str], None]
"""Called after files have changed: with `""` if they were loaded, otherwise with the error."""


class _ReloadableContext:
    """An SSL context and the files that it was made of."""

    def __init__(self, files: Sequence[Path | None], build: Callable[[], ssl.SSLContext]) -> None:
        self._files = [file for file in files if file is not None]
        self._build = build
        self._stamp = self._read_stamp()
        self._current = build()

    def reload(self) -> bool:
        """Make a new context if a file has changed since the last time; return whether one has.

        Raises:
            TlsError: the new files cannot be used. Not raised again until they change again.
        """
        stamp = self._read_stamp()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        self._current = self._build()
        return True

    def _read_stamp(self) -> _Stamp:
        return tuple(map(_stamp_of, self._files))


class ServerTls(_ReloadableContext):
    """TLS of a listener.

    Args:
        pair: the server's certificate and key.
        protocols: for ALPN.
        client_ca: CA bundle used to verify clients; with it, clients must present a certificate.

    Raises:
        TlsError: a file cannot be used.
    """

    def __init__(
        self, pair: KeyPair, *, protocols: Sequence[str] = H2, client_ca: Path | None = None
    ) -> None:
        def build() -> ssl.SSLContext:
            return server_context(pair, protocols=protocols, client_ca=client_ca)

        super().__init__((pair.certificate, pair.key, client_ca), build)
        self.context = self._current
        """For the listener, which keeps it; each handshake switches to the current context."""
        # The SNI callback is the only hook that runs at the start of every handshake
        self.context.sni_callback = self._switch_context

    def _switch_context(
        self, handshake: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _: ssl.SSLContext
    ) -> None:
        if self._current is not self.context:
            handshake.context = self._current


class ClientTls(_ReloadableContext):
    """TLS of a client's connections.

    Args:
        ca: CA bundle used to verify servers; default: the system's CAs.
        pair: the client certificate, for servers that require one.
        server_name: the name expected in the servers' certificates; default: the address's host.
        on_reload: called after files have changed.

    Raises:
        TlsError: a file cannot be used.
    """

    def __init__(
        self,
        *,
        ca: Path | None = None,
        pair: KeyPair | None = None,
        server_name: str | None = None,
        on_reload: OnReload = lambda _: None,
    ) -> None:
        def build() -> ssl.SSLContext:
            return client_context(protocols=H2, ca=ca, pair=pair)

        files = (ca, *((pair.certificate, pair.key) if pair else ()))
        super().__init__(files, build)
        self.server_name = server_name
        self._on_reload = on_reload

    def context(self) -> ssl.SSLContext:
        """Return the context for the next connection."""
        outcome = _try_reload(self)
        if outcome is not None:
            self._on_reload(outcome)
        return self._current


async def reload_on_change(listeners: Sequence[ServerTls], on_reload: OnReload) -> None:
    """Reload the files of listeners whenever they change, until cancelled."""
    while True:
        await asyncio.sleep(_CHECK_SECONDS)
        # Listeners often share files: the set reports an outcome once, not once per listener
        for outcome in {await asyncio.to_thread(_try_reload, tls) for tls in listeners}:
            if outcome is not None:
                on_reload(outcome)


def _try_reload(context: _ReloadableContext) -> str | None:
    """Return None if nothing has changed, otherwise the argument for OnReload."""
    try:
        return "" if context.reload() else None
    except TlsError as error:
        return str(error)


def _stamp_of(file: Path) -> tuple[int, int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
