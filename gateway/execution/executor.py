"""Executes claimed runs, in a worker or in the gateway.

The life of a run: `RunLauncher` hands its id to a pool or the broker, `RunExecutor` claims the row,
executes the flow while it renews the lease, and writes the result.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import Any, TypeVar

import orjson
from sqlalchemy.exc import SQLAlchemyError

from gateway.deployments.settings import ExecutionMode
from gateway.drafts.draft_flow import DraftFlow
from gateway.errors import GatewayError
from gateway.execution.compiled_flow import CompiledFlowCache
from gateway.execution.held_run import HeldRun, LeasedHttpClient
from gateway.execution.inference_client import PinnedModels
from gateway.execution.lent_slots import GiveBack, LentSlots
from gateway.execution.progress import ProgressReporter
from gateway.execution.run_trace import RunTrace
from gateway.flows import engine
from gateway.flows.json_output import dump_json
from gateway.flows.plan import FlowPlan
from gateway.flows.ports import Ports
from gateway.flows.processes import FlowProcesses
from gateway.flows.result import FlowResult, NodeResult, NodeStatus
from gateway.outbound.http import GuardedHttpClient
from gateway.runs.output_data import dump_non_finite
from gateway.runs.run import Claim, FailureCode, LeaseStatus, Run, RunError, RunResult, RunStatus
from gateway.runs.store import RunStore
from gateway.storage.failures import log_failure
from gateway.upstream.servers import InferenceServers
from protos.errors import ErrorCode
from telemetry.logs import logger, name_task, reason_of
from telemetry.traces import Tracer

_POLL_SECONDS = 0.25
"""Interval of looking for cancelled runs. Runs younger than that are not looked at."""
_POLLS_PER_HEARTBEAT = 4
_RETRY_SECONDS = (0.1, 0.2, 0.5)
"""Delays between attempts to claim a run or to write a result; the last one repeats."""
_CLAIM_SECONDS = 15.0
"""How long a run is claimed while the database is away. The sweep publishes it again later."""
_STOP_SECONDS = 1.0
"""How long to wait for executions to stop before their runs are handed back."""
_HAND_BACK_SECONDS = 1.5
"""How long to wait for the database then."""
_BOOT_WAIT_SECONDS = {ExecutionMode.SYNC: 20.0, ExecutionMode.ASYNC: 300.0}
"""How long a run waits for a booting inference server, within its own deadline."""

T = TypeVar("T")

log = logger("gateway.execution")


class RunExecutor:
    """Claims runs, executes them, and writes their results.

    A heartbeat renews the leases of all runs of this process with one statement, and looks for
    cancelled runs in between. A lease may be lost while the process is stalled or cut off from the
    database: the run has then been given to another process, or has failed. Its execution is
    stopped, and its result is discarded because the row's attempt number no longer matches. What
    has effects outside of the row waits while the process does not know whether it has the lease
    (`HeldRun.lease`): requests of HTTP nodes and functions of Python nodes.
    """

    def __init__(
        self,
        store: RunStore,
        compiled_flows: CompiledFlowCache,
        servers: InferenceServers,
        http: GuardedHttpClient,
        processes: FlowProcesses,
        *,
        owner: str,
        max_output_bytes: int,
        on_node: Callable[[str, str, float], None] | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        """Execute runs as `owner`.

        `on_node` hears of each node that has ended, except of test runs: the deployment, the node's
        type, and the seconds that it took.
        """
        self._store = store
        self._tracer = tracer
        self._compiled_flows = compiled_flows
        self._servers = servers
        self._http = http
        self._processes = processes
        self.owner = owner
        self._max_output_bytes = max_output_bytes
        self._on_node = on_node
        self._held: dict[str, HeldRun] = {}
        self._lent_slots = LentSlots()
        self._claiming: dict[str, asyncio.Event] = {}
        """Set once a claim has ended, and a run that was claimed too late is released."""
        self._heartbeat_task: asyncio.Task[None] | None = None
        self._handing_back = False

    def start(self) -> None:
        """Start the heartbeat."""
        self._heartbeat_task = asyncio.create_task(self._heartbeat(), name="run leases")

    async def close(self) -> None:
        """Hand back the runs that go on, and stop the heartbeat."""
        await self.hand_back()
        if self._heartbeat_task is not None:
            self._heartbeat_task.cancel()
            await asyncio.gather(self._heartbeat_task, return_exceptions=True)

    async def hand_back(self) -> None:
        """Stop all executions, and release their runs: requeued for another process, or failed.

        If the database does not answer in time, the sweep finds the rows when their leases end.
        """
        self._handing_back = True
        held = dict(self._held)
        for each in held.values():
            each.cancelled.set()
        claiming = list(self._claiming.values())
        await _wait_for([each.stopped for each in held.values()], _STOP_SECONDS)
        left = [(run_id, each.attempt) for run_id, each in held.items() if not each.written]
        if left:
            await self._release(left)
        await _wait_for(claiming, _HAND_BACK_SECONDS)

    async def _release(self, runs: Sequence[tuple[str, int]]) -> None:
        try:
            async with asyncio.timeout(_HAND_BACK_SECONDS):
                await _retry_while_database_is_away(lambda: self._store.hand_back(runs))
        except TimeoutError:
            log.warning("runs_not_handed_back", count=len(runs))

    async def run(self, run_id: str, give_back: GiveBack = nullcontext) -> None:
        """Claim and execute a queued run; do nothing if it cannot be claimed, or at the end.

        `give_back` is entered while the run only waits: another one may have its slot.

        Does not raise for errors of the run or the database: the row has the run's error, and the
        sweep finds runs that were not claimed.
        """
        if run_id in self._held or run_id in self._claiming:
            return
        ended = self._claiming[run_id] = asyncio.Event()
        try:
            claim = await self._claim(run_id)
            if claim is not None and self._handing_back:
                await self.execute(claim, give_back)  # which releases it
                return
        except (SQLAlchemyError, OSError) as error:
            log.warning("run_not_claimed", run_id=run_id, reason=reason_of(error))
            return
        finally:
            del self._claiming[run_id]
            ended.set()
        if claim is not None:
            await self.execute(claim, give_back)

    async def _claim(self, run_id: str) -> Claim | None:
        """Claim a run. A process that gave up at once would empty its queue in a short outage."""
        failed = False

        async def attempt() -> Claim | None:
            nonlocal failed
            if self._handing_back:
                return None
            again, failed = failed, True  # until it returns
            return await self._store.claim(run_id, self.owner, again=again)

        return await _retry_while_database_is_away(
            attempt, event="run_not_claimed_yet", seconds=_CLAIM_SECONDS
        )

    async def execute(self, claim: Claim, give_back: GiveBack = nullcontext) -> None:
        """Execute a claimed run and write its result; raises as little as `run`."""
        if self._handing_back:
            await self._release([(claim.run_id, claim.attempt)])
            return
        held = self._held[claim.run_id] = HeldRun.of(claim)
        name_task(run_id=claim.run_id, deployment=claim.deployment_id)
        if self._tracer is not None:
            held.trace = RunTrace.of(claim)
        if held.trace is not None:
            name_task(trace_id=held.trace.context.trace_id_text)
        try:
            result = await self._execute(claim, held, give_back)
            if self._tracer is not None and held.trace is not None:
                held.trace.record(self._tracer, claim, result)
            if self._handing_back and result.status is RunStatus.CANCELLED:
                return  # `hand_back` writes the row
            run = await _retry_while_database_is_away(
                lambda: self._store.finish(claim.run_id, claim.attempt, result)
            )
            held.written = True
            if run is not None and not claim.test:
                _log_failure_of(run, claim.attempt)
        finally:
            del self._held[claim.run_id]
            held.stopped.set()

    async def _execute(self, claim: Claim, held: HeldRun, give_back: GiveBack) -> RunResult:
        if claim.refusal is not None:
            return _not_started(claim.refusal, 0.0)
        started_at = monotonic()
        try:
            plan, pinned = await self._flow_of(claim)
        except GatewayError as error:
            reason = RunError(code=FailureCode.FLOW_FAILED, message=error.message)
            return _not_started(reason, monotonic() - started_at)
        models = pinned.client(
            self._servers,
            boot_wait_seconds=_BOOT_WAIT_SECONDS[claim.mode],
            caller=claim.key_id or claim.profile_id,
            trace=held.trace,
        )
        ports = Ports(
            inference=models,
            http=LeasedHttpClient(self._http, held),
            evaluator=self._processes.evaluator(claim.profile_id),
            functions=self._processes.function_caller(claim.profile_id, before=held.lease),
        )
        progress = ProgressReporter(
            lambda nodes: self._store.report(claim.run_id, claim.attempt, nodes)
        )
        try:
            result = await engine.execute(
                plan,
                orjson.loads(claim.input_data),  # as the version accepted it
                ports,
                deadline=started_at + claim.timeout_seconds,
                cancelled=held.cancelled,
                report=self._reporter(claim, progress),
                lend_slot=partial(self._lent_slots.lend, give_back, claim.profile_id),
                max_output_bytes=self._max_output_bytes,
                began=started_at,
            )
        finally:
            await progress.stop()
        written = await _run_result(result, boot_seconds=models.boot_seconds)
        if result.non_finite and result.output_data is not None:
            return await self._without_non_finite(claim, result.output_data, written)
        return written

    def _reporter(self, claim: Claim, progress: ProgressReporter) -> Callable[[NodeResult], None]:
        """Return what hears of each node of a run that has ended."""
        on_node = self._on_node
        if on_node is None or claim.test:
            return progress.add

        def report(node: NodeResult) -> None:
            if node.status is not NodeStatus.SKIPPED:
                on_node(claim.deployment_id, node.type, node.duration_seconds)
            progress.add(node)

        return report

    async def _flow_of(self, claim: Claim) -> tuple[FlowPlan, PinnedModels]:
        """Return the flow of a run and its models.

        Raises:
            GatewayError: as `CompiledFlowCache.find`; GONE if the draft of a test was deleted.
        """
        if not claim.test:
            compiled = await self._compiled_flows.find(claim.deployment_id, claim.version)
            return compiled.plan, compiled.models
        stored = await _retry_while_database_is_away(lambda: self._store.draft_of(claim.run_id))
        if stored is None:
            raise GatewayError(ErrorCode.GONE, "the flow of this test was deleted")
        draft = DraftFlow.load(stored)
        return draft.plan(), PinnedModels(draft.models, claim.profile_id)

    async def _without_non_finite(
        self, claim: Claim, output_data: Mapping[str, Any], result: RunResult
    ) -> RunResult:
        """Return the result with what stands for NaN and infinities; Any: JSON with such numbers.

        The deployment's setting is read only now, as few runs need it.
        """
        non_finite = await _retry_while_database_is_away(
            lambda: self._store.non_finite_of(claim.deployment_id)
        )
        try:
            return replace(result, output_data=dump_non_finite(output_data, non_finite))
        except GatewayError as error:
            refusal = RunError(code=FailureCode.NON_FINITE_OUTPUT, message=error.message)
            return replace(result, status=RunStatus.FAILED, output_data=None, error=refusal)

    async def _heartbeat(self) -> None:
        polls, fails = 0, False
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            polls += 1
            try:
                if polls % _POLLS_PER_HEARTBEAT == 0:
                    await self._renew_leases()
                else:
                    await self._poll_cancelled()
            except Exception as error:  # noqa: BLE001 - see `log_failure`
                if not fails:  # once for each outage
                    log_failure(log, "leases_not_renewed", error)
                fails = True
            else:
                fails = False

    async def _renew_leases(self) -> None:
        held = [(run_id, run.attempt) for run_id, run in self._held.items()]
        if not held:
            return
        asked_at = monotonic()
        status = await self._store.renew_leases(held)
        for run_id, attempt in held:
            run = self._held.get(run_id)
            if run is not None and run.attempt == attempt and run_id not in status.lost:
                run.renew(asked_at)
        self._stop_runs(status)

    async def _poll_cancelled(self) -> None:
        """Find cancelled and lost runs before the next heartbeat, without a write."""
        latest = monotonic() - _POLL_SECONDS
        held = [
            (run_id, run.attempt) for run_id, run in self._held.items() if run.started_at < latest
        ]
        if held:
            self._stop_runs(await self._store.poll_cancelled(held))

    def _stop_runs(self, status: LeaseStatus) -> None:
        for run_id in status.lost | status.cancelled:
            held = self._held.get(run_id)
            if held is not None:
                held.cancelled.set()


def _log_failure_of(run: Run, attempt: int) -> None:
    """Log that a run has failed, without its message, which may have something of the input."""
    if run.status is RunStatus.FAILED and run.error is not None:
        log.warning(
            "run_failed",
            request_id=run.request_id,
            run_id=run.id,
            deployment=run.deployment_id,
            code=str(run.error.code),
            node=run.error.node_id,
            attempt=attempt,
        )


async def _wait_for(events: Sequence[asyncio.Event], seconds: float) -> None:
    """Wait until all are set, at most for so long."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            for each in events:
                await each.wait()


