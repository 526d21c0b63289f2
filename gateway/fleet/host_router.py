"""`/node/hosts/` and `/node/processes/`, for administrators."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends

from gateway.auth.access import administrator
from gateway.dependencies import from_app
from gateway.fleet.host_schemas import HostList, ProcessList
from gateway.fleet.hosts import HostStore
from gateway.fleet.processes import ProcessStore
from gateway.operations import DocumentedRouter

Hosts = Annotated[HostStore, from_app(HostStore)]
Processes = Annotated[ProcessStore, from_app(ProcessStore)]
router = DocumentedRouter(prefix="/node", tags=["Hosts"], dependencies=[Depends(administrator)])


@router.get("/hosts/")
async def list_hosts(hosts: Hosts) -> HostList:
    """List the machines that run inference servers, oldest first."""
    return HostList.of(await hosts.all())


@router.get("/processes/")
async def list_processes(processes: Processes) -> ProcessList:
    """List the gateways and workers of all machines."""
    return ProcessList.of(await processes.all())
