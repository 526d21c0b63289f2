"""What a caller may do with runs: look, wait, list, follow, cancel, repeat."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Protocol

from gateway.auth.identity import Identity, Scope, check_covers
from gateway.deployments.live_deployment import LiveDeployment
from gateway.deployments.settings import DeploymentType, ExecutionMode, ResponseFormat
from gateway.errors import GatewayError
from gateway.ids import is_id, run_id_time
from gateway.limits.rate_limiter import PollLimit, RateLimiter
from gateway.runs.event_stream import stream_run
from gateway.runs.listing import RunFilter
from gateway.runs.run import NewRun, Run, RunStatus
from gateway.runs.store import RunStore
from gateway.runs.waiter import RunWaiter
from gateway.storage.clock import now
from gateway.storage.paging import Page, PageRequest
from protos.errors import ErrorCode


class Launcher(Protocol):
    """Has runs executed."""

    # the names of the contract between the rooms: `type` is the deployment's
    def launch(self, run_id: str, type: DeploymentType, mode: ExecutionMode) -> None:  # noqa: A002
        """Hand a queued run over at once; never block, never raise.

        What cannot be handed over stays queued, and the sweep tries again.
        """


class Deployments(Protocol):
    """Where a run's deployment is looked up."""

    async def find(self, deployment_id: str, profile_id: str) -> LiveDeployment:
        """Return the profile's deployment; raise GatewayError where it cannot be called."""


class Inputs(Protocol):
    """Knows what versions take."""

    async def check(self, deployment_id: str, version: int, input_data: bytes) -> None:
        """Raise GatewayError where a version does not take `input_data`, or is no more."""


