"""Who may read the metrics without an API key: they name the deployments of all users."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from gateway.auth.proxies import TrustedProxies
from telemetry.logs import logger
from telemetry.options import TcpAddress
from transport.bearer_tokens import BearerTokens

log = logger("gateway.auth.metrics_access")


class MetricsAccess:
    """Admits callers with a token; where no tokens are set, programs on this machine.

    Args:
        tokens: None: none are set.
    """

    def __init__(self, proxies: TrustedProxies, tokens: BearerTokens | None) -> None:
        self._proxies = proxies
        self._tokens = tokens
        self._reloading: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Reload the tokens whenever their file changes."""
        if self._tokens is not None:
            reloads = self._tokens.reload_on_change(_log_reload)
            self._reloading = asyncio.create_task(reloads, name="metrics tokens")

    async def stop(self) -> None:
        """Stop reloading."""
        if self._reloading is not None:
            self._reloading.cancel()
            await asyncio.gather(self._reloading, return_exceptions=True)

    def admits(self, peer: str, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Whether the request needs no API key.

        Args:
            peer: the address of the connection's peer.
            headers: the request's header lines, names in lower case.
        """
        if self._tokens is None:
            return self._proxies.is_local(peer, headers)
        return self._tokens.accepts(dict(headers).get(b"authorization", b""))

    def is_local(
        self, peer: str, headers: Iterable[tuple[bytes, bytes]], address: str | None
    ) -> bool:
        """Whether the reader is on this machine, as far as is known.

        Args:
            peer: as of `admits`.
            headers: likewise.
            address: of this machine, by which the reader has reached it.
        """
        headers = list(headers)
        if address is None or TcpAddress(address, 0).is_loopback:
            return self._proxies.is_local(peer, headers)
        return self._proxies.client(peer, headers) == address


def _log_reload(error: str) -> None:
    if error:
        log.error("metrics_tokens_reload_failed", reason=error)
    else:
        log.info("metrics_tokens_reloaded")
