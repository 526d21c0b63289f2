"""What callers can do with runs: read, wait, list, follow, cancel, retry, delete."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from gateway.auth.identity import Identity, Scope, check_covers
from gateway.body_parsing.parser import BodyParser
from gateway.deployments.deployment_cache import DeploymentCache
from gateway.deployments.live_deployment import LiveDeployment
from gateway.deployments.response_format import ChosenFormat, choose_format
from gateway.deployments.settings import DeploymentType, ExecutionMode, ResponseFormat
from gateway.deployments.snapshots import check_version_input
from gateway.errors import GatewayError
from gateway.flows.processes import FlowProcesses
from gateway.ids import is_id, run_id_time
from gateway.limits.rate_limiter import PollLimit, RateLimiter
from gateway.runs.deletion import delete_finished_runs
from gateway.runs.event_stream import stream_run
from gateway.runs.queries import RunFilter
from gateway.runs.run import NewRun, Run, RunDetails, RunStatus
from gateway.runs.store import RunStore
from gateway.runs.timeline import SpanRequest, TimelinePage, build_timeline, page_of
from gateway.runs.waiter import RunWaiter
from gateway.storage.audit_events import ACTOR
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.paging import Page, PageRequest
from gateway.webhooks.listing import DeliveryDetail, deliveries_of_run
from protos.errors import ErrorCode

Launch = Callable[[str, DeploymentType, ExecutionMode], None]
"""Hands a queued run to an executor. Never blocks or raises: the sweep finds runs left queued."""


class RunService:
    """The runs of a profile, for keys that cover their deployment and see the run."""

    def __init__(
        self,
        db: Database,
        store: RunStore,
        waiter: RunWaiter,
        deployments: DeploymentCache,
        launch: Launch,
        *,
        processes: FlowProcesses,
        parser: BodyParser,
        retention_days: int,
        rate_limiter: RateLimiter | None = None,
    ) -> None:
        """Without `rate_limiter`, retries are not rate-limited."""
        self._db = db
        self._store = store
        self._waiter = waiter
        self._deployments = deployments
        self._launch = launch
        self._processes = processes
        self._parser = parser
        self._rate_limiter = rate_limiter
        self._retention_days = retention_days

    async def find(self, actor: Identity, run_id: str) -> Run:
        """Return a run.

        Raises:
            GatewayError: NOT_FOUND for an unknown run, another profile's, or one that the key does
                not see; GONE if its id is older than the retention;
                API_KEY_FORBIDDEN if the key does not cover its deployment.
        """
        run = await self._store.get(run_id.lower()) if is_id(run_id) else None
        if run is None and self._is_past_retention(run_id):
            message = f"run '{run_id}' was deleted: runs are kept for {self._retention_days} days"
            raise GatewayError(ErrorCode.GONE, message)
        if run is None or run.profile_id != actor.profile_id:
            raise _unknown(run_id)
        check_covers(actor, run.deployment_id)
        if not actor.may_read(run.key_id):
            raise _unknown(run_id)
        return run

    async def poll(
        self,
        actor: Identity,
        run_id: str,
        wait_seconds: float,
        *,
        poll: PollLimit | None = None,
        address: str | None = None,
    ) -> Run:
        """Return a run once it has ended, or its state after `wait_seconds`.

        With `address`, a `handle/slug`, only a run of the deployment there.

        Raises:
            GatewayError: as `find`; NOT_FOUND where no deployment of the actor's is at the address,
                or another one; RATE_LIMITED if the deployment's poll limit is reached.
        """
        deployment_id = None
        if address is not None:
            deployment_id = await self._deployments.find_id(address, actor.profile_id)
        run = await self.find(actor, run_id)
        if deployment_id not in (None, run.deployment_id):
            raise _unknown(run_id)
        if poll is not None:
            await self._count(poll, run)
        if run.ended or wait_seconds <= 0:
            return run
        ended = await self._waiter.wait(run.id, wait_seconds, stop_on_drain=True)
        return ended or await self.find(actor, run_id)

    async def format_of(
        self, run: Run, fetch_mode: str | None, parameter: ResponseFormat | None = None
    ) -> ChosenFormat:
        """Return the format of an answer about a run, see `choose_format`.

        Of a deleted deployment, the setting is `auto`.
        """
        setting = ResponseFormat.AUTO
        if parameter is None:
            with suppress(GatewayError):
                live = await self._deployments.find(run.deployment_id, run.profile_id)
                setting = live.response_format
        return choose_format(parameter, setting, fetch_mode)

    async def page(self, actor: Identity, run_filter: RunFilter, request: PageRequest) -> Page[Run]:
        """Return a page of the profile's runs that the key sees, newest first.

        Raises:
            GatewayError: API_KEY_FORBIDDEN if the key does not cover the filter's deployment;
                INVALID_REQUEST if the cursor is invalid.
        """
        return await self._store.page(_own(actor, run_filter), request)

    async def names(self, actor: Identity, runs: Sequence[Run]) -> Mapping[str, str] | None:
        """Return the names of the runs' deployments and keys, by id; None if not to be shown.

        Keys that call deployments see no names, and their polls cost no query for them.
        """
        return await self._store.names(runs) if _manages(actor) else None

    async def details(
        self, actor: Identity, run: Run, *, include_input_data: bool | None = None
    ) -> RunDetails:
        """Return what a run is shown with: its names, and its input unless that is left out.

        Without a choice, sessions and `manage` keys get the input of a run that has ended: one that
        goes on is polled.
        """
        shows_input = include_input_data
        if shows_input is None:
            shows_input = run.ended and _manages(actor)
        given = shows_input and run.mode is not ExecutionMode.FAST
        return RunDetails(
            names=await self.names(actor, [run]),
            shows_input=shows_input,
            input_data=await self._store.input_of(run.id) if given else None,
        )

    async def timeline(self, actor: Identity, run_id: str, request: SpanRequest) -> TimelinePage:
        """Return what happened to a run and when, a page at a time.

        Keys that call deployments see no deliveries of webhooks: these tell of their receivers.

        Raises:
            GatewayError: as `find`; INVALID_REQUEST if the cursor is invalid.
        """
        run = await self.find(actor, run_id)
        reported = () if run.node_outputs is not None else await self._store.events(run.id)
        deliveries: Sequence[DeliveryDetail] = ()
        if _manages(actor):
            async with self._db.read() as session:
                deliveries = await deliveries_of_run(session, run.id)
        return page_of(build_timeline(run, reported, deliveries), request)

    async def delete(self, actor: Identity, run_filter: RunFilter) -> int:
        """Delete some of the oldest finished runs of a page; return their number, 0 at the end.

        Raises:
            GatewayError: API_KEY_FORBIDDEN if the key does not cover the filter's deployment.
        """
        return await delete_finished_runs(self._db, _own(actor, run_filter))

    async def cancel(self, actor: Identity, run_id: str) -> Run:
        """Cancel a run; if it is running, it stops after a moment. Cancelling again has no effect.

        The cancellation is audited if the actor has the scope `manage`.

        Raises:
            GatewayError: as `find`; RUN_FINISHED if it has completed or failed.
        """
        run = await self.find(actor, run_id)
        if not run.ended:
            cancelled = await self._store.request_cancel(run.id, audited=_manages(actor))
            if cancelled is not None:
                return cancelled
            run = await self.find(actor, run_id)
        if run.status is RunStatus.CANCELLED:
            return run
        message = f"run {run.id} has already {run.status}: only unfinished runs can be cancelled"
        raise GatewayError(ErrorCode.RUN_FINISHED, message, details={"flow_run_id": run.id})

    async def retry(self, actor: Identity, run_id: str, *, latest: bool) -> Run:
        """Create a new run with the input of a failed one, in the background.

        It runs the version of the old run, or with `latest` the live version. It is audited like
        `cancel`.

        Raises:
            GatewayError: as `find`; CONFLICT if the run did not fail, or its input was not kept;
                GONE and others if its deployment cannot be called; INVALID_INPUT or
                INVALID_TENSOR if the version does not accept the input; RATE_LIMITED and
                TOO_MANY_RUNS as for a call.
        """
        run = await self.find(actor, run_id)
        if run.test:
            message = f"run {run.id} is a test of a draft, which cannot be retried: test it again"
            raise GatewayError(ErrorCode.CONFLICT, message)
        input_data = await self._input(run)
        live = await self._deployments.find(run.deployment_id, run.profile_id)
        new = _retry_of(run, live, input_data, latest=latest, key_id=actor.key_id)
        checked = await check_version_input(
            self._db,
            self._processes,
            self._parser,
            profile_id=run.profile_id,
            deployment_id=new.deployment_id,
            version=new.version,
            input_data=input_data,
        )
        new = replace(new, input_data=checked)
        if self._rate_limiter is not None:
            rate_limit, concurrency_limits = self._rate_limiter.for_run(
                actor.limit_key, actor.limits, live.id, live.limits
            )
            if rate_limit is not None:
                await rate_limit.acquire()
            new = replace(new, concurrency_limits=concurrency_limits)
        created = await self._store.create(new, audited=_manages(actor))
        self._launch(new.id, new.type, new.mode)
        return created.run

    def follow(self, run: Run, after: int, response_format: ResponseFormat) -> AsyncIterator[bytes]:
        """Return the events of a run after the one numbered `after`, as server-sent events.

        `response_format` is that of the last one, see `format_of`.
        """
        return stream_run(self._store, self._waiter, run, after, response_format=response_format)

    def drain(self) -> None:
        """Answer long polls and end streams, as the process shuts down."""
        self._waiter.drain()

    async def _count(self, poll: PollLimit, run: Run) -> None:
        try:
            live = await self._deployments.find(run.deployment_id, run.profile_id)
        except GatewayError:
            return  # paused or deleted: it has no limits
        await poll.count_deployment(live.id, live.limits)

    async def _input(self, run: Run) -> bytes:
        if run.status not in (RunStatus.FAILED, RunStatus.CANCELLED):
            message = f"run {run.id} is {run.shown_status}: only a failed run can be retried"
            raise GatewayError(ErrorCode.CONFLICT, message)
        found = await self._store.input_of(run.id)
        if found is None or run.mode is ExecutionMode.FAST:
            message = f"run {run.id} was a fast call, which cannot be retried: call again"
            raise GatewayError(ErrorCode.CONFLICT, message)
        return found

    def _is_past_retention(self, run_id: str) -> bool:
        # Ids contain their creation time, so deleted runs need no tombstones.
        created_at = run_id_time(run_id)
        return created_at is not None and created_at < now() - timedelta(days=self._retention_days)


def _own(actor: Identity, run_filter: RunFilter) -> RunFilter:
    """Return the filter, restricted to what the actor sees."""
    if run_filter.deployment_id is not None:
        check_covers(actor, run_filter.deployment_id.lower())
    return replace(
        run_filter,
        profile_id=actor.profile_id,
        deployments=actor.deployments,
        run_keys=actor.run_keys,
    )


def _unknown(run_id: str) -> GatewayError:
    return GatewayError(ErrorCode.NOT_FOUND, f"unknown run '{run_id}'")


def _manages(actor: Identity) -> bool:
    return actor.scope is Scope.MANAGE


def _retry_of(
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
        request_id=ACTOR.get().request_id,
        labels=run.labels,
    )
