"""Which answered calls are kept, and when they are written.

Refusals cost their senders nothing, so rows are counted before they are written: by user, apart for
callers without a valid key, and by gateway. What exceeds a rate is counted in a metric, as is what
the database did not take.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from time import monotonic, perf_counter

from gateway.calls.store import CallStore, CallValues
from gateway.deployments.live_deployment import LiveDeployment
from gateway.fast_path.call_record import DeploymentCallRecord
from gateway.ids import is_id, request_id_of
from gateway.limits.gcra import Gcra
from gateway.limits.policy import MINUTE, Policy
from gateway.metrics import STAGES
from gateway.storage.background_step import BackgroundStep
from gateway.storage.clock import now
from telemetry.instruments import Registry

OF_USER = Policy(name="kept-calls", quota=300, window=MINUTE)
"""Of the deployments of one user, and one gateway; all may come at once."""
OF_UNKNOWN_CALLERS = Policy(name="kept-refusals", quota=30, window=MINUTE)
"""The same for calls that were refused before their caller was known."""
OF_UNKNOWN_DEPLOYMENTS = Policy(name="kept-unknown", quota=60, window=MINUTE)
"""The same, of all deployments together that nothing has called successfully before."""
OF_GATEWAY = Policy(name="kept-of-gateway", quota=3_000, window=MINUTE)
_MAX_USERS = 10_000
_MAX_PENDING = 1_000
"""Calls that wait to be written."""
_BATCH_SIZE = 200
_PAUSE_SECONDS = 0.5
"""Between a call and the write of those that came with it."""
_MILLISECONDS = 1e3


class CallRecorder:
    """Keeps calls that failed or took long. For one event loop."""

    def __init__(
        self,
        store: CallStore,
        cached_deployment: Callable[[str], LiveDeployment | None],
        registry: Registry,
        *,
        gateway: str,
        min_seconds: float,
    ) -> None:
        """Name this process `gateway`; keep calls that took `min_seconds` or longer."""
        self._store = store
        self._cached_deployment = cached_deployment
        self._gateway = gateway
        self._min_seconds = min_seconds
        not_kept = registry.counter(
            "calls_not_kept_total",
            "Failed and slow calls of deployments that cannot be looked up: there were too many "
            "(rate), or the database did not take them (database).",
            ("reason",),
        )
        self._over_rate, self._lost = not_kept.child("rate"), not_kept.child("database")
        self._users: dict[tuple[str, Policy], Gcra] = {}
        self._unknown = _rate(OF_UNKNOWN_DEPLOYMENTS)
        self._all = _rate(OF_GATEWAY)
        self._pending: deque[CallValues] = deque()
        self._step = BackgroundStep("kept calls", self.write)

    def start(self) -> None:
        """Begin to write."""
        self._step.start()

    async def close(self) -> None:
        """Write what waits, if the database takes it, and stop."""
        await self._step.stop()
        with suppress(Exception):  # it is counted
            await self.write()

    def take(self, calls: Sequence[DeploymentCallRecord]) -> None:
        """See KeptCalls."""
        min_seconds = self._min_seconds
        for call in [  # usually empty; as a list, it costs a call half of what a loop would
            call for call in calls if call.ended - call.began >= min_seconds or call.error
        ]:
            if call.is_request:
                self._take(call)

    async def write(self) -> None:
        """Write what waits. A batch that cannot be written is lost."""
        while self._pending:
            size = min(len(self._pending), _BATCH_SIZE)
            batch = [self._pending.popleft() for _ in range(size)]
            try:
                await self._store.add(batch)
            except Exception:
                self._lost.add(size)
                raise

    def _take(self, call: DeploymentCallRecord) -> None:
        if call.route is not None:
            deployment_id = call.route.deployment.id
            profile_id: str | None = call.route.deployment.profile_id
            rate = self._rate_of(call.route.deployment.profile_id, OF_USER)
        else:
            deployment_id = call.named_deployment.lower()
            if not is_id(deployment_id):
                return
            known = self._cached_deployment(deployment_id)
            profile_id = None if known is None else known.profile_id
            rate = self._unknown
            if profile_id is not None:
                rate = self._rate_of(profile_id, OF_UNKNOWN_CALLERS)
        moment = monotonic()
        if rate.try_take(1, moment) or self._all.try_take(1, moment):
            self._over_rate.add()
        elif len(self._pending) >= _MAX_PENDING:
            self._lost.add()
        else:
            if not self._pending:
                asyncio.get_running_loop().call_later(_PAUSE_SECONDS, self._step.wake)
            self._pending.append(self._values(call, deployment_id, profile_id))

    def _rate_of(self, profile_id: str, policy: Policy) -> Gcra:
        found = self._users.get((profile_id, policy))
        if found is None:
            if len(self._users) >= _MAX_USERS:
                self._users.clear()
            found = self._users[profile_id, policy] = _rate(policy)
        return found

    def _values(
        self, call: DeploymentCallRecord, deployment_id: str, profile_id: str | None
    ) -> CallValues:
        route, trace = call.route, call.trace
        return {
            "id": call.run_id,
            "profile_id": profile_id,
            "request_id": request_id_of(call.headers, call.run_id).decode(),
            "deployment_id": deployment_id,
            "version": None if route is None else route.deployment.version,
            "mode": None if route is None else route.deployment.mode.value,
            "key_id": None if route is None else route.identity.key_id,
            "status": call.status,
            "code": None if call.error is None else call.error.value,
            "began_at": now() - timedelta(seconds=perf_counter() - call.began),
            "seconds": call.ended - call.began,
            "phases": {
                stage: round(took * _MILLISECONDS, 3)
                for stage, took in zip(STAGES, call.stages, strict=False)
            },
            "trace_id": trace.trace_id_text if trace is not None and trace.sampled else None,
            "gateway": self._gateway,
        }


def _rate(policy: Policy) -> Gcra:
    return Gcra(policy, share=policy.quota)
