"""Starts, shows, changes and ends rollouts, and judges them by what gateways have counted."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.deployments import store
from gateway.deployments.audit_events import live as seen_live
from gateway.deployments.audit_events import record_deployment, rollout_fields
from gateway.deployments.live_deployment import build_live_deployment
from gateway.deployments.rollout_settings import Checks, RolloutState, Strategy
from gateway.deployments.rollouts.ended_servers import release_servers
from gateway.deployments.rollouts.judgement import add_report, has_passed, judge
from gateway.deployments.rollouts.observations import Observations
from gateway.deployments.server_preparation import ServerPreparation
from gateway.deployments.settings import DeploymentStatus, ExecutionMode
from gateway.deployments.snapshots import (
    NO_NOTE,
    FlowSnapshot,
    Snapshotter,
    VersionNote,
    models_of,
)
from gateway.deployments.version_pruning import prune_versions
from gateway.errors import GatewayError
from gateway.fleet.deployed_servers import keep
from gateway.ids import new_id
from gateway.storage.changes import ChangeKind, record_change
from gateway.storage.database import Database
from gateway.storage.sql import seconds_from_now
from gateway.storage.tables import Deployment, Rollout
from protos.errors import ErrorCode
from telemetry.logs import logger

log = logger("gateway.deployments.rollouts")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRollout:
    """What a rollout is started with."""

    strategy: Strategy
    weight: int
    """Per cent of the calls that reach the candidate."""
    checks: Checks
    version: int | None = None
    """The candidate; None: a new version of the flow's draft."""
    promote_after_seconds: int | None = None
    note: VersionNote = NO_NOTE


