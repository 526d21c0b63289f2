"""The state of an inference server, as users see it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, Self

from gateway.storage.clock import now
from gateway.storage.tables import InferenceServer

if TYPE_CHECKING:  # commands show rows without the clients of inference servers
    from gateway.upstream.servers import InferenceServers


class SeenState(NamedTuple):
    """The state, and what belongs to a boot; None if it does not boot."""

    state: str
    phase: str | None
    phase_started_at: datetime | None
    boot_elapsed_seconds: float | None
    """By this process's clock."""

    @classmethod
    def of(cls, row: InferenceServer, servers: InferenceServers) -> Self:
        """Return that of a row; a server that answers is ready, see `current_state`."""
        state = servers.current_state(row.model, row.version, row.state)
        if state != "booting":
            return cls(state, None, None, None)
        return cls(state, row.phase, row.phase_started_at, row.elapsed_boot_seconds(now()))
