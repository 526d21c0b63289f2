"""The session of one command: opens the workspace, runs coroutines, reports errors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from sqlalchemy.exc import SQLAlchemyError

from gateway.errors import GatewayError, StorageError
from gateway.storage.paging import Page, PageRequest
from protos.errors import ErrorCode
from slipstream.failures import exit_on_error, expectation
from slipstream.gateway_address import public_url
from slipstream.installation import find_installation
from slipstream.state_location import Absent, locate, say_where
from slipstream.supervisor.state_folder import ensure_state_folder
from slipstream.terminal import Terminal
from slipstream.workspace import Workspace, open_workspace
from telemetry import logs

T = TypeVar("T")
Schema = TypeVar("Schema", bound=BaseModel)

_PAGE_SIZE = 200


class CommandSession:
    """The gateway's services, an event loop for them, and a terminal."""

    def __init__(self, workspace: Workspace, runner: asyncio.Runner, terminal: Terminal) -> None:
        self.workspace = workspace
        self.services = workspace.services
        self.terminal = terminal
        self.profile_id = workspace.profile.id
        self._runner = runner

    @property
    def public_url(self) -> str:
        """Where callers reach the gateway."""
        return public_url(self.workspace.settings)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine and return its result. Any: nothing is sent into it."""
        try:
            return self._runner.run(work)
        except (SQLAlchemyError, OSError) as error:
            message = f"the database or the store failed: {logs.reason_of(error)}"
            raise StorageError(message) from error

    def fetch_all(self, page: Callable[[PageRequest], Awaitable[Page[T]]]) -> Page[T]:
        """Return all pages as one."""
        return self.run(_all_pages(page))


@contextmanager
def open_session(
    state: Path, *, as_json: bool, wide: bool = False, absent: Absent = Absent.REFUSE
) -> Iterator[CommandSession]:
    """Open the workspace of a state folder for one command; report errors and exit.

    `absent` says what to do where there is no installation.
    """
    with ExitStack() as stack:
        stack.enter_context(exit_on_error(as_json=as_json))
        runner = stack.enter_context(asyncio.Runner())
        terminal = Terminal(as_json=as_json, wide=wide)
        located = locate(state, absent)
        if located is None:
            located = Path(stack.enter_context(TemporaryDirectory(prefix="slipstream-")))
        else:
            say_where(located, state, terminal)
        installation = find_installation(located)
        installation.check()
        for note in installation.notes():
            terminal.note(note)
        settings = installation.settings
        if not settings.state.exists():
            terminal.note(f"{settings.state} is a new state folder; --state names another")
        ensure_state_folder(settings.state)
        logs.configure("warning", process="slipstream")
        opened = open_workspace(settings)
        workspace = runner.run(opened.__aenter__())
        try:
            yield CommandSession(workspace, runner, terminal)
        finally:
            runner.run(opened.__aexit__(None, None, None))


def validated(schema: type[Schema], **values: object) -> Schema:
    """Validate the values as the REST API does, or raise VALIDATION_FAILED."""
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the document"
        message = f"{field}: {expectation(first)}"
        raise GatewayError(ErrorCode.VALIDATION_FAILED, message) from None


async def _all_pages(page: Callable[[PageRequest], Awaitable[Page[T]]]) -> Page[T]:
    items: list[T] = []
    cursor = None
    while True:
        part = await page(PageRequest(limit=_PAGE_SIZE, cursor=cursor))
        items += part.items
        cursor = part.next_cursor
        if cursor is None:
            return Page(items=items, next_cursor=None)