class RolloutService:
    """The rollouts of a profile's deployments. Each deployment has one at a time."""

    def __init__(
        self,
        db: Database,
        snapshots: Snapshotter,
        servers: ServerPreparation,
        *,
        kept_versions: int,
    ) -> None:
        """Keep so many of the newest versions of a deployment, whether anything runs them."""
        self._db = db
        self._kept_versions = kept_versions
        self._snapshots = snapshots
        self._servers = servers

    async def start(
        self, profile_id: str, deployment_id: str, new: NewRollout, *, key_id: str | None = None
    ) -> Rollout:
        """Try a version beside the live one.

        Its inference servers are started first, see `ServerPreparation`.

        Raises:
            GatewayError: NOT_FOUND, GONE, INVALID_FLOW; VALIDATION_FAILED for the live version, and
                for checks that need mode fast; CONFLICT if a rollout is running, or another version
                has gone live meanwhile; errors of `ServerPreparation`. Nothing changes then.
        """
        async with self._db.read() as session:
            before = await store.find_deployment(session, profile_id, deployment_id)
            live = await store.live_version(session, before)
            await self._refuse_second(session, before)
            number = new.version or await store.newest_version(session, before) + 1
            candidate = None
            if new.version is not None:
                candidate = await store.find_version(session, before, new.version)
        _check(before, new)
        snapshot: FlowSnapshot | None = None
        if candidate is None:
            snapshot = await self._snapshots.take(profile_id, before.flow_id)
            candidate = snapshot.version(before.id, number, key_id=key_id, note=new.note)
        else:
            await self._snapshots.check(profile_id, candidate)
        build_live_deployment(before, candidate)
        await self._servers.prepare(before, live, candidate, always=True)
        async with self._db.write() as session:
            row = await store.find_deployment(session, profile_id, deployment_id, lock=True)
            await self._refuse_second(session, row)
            if row.live_version != live.version:
                message = f"version {row.live_version} went live meanwhile: nothing was changed"
                raise GatewayError(ErrorCode.CONFLICT, f"deployment '{row.name}': {message}")
            _check(row, new)
            if snapshot is not None:
                number = await store.newest_version(session, row) + 1
                candidate = snapshot.version(row.id, number, key_id=key_id, note=new.note)
                session.add(candidate)
            else:
                candidate = await store.find_version(session, row, number)
            build_live_deployment(row, candidate)
            await keep(session, models_of(candidate))
            rollout = await self._insert(session, row, number, new)
            await prune_versions(
                session,
                row,
                newest=await store.newest_version(session, row),
                replaced=live.version,
                kept=self._kept_versions,
            )
            await record_deployment(session, "start_rollout", row, after=rollout_fields(rollout))
            record_change(session, ChangeKind.DEPLOYMENT, row.id)
        return rollout

    async def get(self, profile_id: str, deployment_id: str) -> Rollout:
        """Return the last rollout, running or ended; raise NOT_FOUND if there was none, or GONE."""
        async with self._db.read() as session:
            row = await store.find_deployment(session, profile_id, deployment_id)
            rollout = await store.find_rollout(session, row.id)
        if rollout is None:
            message = f"deployment '{row.name}' has had no rollout: start one with a POST"
            raise GatewayError(ErrorCode.NOT_FOUND, message)
        return rollout

    async def change_weight(self, profile_id: str, deployment_id: str, weight: int) -> Rollout:
        """Change how many calls reach the candidate; raise as `end`, and VALIDATION_FAILED."""
        async with self._db.write() as session:
            row, rollout = await self._running(session, profile_id, deployment_id)
            check_weight(Strategy(rollout.strategy), weight)
            before = rollout_fields(rollout)
            rollout.weight = weight
            await record_deployment(
                session, "change_rollout", row, before=before, after=rollout_fields(rollout)
            )
            record_change(session, ChangeKind.DEPLOYMENT, row.id)
        return rollout

    async def end(self, profile_id: str, deployment_id: str) -> Rollout:
        """Roll the candidate back: the live version gets all calls again.

        Raises:
            GatewayError: NOT_FOUND, GONE; CONFLICT if no rollout is running.
        """
        async with self._db.write() as session:
            row, rollout = await self._running(session, profile_id, deployment_id)
            before = rollout_fields(rollout)
            store.end_rollout(rollout, RolloutState.ROLLED_BACK, "a person has ended the rollout")
            await release_servers(session, rollout)
            await record_deployment(
                session, "roll_back", row, before=before, after=rollout_fields(rollout)
            )
            record_change(session, ChangeKind.DEPLOYMENT, row.id)
        return rollout

    async def running(self, deployment_ids: Collection[str]) -> dict[str, Rollout]:
        """Return the rollouts of these deployments that are running, by deployment."""
        if not deployment_ids:
            return {}
        statement = select(Rollout).where(
            Rollout.deployment_id.in_(sorted(deployment_ids)),
            Rollout.state == RolloutState.RUNNING,
        )
        async with self._db.read() as session:
            found = (await session.execute(statement)).scalars()
            return {rollout.deployment_id: rollout for rollout in found}

    async def observe(
        self, deployment_id: str, rollout_id: str, seen: Observations
    ) -> Rollout | None:
        """Add what a gateway has counted, and end the rollout if that decides it.

        The transaction that adds the counts judges them: no process is in charge, and two gateways
        cannot come to different ends. Returns the rollout, or None if it had ended.
        """
        async with self._db.write() as session:
            row = await session.get(Deployment, deployment_id, with_for_update=True)
            if row is None or row.status == DeploymentStatus.DELETED:
                return None
            rollout = await store.running_rollout(session, row)
            if rollout is None or rollout.id != rollout_id:
                return None
            total = Observations.model_validate(rollout.observed)
            checks = Checks.model_validate(rollout.checks)
            moment = (await session.execute(select(seconds_from_now()))).scalar_one()
            add_report(total, seen, checks, moment=moment)
            rollout.observed = total.model_dump(mode="json")
            if row.live_version == rollout.baseline:
                await self._judge(session, row, rollout, total, checks)
            else:  # a gateway of an older release has done so, which knows no rollouts
                store.end_by_promotion(row, rollout)
            if rollout.state != RolloutState.RUNNING:
                await release_servers(session, rollout)
                record_change(session, ChangeKind.DEPLOYMENT, row.id)
        _log_end(row, rollout)
        return rollout

    async def _judge(
        self,
        session: AsyncSession,
        row: Deployment,
        rollout: Rollout,
        total: Observations,
        checks: Checks,
    ) -> None:
        """End the rollout if the candidate has failed a check, or is to go live now."""
        verdict = judge(total, checks, baseline=rollout.baseline, candidate=rollout.candidate)
        if verdict is not None:
            before = rollout_fields(rollout)
            store.end_rollout(rollout, RolloutState.ROLLED_BACK, verdict.reason, verdict.cause)
            after = rollout_fields(rollout)
            await record_deployment(session, "roll_back", row, before=before, after=after)
        elif has_passed(total, checks) and await _is_due(session, rollout):
            was = await store.live_version(session, row)
            version = await store.find_version(session, row, rollout.candidate)
            row.live_version = rollout.candidate
            passed = f"every check was passed for {rollout.promote_after_seconds} s"
            store.end_rollout(rollout, RolloutState.PROMOTED, passed)
            before, after = seen_live(was), seen_live(version)
            await record_deployment(session, "promote", row, before=before, after=after)

    async def _running(
        self, session: AsyncSession, profile_id: str, deployment_id: str
    ) -> tuple[Deployment, Rollout]:
        row = await store.find_deployment(session, profile_id, deployment_id, lock=True)
        rollout = await store.running_rollout(session, row)
        if rollout is None:
            message = f"deployment '{row.name}' has no rollout that is running"
            raise GatewayError(ErrorCode.CONFLICT, message)
        return row, rollout

    async def _refuse_second(self, session: AsyncSession, row: Deployment) -> None:
        rollout = await store.running_rollout(session, row)
        if rollout is not None:
            message = (
                f"deployment '{row.name}': version {rollout.candidate} is being tried already: "
                "promote it, or roll it back, first"
            )
            raise GatewayError(ErrorCode.CONFLICT, message)

    async def _insert(
        self, session: AsyncSession, row: Deployment, candidate: int, new: NewRollout
    ) -> Rollout:
        await store.delete_rollout(session, row.id)  # the one before, which has ended
        seconds = new.promote_after_seconds
        rollout = Rollout(
            deployment_id=row.id,
            id=new_id(),
            strategy=new.strategy,
            baseline=row.live_version,
            candidate=candidate,
            weight=new.weight,
            checks=new.checks.model_dump(),
            promote_after_seconds=seconds,
            promote_at=None if seconds is None else seconds_from_now(seconds),
            state=RolloutState.RUNNING,
            observed=Observations().model_dump(mode="json"),
        )
        session.add(rollout)
        await session.flush()
        await session.refresh(rollout)
        return rollout


