"""Executes claimed runs; the same in a worker and in the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from time import monotonic

import orjson
from sqlalchemy.exc import SQLAlchemyError

from gateway.deployments.settings import ExecutionMode
from gateway.errors import GatewayError
from gateway.execution.compiled_flow import CompiledFlowCache
from gateway.execution.endings import ending_of, failed_to_start
from gateway.execution.progress import ProgressReporter
from gateway.flows import engine
from gateway.flows.ports import HttpPort, Ports
from gateway.runs.run import Claim, LeaseStatus, RunResult
from gateway.runs.store import RunStore
from gateway.upstream.servers import InferenceServers
from telemetry.logs import logger, reason_of

_GLANCE_SECONDS = 0.25
"""Between two looks whether somebody wants a run stopped; shorter ones are not worth one."""
_GLANCES_A_BEAT = 4
_AWAY_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)
"""Pauses between tries to write an ending; the last one again and again."""
_PATIENCE_SECONDS = {ExecutionMode.SYNC: 20.0, ExecutionMode.ASYNC: 300.0}
"""How long a run waits for an inference server that boots; its own deadline may end it sooner."""

log = logger("gateway.execution")


@dataclass(slots=True)
class _HeldRun:
    """A run that this process executes."""

    attempt: int
    started_at: float = field(default_factory=monotonic)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)


class RunExecutor:
    """Claims runs, executes them, and writes how they ended.

    A heart renews the leases of all that run here, and looks in between whether somebody wants one
    of them stopped. A lost lease means that the run is another's by
    now, or has ended: it is stopped, and what it gave is dropped by the row's attempt number.
    """

    def __init__(
        self,
        store: RunStore,
        compiled_flows: CompiledFlowCache,
        servers: InferenceServers,
        http: HttpPort,
        *,
        owner: str,
        max_output_bytes: int,
    ) -> None:
        self._store = store
        self._compiled_flows = compiled_flows
        self._servers = servers
        self._http = http
        self.owner = owner
        self._max_output_bytes = max_output_bytes
        self._held: dict[str, _HeldRun] = {}
        self._heartbeat_task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to renew leases."""
        self._heartbeat_task = asyncio.create_task(self._heartbeat(), name="run leases")

    async def close(self) -> None:
        """Renew no lease any more; what still runs is stopped, and its row left to the sweep."""
        for held in self._held.values():
            held.cancelled.set()
        if self._heartbeat_task is not None:
            self._heartbeat_task.cancel()
            await asyncio.gather(self._heartbeat_task, return_exceptions=True)

    async def run(self, run_id: str) -> None:
        """Execute a queued run to its end; do nothing where it is not to be had.

        Never raises for what is wrong with the run or with the database: the row says it, or the
        sweep finds it again.
        """
        try:
            claim = await self._store.claim(run_id, self.owner)
        except (SQLAlchemyError, OSError) as error:
            log.warning("run_not_claimed", run_id=run_id, reason=reason_of(error))
            return
        if claim is not None:
            await self.execute(claim)

    async def execute(self, claim: Claim) -> None:
        """Execute a run that this process holds to its end; raises as little as `run`."""
        held = self._held[claim.run_id] = _HeldRun(claim.attempt)
        try:
            ending = await self._ending(claim, held)
            await self._persistently(
                lambda: self._store.finish(claim.run_id, claim.attempt, ending)
            )
        finally:
            del self._held[claim.run_id]

    async def _ending(self, claim: Claim, held: _HeldRun) -> RunResult:
        started_at = monotonic()
        try:
            compiled = await self._compiled_flows.find(claim.deployment_id, claim.version)
            input_data = compiled.plan.check_input(orjson.loads(claim.input_data))
        except GatewayError as error:
            return failed_to_start(error, monotonic() - started_at)
        models = compiled.models.client(
            self._servers, boot_wait_seconds=_PATIENCE_SECONDS[claim.mode]
        )
        ports = Ports(inference=models, http=self._http)
        progress = ProgressReporter(
            lambda nodes: self._store.report(claim.run_id, claim.attempt, nodes)
        )
        try:
            outcome = await engine.execute(
                compiled.plan,
                input_data,
                ports,
                deadline=started_at + claim.timeout_seconds,
                cancelled=held.cancelled,
                report=progress.note,
                max_output_bytes=self._max_output_bytes,
            )
        finally:
            await progress.stop()
        return replace(ending_of(outcome), boot_seconds=models.boot_seconds)

    async def _persistently(self, write: Callable[[], Awaitable[object]]) -> None:
        """Write although the database may be away for a while: the result is not to be lost."""
        tries = 0
        while True:
            try:
                await write()
            except (SQLAlchemyError, OSError) as error:
                pause = _AWAY_SECONDS[min(tries, len(_AWAY_SECONDS) - 1)]
                if tries == 0:
                    log.warning("run_result_not_written", reason=reason_of(error))
                tries += 1
                await asyncio.sleep(pause)
            else:
                return

    async def _heartbeat(self) -> None:
        glances = 0
        while True:
            await asyncio.sleep(_GLANCE_SECONDS)
            glances += 1
            try:
                if glances % _GLANCES_A_BEAT == 0:
                    await self._renew()
                else:
                    await self._poll_cancelled()
            except (SQLAlchemyError, OSError) as error:
                log.warning("leases_not_renewed", reason=reason_of(error))

    async def _renew(self) -> None:
        held = [(run_id, each.attempt) for run_id, each in self._held.items()]
        if held:
            self._stop_runs(await self._store.renew_leases(held))

    async def _poll_cancelled(self) -> None:
        """Hear of a cancellation, or of a lost run, sooner than by the next beat."""
        old = monotonic() - _GLANCE_SECONDS
        held = [
            (run_id, each.attempt) for run_id, each in self._held.items() if each.started_at < old
        ]
        if held:
            self._stop_runs(await self._store.poll_cancelled(held))

    def _stop_runs(self, status: LeaseStatus) -> None:
        for run_id in status.lost | status.cancelled:
            found = self._held.get(run_id)
            if found is not None:
                found.cancelled.set()
