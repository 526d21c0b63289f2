"""A run whose lease this process holds, and the port that calls HTTP services for it meanwhile."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from time import monotonic

from gateway.execution.run_trace import RunTrace
from gateway.outbound.http import GuardedHttpClient
from gateway.outbound.messages import NotSentError, OutboundRequest, OutboundResponse
from gateway.runs.run import Claim
from gateway.runs.store import LEASE_SECONDS

_SPARE_SECONDS = 1.0
"""What is left of a lease, at least, when a call begins: the request arrives within it."""


@dataclass(slots=True)
class HeldRun:
    """A run whose lease this process holds, as far as it knows.

    Another process can have the run once the lease has ended by the database's clock. That is not
    before `lease_until` by this process's own, which counts from before the statement was sent.
    """

    attempt: int
    lease_until: float
    """`time.monotonic()`."""
    started_at: float = field(default_factory=monotonic)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    """Its execution has ended."""
    written: bool = False
    """Its row has the result."""
    trace: RunTrace | None = None
    """None: it is not traced."""
    _renewed: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def of(cls, claim: Claim) -> HeldRun:
        """Return the run of a claim."""
        return cls(claim.attempt, claim.asked_at + LEASE_SECONDS)

    def renew(self, asked_at: float) -> None:
        """Note that a statement which was sent after `asked_at` has renewed the lease."""
        self.lease_until = max(self.lease_until, asked_at + LEASE_SECONDS)
        self._renewed.set()

    async def lease(self) -> None:
        """Return while the lease is held: at once, unless the database has not renewed it lately.

        The run is cancelled if the database says that the lease is lost.
        """
        while self.lease_until - monotonic() < _SPARE_SECONDS:
            self._renewed.clear()
            await self._renewed.wait()


class LeasedHttpClient:
    """The engine's HttpPort: no request of a run reaches a service after the end of its lease."""

    def __init__(self, http: GuardedHttpClient, run: HeldRun) -> None:
        self._http = http
        self._run = run

    async def send(self, call: OutboundRequest, deadline: float) -> OutboundResponse:
        """See HttpPort. Waiting for the lease takes nothing of the node's time."""
        trace = self._run.trace
        if trace is not None and call.node_id is not None:
            headers = trace.node(call.node_id).headers
            call = replace(call, headers={**call.headers, **headers})
        while True:
            began = monotonic()
            await self._run.lease()
            deadline += monotonic() - began
            try:
                return await self._http.send(call, deadline, arrive_by=self._lease_until)
            except NotSentError:
                continue

    def _lease_until(self) -> float:
        return self._run.lease_until
