"""Sync and async calls: a run's row first, then whoever executes it, then the answer."""

from __future__ import annotations

import asyncio
from time import perf_counter

import orjson
from sqlalchemy.exc import SQLAlchemyError

from gateway.deployments.settings import ExecutionMode, OnTimeout
from gateway.errors import GatewayError
from gateway.execution.build import Execution
from gateway.execution.compiled_flow import CompiledFlow
from gateway.fast_path.body import parse_body
from gateway.fast_path.call import Done, Pending, Result, Trigger
from gateway.runs.idempotency import HEADER as IDEMPOTENCY_KEY
from gateway.runs.idempotency import read_idempotency
from gateway.runs.responses import (
    accepted_body,
    error_of_run,
    finished_body,
    run_location,
    server_timing,
)
from gateway.runs.run import CreatedRun, Idempotency, NewRun, Run, RunStatus
from gateway.web.preferences import HEADER as PREFER
from gateway.web.preferences import Preferences, read_preferences
from gateway.web.problems import Headers
from protos.errors import ErrorCode
from telemetry.logs import logger, reason_of

_MOST_WAIT_SECONDS = 60.0
"""That an async deployment lets a caller wait who prefers to."""
_COLD_RETRY_SECONDS = 10.0
_GRACE_SECONDS = 0.25
"""For the engine's own deadline, which says more than the caller's, to be written."""


log = logger("gateway.trigger")


class RunCalls:
    """Answers calls whose flow the engine runs."""

    def __init__(self, execution: Execution) -> None:
        self._execution = execution
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, trigger: Trigger, done: Done) -> Pending:
        """Have `trigger` answered. The run goes on whatever becomes of its caller."""
        call = _RunCall(self._execution, trigger, done)
        task = asyncio.create_task(call.answer())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return call


