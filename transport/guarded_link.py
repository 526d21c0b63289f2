"""A connection whose calls are looked at before they begin."""

from __future__ import annotations

from collections.abc import Callable

from transport.limits import Limits
from transport.requests import RequestHead
from transport.server_link import Host, ServerLink, only_status
from transport.status import Metadata, RpcError

Guard = Callable[[str, Metadata], RpcError | None]
"""Takes a call's method and metadata; returns why it is refused, or None."""


class GuardedLink(ServerLink):
    """Refuses calls by their heads: nothing of what they would send is read into memory."""

    def __init__(self, host: Host, limits: Limits, guard: Guard) -> None:
        super().__init__(host, limits)
        self._guard = guard

    def admit_call(self, stream_id: int, head: RequestHead, ended: bool) -> None:
        """Begin a call that may come in."""
        refusal = self._guard(head.path, head.metadata)
        if refusal is None:
            super().admit_call(stream_id, head, ended)
        else:
            self.patience.bear("calls that are refused")
            self.refuse(stream_id, only_status(refusal.code, refusal.message), ended)
