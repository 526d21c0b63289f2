"""Which deployment a run belongs to, for browsers that ask before they send a key."""

from __future__ import annotations

import sqlalchemy as sa

from gateway.errors import GatewayError
from gateway.ids import is_id
from gateway.runs.rows import RUNS
from gateway.storage.cache import Cache
from gateway.storage.database import Database
from protos.errors import ErrorCode

_DEPLOYMENT = sa.select(RUNS.c.deployment_id).where(RUNS.c.id == sa.bindparam("run_id"))


class RunDeployments:
    """Deployments by the ids of their runs, which never change."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._deployments: Cache[str, str] = Cache(self._load)

    async def deployment_of(self, run_id: str) -> str | None:
        """Return the deployment's id; None: there is no such run."""
        if not is_id(run_id):
            return None
        try:
            return await self._deployments.find(run_id.lower())
        except GatewayError:
            return None

    async def _load(self, run_id: str) -> str:
        async with self._db.read() as session:
            found = await session.execute(_DEPLOYMENT, {"run_id": run_id})
        deployment_id: str | None = found.scalar_one_or_none()
        if deployment_id is None:
            raise GatewayError(ErrorCode.NOT_FOUND, f"there is no run '{run_id}'")
        return deployment_id