def check_weight(strategy: Strategy, weight: int) -> None:
    """Raise VALIDATION_FAILED for a canary without calls for the live version to compare with."""
    if strategy is Strategy.CANARY and weight == 100:  # noqa: PLR2004 - all
        message = "weight: expected 1 to 99 for a canary, got 100; promote the version instead"
        raise GatewayError(ErrorCode.VALIDATION_FAILED, message)


def _check(row: Deployment, new: NewRollout) -> None:
    check_weight(new.strategy, new.weight)
    message = ""
    if new.version == row.live_version:
        message = f"version: expected another one than the live version {new.version}"
    elif row.execution_mode != ExecutionMode.FAST:
        if new.strategy is Strategy.SHADOW:
            message = (
                f"strategy: a shadow needs mode fast, got {row.execution_mode}: its flow would run "
                "twice, with all its effects; use a canary"
            )
        elif new.checks.tolerance is not None:
            mode = row.execution_mode
            message = f"checks.tolerance: outputs are compared in mode fast only, got {mode}"
    if message:
        raise GatewayError(ErrorCode.VALIDATION_FAILED, message)


def _log_end(row: Deployment, rollout: Rollout) -> None:
    about = {"deployment": row.id, "name": row.name, "reason": rollout.reason}
    versions = {"baseline": rollout.baseline, "candidate": rollout.candidate}
    if rollout.state == RolloutState.ROLLED_BACK:
        log.warning("rollout_rolled_back", **about, **versions, cause=rollout.cause)
    elif rollout.state != RolloutState.RUNNING:
        log.info("rollout_ended", **about, **versions, state=rollout.state)


async def _is_due(session: AsyncSession, rollout: Rollout) -> bool:
    if rollout.promote_at is None:
        return False
    due = select(Rollout.promote_at <= seconds_from_now()).where(Rollout.id == rollout.id)
    return bool((await session.execute(due)).scalar_one())
