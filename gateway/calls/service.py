"""Looks up single calls: those that are kept, and those that are runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.auth.identity import Identity
from gateway.calls import store
from gateway.errors import GatewayError
from gateway.ids import is_id, run_id_time, run_of_request_id
from gateway.runs.queries import of_request
from gateway.runs.rows import RUNS
from gateway.runs.run import Run
from gateway.storage.call_tables import CallRow
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.tables import Deployment
from protos.errors import ErrorCode


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundCall:
    """A call that was kept, or is a run, or both."""

    call: CallRow | None
    run: Run | None
    """Without its output."""
    deployment_name: str | None
    """None: it was deleted, or it is a test of a draft."""


class CallLookup:
    """The calls of a user's deployments; administrators find those of all users."""

    def __init__(self, db: Database, *, kept_minutes: int, min_seconds: float) -> None:
        """Say in errors that calls are kept for so long, and those that took so long."""
        self._db = db
        self._kept_minutes = kept_minutes
        self._min_seconds = min_seconds

    async def find(self, actor: Identity, name: str) -> FoundCall:
        """Return the newest call with a request id, or that of a run's id.

        Raises:
            GatewayError: NOT_FOUND if it was not kept, or is another user's.
        """
        async with self._db.read() as session:
            found = await self._find(session, actor, name)
            if found is None:
                raise GatewayError(ErrorCode.NOT_FOUND, self._reason(name))
            call, run = found
            deployment_id = call.deployment_id if call is not None else run and run.deployment_id
            deployment = await session.get(Deployment, deployment_id)
        return FoundCall(
            call=call, run=run, deployment_name=None if deployment is None else deployment.name
        )

    async def _find(
        self, session: AsyncSession, actor: Identity, name: str
    ) -> tuple[CallRow | None, Run | None] | None:
        run_id = name.lower() if is_id(name) else run_of_request_id(name)
        call = await store.find_call(
            session,
            CallRow.id == run_id if is_id(name) else CallRow.request_id == name,
            actor.profile_id,
            of_all=actor.administers,
        )
        own = RUNS.c.profile_id == actor.profile_id
        if call is not None:
            return call, await store.find_run(session, RUNS.c.id == call.id)
        run = None
        if not is_id(name):
            run = await store.find_run(session, of_request(actor.profile_id, name))
        if run is None and run_id is not None:
            by_id = RUNS.c.id == run_id
            run = await store.find_run(session, by_id if actor.administers else own & by_id)
        return None if run is None else (None, run)

    def _reason(self, name: str) -> str:
        """Say why there is no such call, as far as its id tells."""
        kept = (
            f"failed calls and those of {self._min_seconds:g} s or more are kept for "
            f"{self._kept_minutes} minutes"
        )
        made_at = _time_of(name)
        if made_at is not None and made_at < now() - timedelta(minutes=self._kept_minutes):
            return (
                f"unknown call '{name}': it was made at {made_at:%Y-%m-%d %H:%M} UTC, and {kept}; "
                "SLIPSTREAM_CALL_RETENTION_MINUTES keeps them longer"
            )
        return (
            f"unknown call '{name}': give the X-Request-ID of an answer or the id of a run; {kept},"
            " a second after their answer, and SLIPSTREAM_CALL_LOG=all keeps quicker ones, too"
        )


def _time_of(name: str) -> datetime | None:
    return run_id_time(run_of_request_id(name) or name)
