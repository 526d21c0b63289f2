"""Begins rehearsals, conducts them in the background, and shows how far they are."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from sqlalchemy.exc import SQLAlchemyError

from gateway.auth.identity import Identity
from gateway.body_parsing.parser import BodyParser
from gateway.deployments.live_deployment import build_live_deployment
from gateway.deployments.settings import NonFinite
from gateway.deployments.snapshots import FlowSnapshot, Snapshotter
from gateway.deployments.store import find_deployment
from gateway.drafts.flow_tests import FlowTester, PreparedDraft
from gateway.errors import GatewayError
from gateway.flows.spec import FlowSpec, NodeType
from gateway.ids import new_id
from gateway.rehearsals import store
from gateway.rehearsals.conductor import Conductor, RehearsalPlan
from gateway.rehearsals.progress import RecordedRun
from gateway.rehearsals.store import FoundRehearsal
from gateway.runs.store import RunStore
from gateway.storage.database import Database
from gateway.storage.failures import log_failure
from gateway.storage.rehearsal_tables import Rehearsal
from gateway.storage.sql import advisory_lock, seconds_from_now
from gateway.storage.tables import Deployment
from protos.errors import ErrorCode
from telemetry.logs import logger

TESTS_AT_ONCE = 4
"""Of one rehearsal: it leaves workers for calls, and tests for the editor."""
_MAX_TEST_SECONDS = 300.0
_MAX_RUNNING = 5
"""Rehearsals of a user at once."""
_RETRY_SECONDS = 5.0
_CALLING_TYPES = frozenset({"http_request", NodeType.PYTHON})
"""Nodes that may change something outside, which each test would do once more."""

log = logger("gateway.rehearsals")


class RehearsalService:
    """The rehearsals of all users, and those that this process conducts. For one event loop."""

    def __init__(
        self,
        db: Database,
        runs: RunStore,
        snapshots: Snapshotter,
        tester: FlowTester,
        parser: BodyParser,
        *,
        tests_at_once: int = TESTS_AT_ONCE,
    ) -> None:
        self._db = db
        self._runs = runs
        self._snapshots = snapshots
        self._tester = tester
        self._parser = parser
        self._tests_at_once = tests_at_once
        self._tasks: dict[asyncio.Task[None], Conductor] = {}

    async def begin(
        self, actor: Identity, deployment_id: str, last: int, *, allow_requests: bool
    ) -> FoundRehearsal:
        """Begin to run the draft on the inputs of the deployment's last finished runs.

        Raises:
            GatewayError: NOT_FOUND, GONE; INVALID_FLOW as a redeploy; VALIDATION_FAILED if the
                draft may call other systems and `allow_requests` is not given; CONFLICT with its id
                while another rehearsal of the deployment goes on; RATE_LIMITED if others of the
                user's do.
        """
        profile_id = actor.profile_id
        async with self._db.read() as session:
            deployment = await find_deployment(session, profile_id, deployment_id)
            runs = await store.recorded_runs(session, deployment.id, last)
        snapshot = await self._snapshots.take(profile_id, deployment.flow_id)
        version = snapshot.version(deployment.id, deployment.live_version + 1, key_id=None)
        build_live_deployment(deployment, version)
        draft = PreparedDraft.of(snapshot)
        if not allow_requests:
            _check_calls_nothing(draft.checks.spec)
        rehearsal_id = await self._write(deployment, snapshot, runs)
        plan = RehearsalPlan(
            rehearsal_id=rehearsal_id,
            actor=actor,
            draft=draft,
            runs=runs,
            timeout_seconds=min(deployment.timeout_seconds, _MAX_TEST_SECONDS),
            null_non_finite=deployment.non_finite == NonFinite.NULL,
        )
        if runs:
            self._start(plan)
        (found,) = await self.kept(profile_id, deployment.id)
        return found

    async def kept(self, profile_id: str, deployment_id: str) -> Sequence[FoundRehearsal]:
        """Return the last rehearsal of a deployment, if it is kept.

        Raises:
            GatewayError: NOT_FOUND, GONE.
        """
        async with self._db.read() as session:
            deployment = await find_deployment(session, profile_id, deployment_id)
            found = await store.find(session, deployment.id)
        return [] if found is None else [found]

    async def cancel(self, profile_id: str, deployment_id: str) -> Sequence[FoundRehearsal]:
        """End the rehearsal of a deployment with what it has compared; return it, if one is kept.

        The process that conducts it cancels its tests; one elsewhere notices when it next writes.

        Raises:
            GatewayError: NOT_FOUND, GONE.
        """
        async with self._db.write() as session:
            deployment = await find_deployment(session, profile_id, deployment_id)
            found = await store.find(session, deployment.id)
            cancelled = found.row.id if found is not None and found.is_running else None
            if cancelled is not None:
                await store.cancel(session, cancelled)
        for conductor in self._tasks.values():
            if conductor.rehearsal_id == cancelled:
                conductor.stop()
        return await self.kept(profile_id, deployment_id)

    async def finish(self) -> None:
        """Wait for the rehearsals that this process conducts."""
        await asyncio.gather(*self._tasks)

    def drain(self) -> None:
        """Stop them: the process shuts down, and would end their tests."""
        for conductor in self._tasks.values():
            conductor.stop()

    async def close(self) -> None:
        """Stop them, and write that they have stopped."""
        self.drain()
        await self.finish()

    async def _write(
        self, deployment: Deployment, snapshot: FlowSnapshot, runs: Sequence[RecordedRun]
    ) -> str:
        new = Rehearsal(
            id=new_id(),
            deployment_id=deployment.id,
            profile_id=deployment.profile_id,
            created_at=seconds_from_now(),
            lease_until=seconds_from_now(store.LEASE_SECONDS),
            finished_at=None if runs else seconds_from_now(),
            drafted_at=snapshot.flow.updated_at,
            total=len(runs),
            results={"different": [], "failed": []},
        )
        rehearsal_id = new.id
        async with self._db.write() as session:
            await find_deployment(session, new.profile_id, new.deployment_id, lock=True)
            await advisory_lock(session, f"rehearsals {new.profile_id}")
            before = await store.find(session, new.deployment_id)
            if before is not None and before.is_running:
                raise _is_running(deployment, before.row)
            if await store.count_running(session, new.profile_id) >= _MAX_RUNNING:
                message = f"{_MAX_RUNNING} rehearsals go on already: wait until one has ended"
                raise GatewayError(ErrorCode.RATE_LIMITED, message, retry_after=_RETRY_SECONDS)
            await store.replace(session, new)
        return rehearsal_id

    def _start(self, plan: RehearsalPlan) -> None:
        conductor = Conductor(
            self._db,
            self._runs,
            self._tester,
            self._parser,
            plan,
            at_once=self._tests_at_once,
        )
        task = asyncio.create_task(self._conduct(conductor, plan), name="rehearsal")
        self._tasks[task] = conductor
        task.add_done_callback(self._tasks.pop)

    async def _conduct(self, conductor: Conductor, plan: RehearsalPlan) -> None:
        is_complete = False
        try:
            is_complete = await conductor.conduct()
        except Exception as error:  # noqa: BLE001 - see `log_failure`
            log_failure(log, "rehearsal_failed", error)
        if not is_complete:
            await self._release(plan)

    async def _release(self, plan: RehearsalPlan) -> None:
        with suppress(SQLAlchemyError, OSError):  # its lease ends by itself
            async with self._db.write() as session:
                await store.release(session, plan.rehearsal_id)


def _is_running(deployment: Deployment, row: Rehearsal) -> GatewayError:
    message = (
        f"deployment '{deployment.name}': a rehearsal goes on, {row.done} of {row.total} runs are "
        f"done: wait until it has ended"
    )
    return GatewayError(ErrorCode.CONFLICT, message, details={"rehearsal_id": row.id})


def _check_calls_nothing(spec: FlowSpec) -> None:
    calling = [node.id for node in spec.nodes if node.type in _CALLING_TYPES]
    if not calling:
        return
    names = ", ".join(f"'{node_id}'" for node_id in calling)[:500]
    message = (
        f"allow_requests: expected true, as these nodes may call other systems, for each run once "
        f"more: {names}"
    )
    raise GatewayError(ErrorCode.VALIDATION_FAILED, message, details={"nodes": calling})
