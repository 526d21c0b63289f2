"""Whether the gateway should be sent calls, and why not if not."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.upstream.servers import InferenceServers, ServerStatus

Key = tuple[str, int]


class Readiness:
    """Ready once every inference server that was wanted at the start has settled.

    Settled is ready, failed, or not wanted any more; where all have failed, we are not ready. A
    model that is loaded, reloaded or lost later changes only its own readiness: no other call
    suffers.
    """

    def __init__(self, servers: InferenceServers) -> None:
        self._servers = servers
        self._starting: set[Key] | None = None
        self._useful = False
        """Whether one of them has been ready."""

    def servers_known(self) -> None:
        """Take note of the servers that are wanted now, at the start."""
        wanted = [status for status in self._servers.statuses() if status.wanted]
        self._starting = {_key(status) for status in wanted}

    def reasons(self) -> Sequence[str]:
        """Return why calls should not come yet; nothing means ready."""
        if self._starting is None:
            return ["starting: the inference servers are not known yet"]
        if not self._starting:
            return []
        statuses = {_key(status): status for status in self._servers.statuses() if status.wanted}
        ready = {key for key in self._starting if self._servers.is_ready(*key)}
        self._useful = self._useful or bool(ready)
        self._starting = {key for key in self._starting - ready if key in statuses}
        waiting = [statuses[key] for key in sorted(self._starting)]
        if self._useful:
            waiting = [status for status in waiting if status.state != "failed"]
        return [f"inference server {status.title}: {_why(status)}" for status in waiting]


def _key(status: ServerStatus) -> Key:
    return status.model, status.version


def _why(status: ServerStatus) -> str:
    match status.state:
        case "failed":
            return f"failed: {status.reason or 'for an unknown reason'}"
        case "ready":
            return "being connected"
        case _:
            return status.phase or status.state