class _RunCall:
    """One call, from its body to its answer."""

    def __init__(self, execution: Execution, trigger: Trigger, done: Done) -> None:
        self._execution = execution
        self._trigger = trigger
        self._done = done
        self._waiting: asyncio.Task[Run | None] | None = None
        self._abandoned = False
        self._own: str | None = None
        """The run that is nobody else's: it ends with its caller, where the deployment says so."""

    def abandon(self) -> None:
        """See Pending."""
        self._abandoned = True
        if self._waiting is not None:
            self._waiting.cancel()

    async def answer(self) -> None:
        """Call `done` with the answer, unless nobody waits for it any more."""
        try:
            result: Result | Exception = await self._result()
        except asyncio.CancelledError:
            if not self._abandoned:
                raise
        except Exception as error:  # noqa: BLE001 - the edge knows which are ours
            result = error
        if self._abandoned:
            await self._leave()
        else:
            self._done(result)

    async def _leave(self) -> None:
        """End the run with its caller, where that is wanted, and it is not we who hang up."""
        if self._own is None or self._execution.waiter.draining:
            return
        try:
            await self._execution.store.request_cancel(self._own)
        except (SQLAlchemyError, OSError) as error:
            log.warning("run_not_cancelled", run_id=self._own, reason=reason_of(error))

    async def _result(self) -> Result:
        trigger = self._trigger
        preferences = read_preferences(trigger.headers.get(PREFER))
        idempotency = _idempotency(trigger)
        patience = _patience(trigger, preferences)
        mode = ExecutionMode.SYNC if patience is None or patience else ExecutionMode.ASYNC
        created = await self._create(mode, idempotency)
        if created.existing:
            _check_strictness(created.run, preferences)
        else:
            self._execution.launcher.launch_created(created)
            left = trigger.deployment.cancel_on_disconnect and mode is ExecutionMode.SYNC
            self._own = created.run.id if left and idempotency is None else None
        run = await self._wait(created, patience)
        return self._answered(run, preferences, patience, replayed=created.existing)

    async def _create(self, mode: ExecutionMode, idempotency: Idempotency | None) -> CreatedRun:
        trigger, deployment = self._trigger, self._trigger.deployment
        compiled = self._execution.compiled_flows.get(deployment.id, deployment.version)
        if compiled is None:
            compiled = await self._execution.compiled_flows.find(deployment.id, deployment.version)
        input_data = _accepted(compiled, trigger)
        new = NewRun(
            id=trigger.run_id,
            profile_id=deployment.profile_id,
            deployment_id=deployment.id,
            version=deployment.version,
            flow_id=deployment.flow_id,
            mode=mode,
            type=deployment.type,
            key_id=trigger.key_id,
            input_data=input_data,
            timeout_seconds=trigger.timeout,
            queue_timeout_seconds=deployment.queue_timeout_seconds,
            retry_safe=deployment.retry_safe,
            idempotency=idempotency,
            concurrency_limits=trigger.concurrency_limits,
        )
        owner = self._execution.launcher.initial_owner(new.type, mode)
        try:
            return await self._execution.store.create(new, owner=owner)
        except GatewayError as error:
            if error.code is ErrorCode.TOO_MANY_RUNS and trigger.rate_limit is not None:
                trigger.rate_limit.count_rejection(error)
            raise

    async def _wait(self, created: CreatedRun, patience: float | None) -> Run:
        """Return the run when it has ended, or as it is when patience or time have."""
        run, trigger = created.run, self._trigger
        if run.ended or patience == 0:
            return run
        left = trigger.timeout - (perf_counter() - trigger.began)
        limit = left + _GRACE_SECONDS if patience is None else min(patience, left)
        cold = trigger.deployment.cold_start_wait_seconds
        if not created.existing and cold < limit:
            ended = await self._until_ended(run.id, cold)
            if ended is not None:
                return ended
            await self._give_up_if_cold(run.id)
            limit -= cold
        ended = await self._until_ended(run.id, limit)
        if ended is not None:
            return ended
        return await self._at_the_limit(run.id, late=patience is None or patience >= left)

    async def _until_ended(self, run_id: str, seconds: float) -> Run | None:
        if self._abandoned:
            raise asyncio.CancelledError
        self._waiting = asyncio.create_task(self._execution.waiter.wait(run_id, seconds))
        return await self._waiting

    async def _give_up_if_cold(self, run_id: str) -> None:
        """Take a run back that nobody has begun with."""
        if await self._execution.store.withdraw(run_id):
            raise self._cold()

    def _cold(self) -> GatewayError:
        seconds = self._trigger.deployment.cold_start_wait_seconds
        message = (
            f"no worker took the call within {seconds:g} s: all are busy, or none is running. "
            "Nothing was begun: send it again, or start one with `slipstream worker`"
        )
        return GatewayError(ErrorCode.NO_WORKER, message, retry_after=_COLD_RETRY_SECONDS)

    async def _at_the_limit(self, run_id: str, *, late: bool) -> Run:
        if late and self._trigger.deployment.on_timeout is OnTimeout.STOP:
            await self._execution.store.time_out(run_id, self._trigger.timeout)
        run = await self._execution.store.get(run_id)
        if run is None:  # another call with the same Idempotency-Key had it withdrawn
            raise self._cold()
        return run

    def _answered(
        self, run: Run, preferences: Preferences, patience: float | None, *, replayed: bool
    ) -> Result:
        trigger = self._trigger
        headers: Headers = [(b"content-type", b"application/json"), (b"vary", b"Prefer")]
        applied = preferences.applied(waited=patience or None, responded_async=patience == 0)
        if applied:
            headers.append((b"preference-applied", applied.encode()))
        if not run.ended:
            headers += [(b"location", run_location(run.id).encode()), (b"retry-after", b"1")]
            body = accepted_body(run, trigger.response_format)
            return Result(202, body, headers=headers, parse_seconds=trigger.parse_seconds)
        if run.status is not RunStatus.COMPLETED:
            raise error_of_run(run, replayed=replayed)
        if replayed:
            headers.append((b"idempotent-replayed", b"true"))
        body = finished_body(
            run,
            trigger.response_format,
            include_node_outputs=trigger.deployment.include_node_outputs,
        )
        headers.append((b"server-timing", server_timing(run)))
        return Result(200, body, headers=headers, parse_seconds=trigger.parse_seconds)


def _idempotency(trigger: Trigger) -> Idempotency | None:
    given = trigger.headers.get(IDEMPOTENCY_KEY)
    if given is None and trigger.deployment.require_idempotency_key:
        message = "Idempotency-Key: this deployment expects one with each call, such as a UUID"
        raise GatewayError(ErrorCode.IDEMPOTENCY_KEY_REQUIRED, message)
    return read_idempotency(given, trigger.deployment.id, trigger.body)


def _accepted(compiled: CompiledFlow, trigger: Trigger) -> bytes:
    """Return `input_data` as JSON, as far as the flow takes it."""
    before = perf_counter()
    input_data = parse_body(trigger.body, trigger.headers, plain=True)
    accepted = orjson.dumps(compiled.plan.check_input(input_data))
    trigger.parse_seconds = perf_counter() - before
    return accepted


def _patience(trigger: Trigger, preferences: Preferences) -> float | None:
    """Return the seconds that the caller waits for the end; None: until its time is over."""
    wait = preferences.wait
    if trigger.deployment.mode is ExecutionMode.ASYNC:
        return min(wait or 0.0, _MOST_WAIT_SECONDS)
    if wait is None:
        return 0.0 if preferences.respond_async else None
    return wait


def _check_strictness(run: Run, preferences: Preferences) -> None:
    if preferences.strict and not run.ended:
        message = (
            f"a call with this Idempotency-Key is being answered already, as run {run.id}: "
            "leave out `handling=strict` to wait for it"
        )
        raise GatewayError(ErrorCode.CONFLICT, message, details={"flow_run_id": run.id})
