"""`/node/system/`, for administrators."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends

from gateway.auth.access import administrator
from gateway.dependencies import from_app
from gateway.operations import DocumentedRouter
from gateway.system.schemas import SystemOut
from gateway.system.service import SystemService

router = DocumentedRouter(
    prefix="/node/system", tags=["Operations"], dependencies=[Depends(administrator)]
)


@router.get("/")
async def show(service: Annotated[SystemService, from_app(SystemService)]) -> SystemOut:
    """Show the hosts, gateways, workers, queues, stores and inference servers; what is wrong."""
    return SystemOut.of(await service.state())