class RunService:
    """The runs of a profile, for any of its keys that covers their deployment."""

    def __init__(
        self,
        store: RunStore,
        waiter: RunWaiter,
        deployments: Deployments,
        launcher: Launcher,
        inputs: Inputs,
        *,
        retention_days: int,
        rate_limiter: RateLimiter | None = None,
    ) -> None:
        """Without `rate_limiter` nothing is limited."""
        self._store = store
        self._waiter = waiter
        self._deployments = deployments
        self._launcher = launcher
        self._inputs = inputs
        self._rate_limiter = rate_limiter
        self._retention_days = retention_days

    async def find(self, actor: Identity, run_id: str) -> Run:
        """Return a run.

        Raises:
            GatewayError: NOT_FOUND where there is none, or another profile's; GONE where its id
                is older than runs are kept; API_KEY_FORBIDDEN where the key is for others.
        """
        run = await self._store.get(run_id.lower()) if is_id(run_id) else None
        if run is None and self._is_past(run_id):
            message = f"run '{run_id}' was deleted: runs are kept for {self._retention_days} days"
            raise GatewayError(ErrorCode.GONE, message)
        if run is None or run.profile_id != actor.profile_id:
            raise GatewayError(ErrorCode.NOT_FOUND, f"there is no run '{run_id}'")
        check_covers(actor, run.deployment_id)
        return run

    async def poll(
        self, actor: Identity, run_id: str, wait_seconds: float, *, poll: PollLimit | None = None
    ) -> Run:
        """Return a run when it has ended, or as it is after some seconds; see `find`.

        Raises:
            GatewayError: as `find`; RATE_LIMITED where the deployment is not to be looked at more.
        """
        run = await self.find(actor, run_id)
        if poll is not None:
            await self._count(poll, run)
        if run.ended or wait_seconds <= 0:
            return run
        ended = await self._waiter.wait(run.id, wait_seconds, stop_on_drain=True)
        return ended or await self.find(actor, run_id)

    async def format_of(self, run: Run) -> ResponseFormat:
        """Return the form in which the run's deployment answers; flat where it is gone."""
        try:
            live = await self._deployments.find(run.deployment_id, run.profile_id)
        except GatewayError:
            return ResponseFormat.FLAT
        return live.response_format

    async def page(self, actor: Identity, which: RunFilter, request: PageRequest) -> Page[Run]:
        """Return a page of the profile's runs that the key covers, newest first.

        Raises:
            GatewayError: API_KEY_FORBIDDEN where `which` names a deployment of others' keys;
                INVALID_REQUEST for a foreign cursor.
        """
        if which.deployment_id is not None:
            check_covers(actor, which.deployment_id.lower())
        own = replace(which, profile_id=actor.profile_id, deployments=actor.deployments)
        return await self._store.page(own, request)

    async def cancel(self, actor: Identity, run_id: str) -> Run:
        """Have a run stopped, which takes a moment if it is running; a second time changes nothing.

        It is an act of who manages; of a key that only triggers it is a part of its calls.

        Raises:
            GatewayError: as `find`; RUN_FINISHED where it has ended otherwise.
        """
        run = await self.find(actor, run_id)
        if not run.ended:
            asked = await self._store.request_cancel(run.id, audited=_manages(actor))
            if asked is not None:
                return asked
            run = await self.find(actor, run_id)
        if run.status is RunStatus.CANCELLED:
            return run
        message = f"run {run.id} has {run.status} already: what has ended cannot be cancelled"
        raise GatewayError(ErrorCode.RUN_FINISHED, message, details={"flow_run_id": run.id})

    async def retry(self, actor: Identity, run_id: str, *, latest: bool) -> Run:
        """Begin a new run with a failed one's input, in the background.

        It runs the version of the old run, or with `latest` the one that is live now. It is an act
        as `cancel` is.

        Raises:
            GatewayError: as `find`; CONFLICT where the run did not fail, or its input was not
                kept; GONE and others where its deployment cannot be called; INVALID_INPUT where
                the version takes another input by now; RATE_LIMITED and TOO_MANY_RUNS as for
                a call.
        """
        run = await self.find(actor, run_id)
        input_data = await self._input(run)
        live = await self._deployments.find(run.deployment_id, run.profile_id)
        new = _again(run, live, input_data, latest=latest, key_id=actor.key_id)
        await self._inputs.check(new.deployment_id, new.version, input_data)
        if self._rate_limiter is not None:
            rate_limit, concurrency_limits = self._rate_limiter.for_run(
                actor.limit_key, actor.limits, live.id, live.limits
            )
            if rate_limit is not None:
                await rate_limit.acquire()
            new = replace(new, concurrency_limits=concurrency_limits)
        created = await self._store.create(new, audited=_manages(actor))
        self._launcher.launch(new.id, new.type, new.mode)
        return created.run

    def follow(self, run: Run, after: int) -> AsyncIterator[bytes]:
        """Return the events of a run from the one after `after` on, as server-sent events."""
        return stream_run(self._store, self._waiter, run, after)

    def drain(self) -> None:
        """Answer those who only wait, and end streams: the process is to end."""
        self._waiter.drain()

    async def _count(self, poll: PollLimit, run: Run) -> None:
        try:
            live = await self._deployments.find(run.deployment_id, run.profile_id)
        except GatewayError:
            return  # paused or deleted: what it was limited to goes with it
        await poll.count_deployment(live.id, live.limits)

    async def _input(self, run: Run) -> bytes:
        if run.status not in (RunStatus.FAILED, RunStatus.CANCELLED):
            message = f"run {run.id} is {run.shown_status}: only a failed one can be repeated"
            raise GatewayError(ErrorCode.CONFLICT, message)
        found = await self._store.input_of(run.id)
        if found is None or run.mode is ExecutionMode.FAST:
            message = f"run {run.id} was a fast call, which cannot be repeated: call again"
            raise GatewayError(ErrorCode.CONFLICT, message)
        return found

    def _is_past(self, run_id: str) -> bool:
        # No tombstones: an id tells its age, and nothing about whose it was.
        made = run_id_time(run_id)
        return made is not None and made < now() - timedelta(days=self._retention_days)


def _manages(actor: Identity) -> bool:
    return actor.scope is Scope.MANAGE


def _again(
    run: Run, live: LiveDeployment, input_data: bytes, *, latest: bool, key_id: str | None
) -> NewRun:
    waits = None if run.queue_until is None else run.queue_until - run.created_at
    return NewRun(
        profile_id=run.profile_id,
        deployment_id=run.deployment_id,
        version=live.version if latest else run.version,
        flow_id=run.flow_id,
        mode=ExecutionMode.ASYNC,
        type=live.type,
        key_id=key_id,
        input_data=input_data,
        timeout_seconds=live.timeout_seconds,
        queue_timeout_seconds=None if waits is None else waits.total_seconds(),
        retry_safe=run.retry_safe,
        max_attempts=run.max_attempts,
        retry_of=run.id,
    )
