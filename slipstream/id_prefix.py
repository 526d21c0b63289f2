"""Ids that commands take by their beginning, as tables show them on a narrow terminal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import typer
from sqlalchemy import select

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
_MAX_NAMED = 5
"""Ids that an error names."""


def whole_id(table: Table) -> Callable[[typer.Context, Given], Given]:
    """Return a callback of an argument or option that completes the beginning of an id."""

    def complete(context: typer.Context, given: Given) -> Given:
        texts = [given] if isinstance(given, str) else (given or [])
        if all(map(is_id, texts)):
            return given
        with exit_on_error(as_json=context.params["as_json"]):
            found = asyncio.run(_find_all(context.params["state"], table, texts))
        return found[0] if isinstance(given, str) else found

    return complete


async def find_id(workspace: Workspace, table: Table, text: str) -> str:
    """Return the id of the administrator's that begins with `text`.

    Raises:
        GatewayError: NOT_FOUND if there is none, VALIDATION_FAILED if there are several.
    """
    if is_id(text):
        return text
    which = IdRange.of(text)
    found: Sequence[str] = ()
    if which is not None:
        async with workspace.db.read() as session:
            owned = select(table.id).where(
                table.id.between(which.low, which.high), table.profile_id == workspace.profile.id
            )
            found = (await session.execute(owned.limit(_MAX_NAMED))).scalars().all()
    if len(found) == 1:
        return found[0]
    noun = _NOUNS[table]
    if found:
        message = f"{noun}: several ids begin with '{text}': {', '.join(found)}; give more of it"
        raise GatewayError(ErrorCode.VALIDATION_FAILED, message)
    message = f"unknown {noun} '{text}': give its id, or the first {MIN_LENGTH} characters or more"
    raise GatewayError(ErrorCode.NOT_FOUND, message)


async def _find_all(state: Path, table: Table, texts: Sequence[str]) -> list[str]:
    located = locate(state, Absent.REFUSE)
    assert located is not None
    installation = find_installation(located)
    installation.check()
    async with open_workspace(installation.settings) as workspace:
        return [await find_id(workspace, table, text) for text in texts]
