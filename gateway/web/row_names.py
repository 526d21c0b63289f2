"""Ids in requests: callers may give the name of what is theirs in place of its id.

A deployment's name is its slug, a flow's the one that it has in lists. What names nothing stays as
it is, so that a route answers as to an unknown id.
"""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Depends, Path, Query, Request

from gateway.auth.access import Caller, Manager
from gateway.dependencies import service_of
from gateway.errors import GatewayError
from gateway.ids import is_id
from gateway.storage.database import Database
from gateway.storage.named_rows import deployment_with_slug, flows_with_name
from gateway.storage.slugs import SLUG_PATTERN
from gateway.storage.tables import MAX_SLUG_LENGTH
from protos.errors import ErrorCode

_SLUG = re.compile(rf"(?=.{{1,{MAX_SLUG_LENGTH}}}$){SLUG_PATTERN}")
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,200}")
"""As `DisplayName` has it: a database may refuse to compare other text."""


class RowNames:
    """Finds the ids of a profile's deployments and flows. A name costs a query, an id none."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def deployment_id(self, profile_id: str, name: str) -> str:
        """Return the id of the deployment with this id or slug; else `name`."""
        slug = name.lower()
        if is_id(slug) or not _SLUG.fullmatch(slug):
            return name
        async with self._db.read() as session:
            return await deployment_with_slug(session, profile_id, slug) or name

    async def flow_id(self, profile_id: str, name: str) -> str:
        """Return the id of the flow with this id or name; else `name`.

        Raises:
            GatewayError: CONFLICT with the ids of several flows that have the name.
        """
        if is_id(name) or not _NAME.fullmatch(name):
            return name
        async with self._db.read() as session:
            found = await flows_with_name(session, profile_id, name)
        if len(found) > 1:
            message = (
                f"flow_id: expected an id, or a name that one flow has, got '{name}', which several"
                f" have: use one of their ids: {', '.join(found)}"
            )
            raise GatewayError(ErrorCode.CONFLICT, message)
        return found[0] if found else name


async def _deployment_in_path(
    request: Request,
    caller: Caller,
    deployment_id: Annotated[str, Path(description="Its id, or its `slug`.")],
) -> str:
    names = service_of(request, RowNames)
    return await names.deployment_id(caller.profile_id, deployment_id)


async def _deployment_in_query(
    request: Request,
    caller: Caller,
    deployment: Annotated[str | None, Query(description="Its id, or its `slug`.")] = None,
) -> str | None:
    if deployment is None:
        return None
    return await service_of(request, RowNames).deployment_id(caller.profile_id, deployment)


async def _flow_in_path(
    request: Request,
    caller: Manager,
    flow_id: Annotated[str, Path(description="Its id, or its name if only one flow has that.")],
) -> str:
    return await service_of(request, RowNames).flow_id(caller.profile_id, flow_id)


DeploymentId = Annotated[str, Depends(_deployment_in_path)]
"""The path parameter `deployment_id`."""
DeploymentFilterId = Annotated[str | None, Depends(_deployment_in_query)]
"""The query parameter `deployment`."""
FlowId = Annotated[str, Depends(_flow_in_path)]
"""The path parameter `flow_id`."""