async def _retry_while_database_is_away(
    operation: Callable[[], Awaitable[T]],
    *,
    event: str = "run_result_not_written",
    seconds: float = math.inf,
) -> T:
    """Retry until the database is available, at most for so long.

    A run's result exists only in memory until it is written, so that has no limit.
    """
    attempts, began = 0, monotonic()
    while True:
        try:
            return await operation()
        except (SQLAlchemyError, OSError) as error:
            delay = _RETRY_SECONDS[min(attempts, len(_RETRY_SECONDS) - 1)]
            if monotonic() - began + delay > seconds:
                raise
            if attempts == 0:
                log.warning(event, reason=reason_of(error))
            attempts += 1
            await asyncio.sleep(delay)


async def _run_result(result: FlowResult, *, boot_seconds: float | None) -> RunResult:
    error, output = result.error, result.output_data
    return RunResult(
        status=RunStatus(result.status),
        output_data=None if output is None else await dump_json(output),
        node_outputs=orjson.dumps(result.node_outputs),
        error=None
        if error is None
        else RunError(code=error.code, message=error.message, node_id=error.node_id),
        duration_seconds=result.duration_seconds,
        boot_seconds=boot_seconds,
    )


def _not_started(error: RunError, duration_seconds: float) -> RunResult:
    return RunResult(
        status=RunStatus.FAILED,
        node_outputs=b"{}",
        error=error,
        duration_seconds=duration_seconds,
    )
