"""Runs and webhooks for the administrator's commands; they work without a running gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from gateway.auth.identity import Identity, Role, Scope
from gateway.body_parsing.parser import build_parser
from gateway.calls.service import FoundCall
from gateway.deployments.deployment_cache import DeploymentCache
from gateway.deployments.settings import DeploymentType, ExecutionMode
from gateway.drafts.flow_tests import FlowTest, FlowTester
from gateway.errors import GatewayError
from gateway.rehearsals.schemas import RehearsalOut, RehearsalState
from gateway.rehearsals.service import RehearsalService
from gateway.runs.queries import RunFilter
from gateway.runs.run import NodeEvent, Run
from gateway.runs.service import RunService
from gateway.runs.store import RunStore
from gateway.runs.timeline import SpanRequest, TimelinePage
from gateway.runs.waiter import RunWaiter
from gateway.storage.change_feed import ChangeFeed
from gateway.storage.paging import Page, PageRequest
from gateway.webhooks.service import WebhookService
from protos.errors import ErrorCode
from slipstream.workspace import Workspace

_POLL_SECONDS = 0.25
_REHEARSED_AT_ONCE = 16
"""Tests, each of which waits for some seconds until a gateway finds it."""


class RunAdmin:
    """The runs of the administrator's profile."""

    def __init__(self, workspace: Workspace) -> None:
        db = workspace.db
        self._store = store = RunStore(db)
        self._calls = workspace.services.calls
        self._parser = build_parser(workspace.services.child_metrics)
        self._service = RunService(
            db,
            store,
            RunWaiter(db, store),
            DeploymentCache(db, ChangeFeed(db)),
            _leave_queued,
            processes=workspace.services.flow_processes,
            parser=self._parser,
            retention_days=workspace.settings.run_retention_days,
        )
        self._tester = FlowTester(
            db,
            store,
            workspace.services.models,
            _leave_queued,
            processes=workspace.services.flow_processes,
            parser=self._parser,
        )
        self._rehearsals = RehearsalService(
            db,
            store,
            workspace.services.snapshots,
            self._tester,
            self._parser,
            tests_at_once=_REHEARSED_AT_ONCE,
        )
        self._actor = Identity(
            key_id=None,
            profile_id=workspace.profile.id,
            scope=Scope.MANAGE,
            deployments=None,
            role=Role.OWNER,
        )

    async def page(self, which: RunFilter, request: PageRequest) -> Page[Run]:
        """Return a page of runs, newest first, without their outputs."""
        return await self._service.page(self._actor, which, request)

    async def find(self, run_id: str) -> Run:
        """Return a run; raise NOT_FOUND or GONE."""
        return await self._service.find(self._actor, run_id)

    async def input_of(self, run: Run) -> bytes:
        """Return the `input_data` of a run, as JSON; raise CONFLICT if it is not kept."""
        found = None if run.mode is ExecutionMode.FAST else await self._store.input_of(run.id)
        if found is None:
            message = f"run {run.id} was a fast call, whose input is not kept"
            raise GatewayError(ErrorCode.CONFLICT, message)
        return found

    async def events(self, run: Run, after: int) -> list[NodeEvent]:
        """Return the events of a run after the one numbered `after`."""
        found = await self._store.events(run.id, after)
        return [event for event in found if event.number <= run.event_count]

    async def names(self, runs: Sequence[Run]) -> Mapping[str, str]:
        """Return the names of the runs' deployments and API keys, by id."""
        return await self._store.names(runs)

    async def timeline(self, run_id: str, request: SpanRequest) -> TimelinePage:
        """Return a page of what happened to a run and when; raise NOT_FOUND or GONE."""
        return await self._service.timeline(self._actor, run_id, request)

    async def call(self, name: str) -> FoundCall:
        """Return a call, by its request id or its run; raise NOT_FOUND."""
        return await self._calls.find(self._actor, name)

    async def cancel(self, run_id: str) -> Run:
        """Cancel a run; raise NOT_FOUND, GONE or RUN_FINISHED."""
        return await self._service.cancel(self._actor, run_id)

    async def delete(self, which: RunFilter) -> int:
        """Delete finished runs that match; return their number."""
        total = 0
        while deleted := await self._service.delete(self._actor, which):
            total += deleted
        return total

    async def retry(self, run_id: str, *, latest: bool) -> Run:
        """Start a new run with the input of a failed one; see `RunService.retry`."""
        try:
            return await self._service.retry(self._actor, run_id, latest=latest)
        finally:
            await self._parser.close()

    async def test(self, test: FlowTest) -> Run:
        """Start a test run of a draft; see `FlowTester.start`."""
        try:
            return await self._tester.start(self._actor, test)
        finally:
            await self._parser.close()

    async def rehearse(
        self,
        deployment_id: str,
        last: int,
        *,
        allow_requests: bool,
        on_progress: Callable[[RehearsalOut], None],
    ) -> RehearsalOut:
        """Conduct a rehearsal in this process, while a gateway runs its tests.

        Raises:
            GatewayError: as `RehearsalService.begin`.
        """
        begun = await self._rehearsals.begin(
            self._actor, deployment_id, last, allow_requests=allow_requests
        )
        shown = RehearsalOut.of(begun)
        try:
            while shown.state is RehearsalState.RUNNING:
                on_progress(shown)
                await asyncio.sleep(_POLL_SECONDS)
                (found,) = await self._rehearsals.kept(self._actor.profile_id, deployment_id)
                shown = RehearsalOut.of(found)
        finally:
            await self._rehearsals.close()
            await self._parser.close()
        return shown

    async def cancel_rehearsal(self, deployment_id: str) -> RehearsalOut | None:
        """End the rehearsal of a deployment; None: none is kept. See `RehearsalService.cancel`."""
        try:
            kept = await self._rehearsals.cancel(self._actor.profile_id, deployment_id)
        finally:
            await self._parser.close()
        return RehearsalOut.of(kept[0]) if kept else None


def _leave_queued(_run_id: str, _type: DeploymentType, _mode: ExecutionMode) -> None:
    """Publish nothing: a gateway's sweep finds queued runs within seconds."""


def webhook_service(workspace: Workspace) -> WebhookService:
    """Return the service; it sends test events itself and leaves the rest to the gateways."""
    return WebhookService(workspace.db, workspace.services.secret_box, _LocalSender(workspace))


class _LocalSender:
    """Sends test events from this process. Gateways deliver the rest; they check twice a second."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def wake(self) -> None:
        """Leave the delivery to the gateways."""

    async def send_test(self, delivery_id: str) -> None:
        """Send a test event now, once, with the settings of this process."""
        from gateway.webhooks.dispatcher import (  # noqa: PLC0415 - an HTTP client, for this only
            build_dispatcher,
        )

        workspace = self._workspace
        webhook_dispatcher = build_dispatcher(
            workspace.settings, workspace.db, workspace.services.secret_box
        )
        try:
            await webhook_dispatcher.send_test(delivery_id)
        finally:
            await webhook_dispatcher.close()
