"""Sync and async calls: a run's row is written, the run is executed, the call is answered."""

from __future__ import annotations

import asyncio
from time import monotonic, perf_counter

from sqlalchemy.exc import SQLAlchemyError

from gateway.body_parsing.parser import LARGE_BODY_BYTES
from gateway.deployments.settings import DeploymentType, ExecutionMode, OnTimeout
from gateway.errors import GatewayError
from gateway.execution.build import Execution
from gateway.execution.compiled_flow import CompiledFlow
from gateway.fast_path.body import parse_body, write_input
from gateway.fast_path.deployment_call import DeploymentCall
from gateway.flows.input_validator import WrittenInput
from gateway.ids import given_request_id
from gateway.runs.idempotency import HEADER as IDEMPOTENCY_KEY
from gateway.runs.idempotency import key_required, read_idempotency
from gateway.runs.labels import read_labels
from gateway.runs.responses import (
    accepted_body,
    error_of_run,
    finished_body,
    run_location,
    server_timing,
)
from gateway.runs.run import MAX_SERVER_VALUES, CreatedRun, Idempotency, NewRun, Run, RunStatus
from gateway.web.preferences import HEADER as PREFER
from gateway.web.preferences import Preferences, read_preferences
from gateway.web.problems import Answer, Headers
from protos.errors import ErrorCode
from telemetry.logs import logger, reason_of
from telemetry.trace_context import UNSAMPLED, TraceContext

_MAX_WAIT_SECONDS = 60.0
"""That the caller of an async deployment may wait with `Prefer: wait`."""
_COLD_RETRY_SECONDS = 10.0
_VARY = (b"vary", b"Prefer, Sec-Fetch-Mode")
_GRACE_SECONDS = 0.25
"""For the engine to write its own timeout, which says more than the caller's."""


log = logger("gateway.trigger")


class RunCalls:
    """Answers calls whose flow the engine runs."""

    def __init__(self, execution: Execution) -> None:
        self._execution = execution
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, call: DeploymentCall) -> _RunCall:
        """Answer `call` in a task. Its run continues if the caller disconnects."""
        running = _RunCall(self._execution, call)
        task = asyncio.create_task(running.answer())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return running


