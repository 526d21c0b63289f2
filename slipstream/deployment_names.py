"""The ids of deployments of a name."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sqlalchemy import select

from gateway.errors import GatewayError
from gateway.storage.tables import Deployment
from protos.errors import ErrorCode
from slipstream.installation import find_installation
from slipstream.state_location import Absent, locate
from slipstream.workspace import open_workspace


def ids_of_deployment(name: str, state: Path) -> list[str]:
    """Return the ids of all deployments of that name, also of those that were deleted.

    Raises:
        GatewayError: NOT_FOUND if there is none.
        StorageError, UnusableError: the database cannot be used.
    """
    return asyncio.run(_ids(name, state))


async def _ids(name: str, state: Path) -> list[str]:
    located = locate(state, Absent.REFUSE)
    assert located is not None
    installation = find_installation(located)
    installation.check()
    async with open_workspace(installation.settings) as workspace, workspace.db.read() as session:
        found = await session.scalars(select(Deployment.id).where(Deployment.name == name))
        ids = list(found.all())
    if not ids:
        message = f"unknown deployment '{name}': give its name, or 8 characters of its id or more"
        raise GatewayError(ErrorCode.NOT_FOUND, message)
    return ids
