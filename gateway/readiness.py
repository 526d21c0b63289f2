"""Whether the gateway is ready for calls, and if not, why."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.upstream.servers import InferenceServers, ServerStatus

Key = tuple[str, int]


class Readiness:
    """Ready once every inference server that should run at startup has settled.

    A server has settled when it is ready, has failed, or should no longer run; if all have failed,
    the gateway is not ready. A model that is loaded, reloaded or lost later changes only its own
    readiness, so that calls of other models are not affected.
    """

    def __init__(self, servers: InferenceServers) -> None:
        self._servers = servers
        self._unsettled: set[Key] | None = None
        self._any_ready = False
        """Whether any of them has been ready."""

    def servers_known(self) -> None:
        """Note which servers should run now, at startup."""
        wanted = [status for status in self._servers.statuses() if status.wanted]
        self._unsettled = {_key(status) for status in wanted}

    def reasons(self) -> Sequence[str]:
        """Return why the gateway is not ready; empty: it is."""
        if self._unsettled is None:
            return ["starting: the inference servers are not known yet"]
        if not self._unsettled:
            return []
        statuses = {_key(status): status for status in self._servers.statuses() if status.wanted}
        ready = {key for key in self._unsettled if self._servers.is_ready(*key)}
        self._any_ready = self._any_ready or bool(ready)
        self._unsettled = {key for key in self._unsettled - ready if key in statuses}
        waiting = [statuses[key] for key in sorted(self._unsettled)]
        if self._any_ready:
            waiting = [status for status in waiting if status.state != "failed"]
        return [f"inference server {status.title}: {_reason(status)}" for status in waiting]


def _key(status: ServerStatus) -> Key:
    return status.model, status.version


def _reason(status: ServerStatus) -> str:
    match status.state:
        case "failed":
            return f"failed: {status.reason or 'for an unknown reason'}"
        case "ready":
            return "being connected"
        case _:
            return status.phase or status.state
