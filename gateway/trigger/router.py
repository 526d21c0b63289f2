"""The trigger route as the OpenAPI document shows it; `edge.py` answers it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from gateway.errors import GatewayError
from protos.errors import ErrorCode


class TriggerIn(BaseModel):
    """What a flow is called with."""

    # Any: the flow's own schema describes it
    input_data: dict[str, Any] = Field(default_factory=dict)


class FastOut(BaseModel):
    """The answer of mode `fast`."""

    status: str = "completed"
    output_data: dict[str, Any]
    fast_mode: bool = True
    duration_seconds: float
    flow_run_id: str
    message: str
    data: dict[str, Any] | None = None
    """The same fields once more, where the answer is at most 64 KiB."""


def build_router() -> APIRouter:
    """Return the documented route; it also makes other methods answer 405."""
    router = APIRouter(tags=["Trigger"])

    @router.post("/node/deployment-trigger/{deployment_id}/", openapi_extra=_KEYS)
    async def trigger(
        deployment_id: str,  # noqa: ARG001 - documented here
        body: TriggerIn | None = None,  # noqa: ARG001 - likewise
    ) -> FastOut:
        """Call a deployment: in mode `fast`, answers with the prediction."""
        # The edge answers this route, but for what came in before there was an edge.
        message = "starting: the gateway was loading when the request came"
        raise GatewayError(ErrorCode.GATEWAY_STARTING, message, retry_after=1)

    return router


_KEYS: dict[str, Any] = {"security": [{"API key": []}, {"API key as bearer token": []}]}