class _RunCall:
    """One call, from its body to its response."""

    def __init__(self, execution: Execution, call: DeploymentCall) -> None:
        assert call.route is not None
        self._execution = execution
        self._call = call
        self._route = call.route
        self._deployment = call.route.deployment
        self._parse_seconds = 0.0
        self._waiting: asyncio.Task[Run | None] | None = None
        self._abandoned = False
        self._own_run: str | None = None
        """The run to cancel when the caller disconnects, where the deployment says so."""

    def abandon(self) -> None:
        """See RunningCall."""
        self._abandoned = True
        if self._waiting is not None:
            self._waiting.cancel()

    async def answer(self) -> None:
        """Give the call its result, unless it was abandoned."""
        try:
            status, headers, body = await self._result()
        except asyncio.CancelledError:
            if not self._abandoned:
                raise
            await self._cancel_own_run()
        except Exception as error:  # noqa: BLE001 - `fail` knows which are bugs
            if self._abandoned:
                await self._cancel_own_run()
            else:
                self._call.fail(error)
        else:
            if self._abandoned:
                await self._cancel_own_run()
            else:
                self._call.succeed(status, headers, body, parse_seconds=self._parse_seconds)

    async def _cancel_own_run(self) -> None:
        """Cancel the run whose caller has disconnected, unless this process is draining."""
        if self._own_run is None or self._execution.waiter.draining:
            return
        try:
            await self._execution.store.request_cancel(self._own_run)
        except (SQLAlchemyError, OSError) as error:
            log.warning("run_not_cancelled", run_id=self._own_run, reason=reason_of(error))

    async def _result(self) -> Answer:
        preferences = read_preferences(self._call.headers.get(PREFER))
        idempotency = await self._idempotency()
        wait_seconds = self._wait_seconds(preferences)
        is_sync = wait_seconds is None or wait_seconds
        mode = ExecutionMode.SYNC if is_sync else ExecutionMode.ASYNC
        created = await self._create(mode, idempotency)
        if created.existing:
            _check_strictness(created.run, preferences)
        else:
            self._execution.launcher.launch_created(created)
            cancels = self._deployment.cancel_on_disconnect and mode is ExecutionMode.SYNC
            self._own_run = created.run.id if cancels and idempotency is None else None
        run = await self._wait(created, wait_seconds)
        return self._answered(run, preferences, wait_seconds, replayed=created.existing)

    async def _create(self, mode: ExecutionMode, idempotency: Idempotency | None) -> CreatedRun:
        call, deployment, route = self._call, self._deployment, self._route
        compiled = self._execution.compiled_flows.get(deployment.id, deployment.version)
        if compiled is None:
            compiled = await self._execution.compiled_flows.find(deployment.id, deployment.version)
        input_data = await self._checked_input(compiled)
        trace = self._trace()
        new = NewRun(
            id=call.run_id,
            profile_id=deployment.profile_id,
            deployment_id=deployment.id,
            version=deployment.version,
            flow_id=deployment.flow_id,
            mode=mode,
            type=deployment.type,
            key_id=route.identity.key_id,
            input_data=input_data,
            timeout_seconds=call.timeout,
            queue_timeout_seconds=deployment.queue_timeout_seconds,
            retry_safe=deployment.retry_safe,
            idempotency=idempotency,
            concurrency_limits=route.concurrency_limits,
            request_id=given_request_id(call.headers),
            labels=read_labels(call.headers),
            traceparent=trace.traceparent,
            tracestate=trace.tracestate,
        )
        owner = self._execution.launcher.initial_owner(new.type, mode)
        try:
            return await self._execution.store.create(new, owner=owner)
        except GatewayError as error:
            if error.code is ErrorCode.TOO_MANY_RUNS and route.rate_limit is not None:
                route.rate_limit.count_rejection(error)
            raise

    def _trace(self) -> TraceContext:
        """Choose the call's span, below which the run's are. Items have that of their batch."""
        call, tracer = self._call, self._execution.tracer
        if tracer is None:
            return UNSAMPLED
        if call.trace is None:
            if not call.is_request:  # a copy, which is counted nowhere
                return UNSAMPLED
            call.trace = tracer.begin(call.headers)
        return call.trace

    async def _wait(self, created: CreatedRun, wait_seconds: float | None) -> Run:
        """Return the run when it has ended, or as it is after `wait_seconds` or the timeout.

        As it is, too, when this process stops: a run that goes on does so in another process.
        """
        run, call = created.run, self._call
        if run.ended or wait_seconds == 0:
            return run
        left = call.timeout - (perf_counter() - call.began)
        limit = left + _GRACE_SECONDS if wait_seconds is None else min(wait_seconds, left)
        cold = self._deployment.cold_start_wait_seconds
        if not created.existing and cold < limit:
            ended = await self._until_ended(run.id, cold)
            if ended is not None:
                return ended
            if self._execution.waiter.closed:
                return await self._current(run.id)
            await self._withdraw_if_unclaimed(run.id)
            limit -= cold
        ended = await self._until_ended(run.id, limit)
        if ended is not None:
            return ended
        return await self._timed_out(
            run.id, past_timeout=wait_seconds is None or wait_seconds >= left
        )

    async def _until_ended(self, run_id: str, seconds: float) -> Run | None:
        if self._abandoned:
            raise asyncio.CancelledError
        self._waiting = asyncio.create_task(self._execution.waiter.wait(run_id, seconds))
        return await self._waiting

    async def _withdraw_if_unclaimed(self, run_id: str) -> None:
        """Withdraw a run that no worker has claimed; raises NO_WORKER if it was so."""
        if await self._execution.store.withdraw(run_id):
            raise self._no_worker()

    def _no_worker(self) -> GatewayError:
        seconds = self._deployment.cold_start_wait_seconds
        message = (
            f"no worker took the call within {seconds:g} s: all are busy, or none is running. "
            "Nothing was started: send it again, or start one with `slipstream worker`"
        )
        return GatewayError(ErrorCode.NO_WORKER, message, retry_after=_COLD_RETRY_SECONDS)

    async def _timed_out(self, run_id: str, *, past_timeout: bool) -> Run:
        stops = past_timeout and self._deployment.on_timeout is OnTimeout.STOP
        if stops and not self._execution.waiter.closed:
            await self._execution.store.time_out(run_id, self._call.timeout)
        return await self._current(run_id)

    async def _current(self, run_id: str) -> Run:
        run = await self._execution.store.get(run_id)
        if run is None:  # another call with the same Idempotency-Key had it withdrawn
            raise self._no_worker()
        return run

    def _answered(
        self, run: Run, preferences: Preferences, wait_seconds: float | None, *, replayed: bool
    ) -> Answer:
        response_format = self._call.response_format
        headers: Headers = [(b"content-type", b"application/json"), _VARY]
        applied = preferences.applied(
            waited=wait_seconds or None, responded_async=wait_seconds == 0
        )
        if applied:
            headers.append((b"preference-applied", applied.encode()))
        if not run.ended:
            headers += [(b"location", run_location(run.id).encode()), (b"retry-after", b"1")]
            return 202, headers, accepted_body(run, response_format)
        if run.status is not RunStatus.COMPLETED:
            raise error_of_run(run, replayed=replayed)
        if replayed:
            headers.append((b"idempotent-replayed", b"true"))
        body = finished_body(
            run,
            response_format,
            include_node_outputs=self._deployment.include_node_outputs,
        )
        headers.append((b"server-timing", server_timing(run)))
        return 200, headers, body

    async def _idempotency(self) -> Idempotency | None:
        given = self._call.headers.get(IDEMPOTENCY_KEY)
        if given is None and self._deployment.require_idempotency_key:
            raise key_required()
        call, identity = self._call, self._route.identity
        if given is None or len(call.body) <= LARGE_BODY_BYTES:
            return read_idempotency(given, identity, self._deployment.id, call.body)
        return await asyncio.to_thread(
            read_idempotency, given, identity, self._deployment.id, call.body
        )

    async def _checked_input(self, compiled: CompiledFlow) -> bytes:
        """Return `input_data` as JSON, checked against the flow and its models."""
        began = perf_counter()
        call, plan, tenant = self._call, compiled.plan, self._deployment.profile_id
        parser, body, headers = call.services.parser, call.body, call.headers
        deadline = monotonic() + call.timeout - (began - call.began)
        input_data = None
        if len(body) > LARGE_BODY_BYTES:
            written = await parser.run(tenant, deadline, write_input, body, headers, plan.selection)
            _check_value_count(written, self._deployment.type)
        else:
            input_data = parse_body(body, headers, plain=True)
            written = plan.selection.write(input_data)
        evaluator = self._execution.processes.evaluator(tenant)
        checked = await plan.check_input(written, evaluator, deadline)
        await compiled.tensors.check(input_data, checked, parser, tenant, deadline)
        self._parse_seconds = perf_counter() - began
        return checked

    def _wait_seconds(self, preferences: Preferences) -> float | None:
        """Return the seconds to wait for the end of the run; None: the call's whole timeout."""
        wait = preferences.wait
        if self._deployment.mode is ExecutionMode.ASYNC:
            return min(wait or 0.0, _MAX_WAIT_SECONDS)
        if wait is None:
            return 0.0 if preferences.respond_async else None
        return wait


def _check_value_count(written: WrittenInput, where: DeploymentType) -> None:
    if where is DeploymentType.SERVER and written.values > MAX_SERVER_VALUES:
        message = (
            f"input_data: expected at most {MAX_SERVER_VALUES} values (numbers, strings, objects, "
            f"arrays) for deployment type server, got {written.values}: send less, or use the "
            "type api or the mode fast"
        )
        raise GatewayError(ErrorCode.PAYLOAD_TOO_LARGE, message)


def _check_strictness(run: Run, preferences: Preferences) -> None:
    if preferences.strict and not run.ended:
        message = (
            f"a call with this Idempotency-Key is being answered already, as run {run.id}: "
            "leave out `handling=strict` to wait for it"
        )
        raise GatewayError(ErrorCode.CONFLICT, message, details={"flow_run_id": run.id})
