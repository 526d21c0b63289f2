"""The model repository's index, as Triton's extension of the protocol shows it."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.upstream.servers import InferenceServers, ServerStatus
from protos import open_inference_pb2 as pb

_READY = "READY"
_STATES: Mapping[str, str] = {
    "booting": "LOADING",
    "ready": "UNAVAILABLE",  # to others, not to this gateway
    "draining": "UNLOADING",
    "failed": "UNAVAILABLE",
    "stopped": "UNAVAILABLE",
}


def repository_index(servers: InferenceServers, *, only_ready: bool) -> pb.RepositoryIndexResponse:
    """Return each model version that a server is known for, with its state."""
    response = pb.RepositoryIndexResponse()
    for status in servers.statuses():
        ready = servers.is_ready(status.model, status.version)
        if ready or not only_ready:
            listed = response.models.add(name=status.model, version=str(status.version))
            listed.state, listed.reason = (_READY, "") if ready else _absence(status)
    return response


def _absence(status: ServerStatus) -> tuple[str, str]:
    """Return the state of a model version that answers no calls here, and the reason."""
    if status.asleep:
        return _STATES["stopped"], "asleep: a call starts its server"
    if status.state == "ready":
        if not status.wanted:  # the supervisor has not seen yet that it is to stop
            return _STATES["draining"], "draining"
        return _STATES["ready"], "the connection to its server is being made"
    phase = f" ({status.phase})" if status.phase else ""
    return _STATES[status.state], status.reason or f"{status.state}{phase}"
