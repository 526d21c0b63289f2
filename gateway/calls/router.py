"""`/node/calls/`; needs a `manage` key or a session."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path

from gateway.auth.access import Manager
from gateway.calls.schemas import CallOut
from gateway.calls.service import CallLookup
from gateway.dependencies import from_app
from gateway.operations import DocumentedRouter

router = DocumentedRouter(prefix="/node/calls", tags=["Calls"])


@router.get("/{request_id:path}/")
async def show(
    lookup: Annotated[CallLookup, from_app(CallLookup)],
    actor: Manager,
    request_id: Annotated[
        str,
        Path(
            max_length=128,
            description="The `X-Request-ID` of the call's answer, or the id of its run.",
            examples=["req_0190b5a6-7d3c-7c1e-9a52-3f1d0c8b7e64"],
        ),
    ],
) -> CallOut:
    """Look up a call that failed or took long, for an hour, or the call of a run.

    Callers without an admin's role find calls of their own deployments. There are no inputs and
    outputs. A call is there a second after its answer, unless there were too many.
    """
    return CallOut.of(await lookup.find(actor, request_id))
