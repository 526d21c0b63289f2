"""`/node/info/`, and the pages and files of the console."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from gateway.accounts.setup import SetupService
from gateway.auth.access import ManagerOrAnonymous
from gateway.console.files import ConsoleFiles
from gateway.console.schemas import VERSION, InfoOut
from gateway.console.user_storage import UserStorageService
from gateway.dependencies import from_app
from gateway.errors import GatewayError
from gateway.operations import DocumentedRouter
from gateway.settings import Settings
from protos.errors import ErrorCode

PREFIX = "/console"
Files = Annotated[ConsoleFiles, from_app(ConsoleFiles)]
router = DocumentedRouter(tags=["Console"])
pages = APIRouter(include_in_schema=False)


@router.get(
    "/node/info/",
    operation_id="get_info",
    response_model_exclude_unset=True,
    openapi_extra={"security": [{}]},  # one of the alternatives is no credential
)
async def show_info(
    setup: Annotated[SetupService, from_app(SetupService)],
    settings: Annotated[Settings, from_app(Settings)],
    stored: Annotated[UserStorageService, from_app(UserStorageService)],
    actor: ManagerOrAnonymous,
) -> InfoOut:
    """Describe the installation. Without a credential: its version, and if it needs a set-up."""
    setup_required = await setup.is_required()
    if actor is None:
        return InfoOut(version=VERSION, setup_required=setup_required)
    mine = await stored.of(actor.profile_id)
    return InfoOut.of(settings, mine, setup_required=setup_required)


@pages.get("/")
async def root(request: Request) -> Response:
    """Send browsers to the console."""
    if "text/html" not in request.headers.get("accept", "").lower():
        raise GatewayError(ErrorCode.NOT_FOUND, "there is no /")
    return RedirectResponse(f"{PREFIX}/", status_code=303, headers={"vary": "Accept"})


@pages.get(PREFIX)
async def without_slash() -> Response:
    """Redirect to the console."""
    return RedirectResponse(f"{PREFIX}/", status_code=303)


@pages.get(PREFIX + "/{path:path}")
async def show_file(files: Files, path: str, request: Request) -> Response:
    """Return a page or a file of the console."""
    return await files.answer(path, request.headers)
