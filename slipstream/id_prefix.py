"""Ids that commands take by a name, a slug, or their beginning, as narrow terminals show them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import typer
from sqlalchemy import ColumnElement, false, select

from gateway.deployments.settings import DeploymentStatus
from gateway.errors import GatewayError
from gateway.ids import is_id
from gateway.search.ids import MIN_LENGTH, IdRange
from gateway.storage.run_tables import RunRow
from gateway.storage.tables import ApiKey, Deployment, Flow
from protos.errors import ErrorCode
from slipstream.failures import exit_on_error
from slipstream.installation import find_installation
from slipstream.state_location import Absent, locate
from slipstream.workspace import Workspace, open_workspace

Given = str | list[str] | None
Table = type[Flow] | type[Deployment] | type[ApiKey] | type[RunRow]

_NOUNS: Mapping[Table, str] = {
    Flow: "flow",
    Deployment: "deployment",
    ApiKey: "API key",
    RunRow: "run",
}
_MAX_LISTED = 5
"""Ids that an error lists."""


def whole_id(table: Table) -> Callable[[typer.Context, Given], Given]:
    """Return a callback of an argument or option: it takes a name or the beginning of an id."""

    def complete(context: typer.Context, given: Given) -> Given:
        texts = [given] if isinstance(given, str) else (given or [])
        if all(map(is_id, texts)):
            return given
        with exit_on_error(as_json=context.params["as_json"]):
            found = asyncio.run(_find_all(context.params["state"], table, texts))
        return found[0] if isinstance(given, str) else found

    return complete


async def find_id(workspace: Workspace, table: Table, text: str) -> str:
    """Return `text` if it is an id, whether it exists or not, and else what `find_existing` does.

    Raises:
        GatewayError: as `find_existing`.
    """
    return text if is_id(text) else await find_existing(workspace, table, text)


async def find_existing(workspace: Workspace, table: Table, text: str) -> str:
    """Return the one id of the administrator's for a name, a slug, an id or its beginning.

    Raises:
        GatewayError: NOT_FOUND if there is none, VALIDATION_FAILED if there are several.
    """
    noun = _NOUNS[table]
    if found := await _ids(workspace, table, _has_name(table, text)):
        return _only(found, f"{noun}: several have the name '{text}'", "give the id of one")
    if found := await _ids(workspace, table, _has_slug(table, text)):
        return found[0]
    which = IdRange.of(text)
    if which is not None:
        begin = table.id.between(which.low, which.high)
        if found := await _ids(workspace, table, begin):
            return _only(found, f"{noun}: several ids begin with '{text}'", "give more of it")
    name = "" if table is RunRow else "name, its "
    message = f"unknown {noun} '{text}': give its {name}id, or the first {MIN_LENGTH} characters"
    raise GatewayError(ErrorCode.NOT_FOUND, f"{message} or more")


async def _ids(workspace: Workspace, table: Table, condition: ColumnElement[bool]) -> Sequence[str]:
    """Return ids of the administrator's rows that meet a condition, at most _MAX_LISTED."""
    owned = select(table.id).where(table.profile_id == workspace.profile.id, condition)
    async with workspace.db.read() as session:
        return (await session.execute(owned.limit(_MAX_LISTED))).scalars().all()


def _has_name(table: Table, name: str) -> ColumnElement[bool]:
    """Return the condition that a row has a name, and has not been deleted."""
    if issubclass(table, RunRow):  # runs have no names
        return false()
    if issubclass(table, Deployment):
        return (table.name == name) & (table.status != DeploymentStatus.DELETED)
    return table.name == name


def _has_slug(table: Table, slug: str) -> ColumnElement[bool]:
    """Return the condition that a row is the deployment with a slug, which is not deleted."""
    if not issubclass(table, Deployment):
        return false()
    return (table.slug == slug) & (table.status != DeploymentStatus.DELETED)


def _only(found: Sequence[str], several: str, remedy: str) -> str:
    if len(found) > 1:
        message = f"{several}: {', '.join(found)}; {remedy}"
        raise GatewayError(ErrorCode.VALIDATION_FAILED, message)
    return found[0]


async def _find_all(state: Path, table: Table, texts: Sequence[str]) -> list[str]:
    located = locate(state, Absent.REFUSE)
    assert located is not None
    installation = find_installation(located)
    installation.check()
    async with open_workspace(installation.settings) as workspace:
        return [await find_id(workspace, table, text) for text in texts]
