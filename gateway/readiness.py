"""Whether the gateway should be sent calls, and why not if not."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.upstream.servers import Servers, ServerStatus


class Readiness:
    """Ready once every inference server that was wanted at the start has settled.

    Settled is ready or failed, and where there are any, one must be ready. From then on a model
    that is loaded, reloaded or lost changes only its own readiness: no other call suffers.
    """

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._settled: set[tuple[str, int]] = set()
        self._began = False

    def fleet_known(self) -> None:
        """Begin to watch the servers that are wanted: the fleet has been read."""
        self._began = True

    def reasons(self) -> Sequence[str]:
        """Return why calls should not come yet; nothing means ready."""
        if not self._began:
            return ["starting: the inference servers are not known yet"]
        if self._settled is _ALWAYS:
            return []
        reasons = self._waiting()
        if not reasons:
            self._settled = _ALWAYS
        return reasons

    def _waiting(self) -> list[str]:
        wanted = [status for status in self._servers.statuses() if status.wanted]
        ready = [status for status in wanted if self._is_ready(status)]
        self._settled |= {(status.model, status.version) for status in ready}
        waiting = [
            f"inference server {status.title}: {status.phase or status.state}"
            for status in wanted
            if (status.model, status.version) not in self._settled and status.state != "failed"
        ]
        if wanted and not ready and not waiting:
            waiting = [f"inference server {status.title}: {status.reason}" for status in wanted]
        return waiting

    def _is_ready(self, status: ServerStatus) -> bool:
        return self._servers.is_ready(status.model, status.version)


_ALWAYS: set[tuple[str, int]] = set()
"""Marks that the start is over."""
