"""The probes for the OpenAPI document; `gateway.boot` answers them, ahead of these routes."""

from __future__ import annotations

from typing import Any, NoReturn

from pydantic import BaseModel, ConfigDict

from gateway.operations import DocumentedRouter


class GatewayLive(BaseModel):
    """Whether the gateway is alive."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    live: bool
    """Always true: a gateway that is not alive does not answer."""


class GatewayReady(BaseModel):
    """Whether the gateway is ready, and what does not work."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    ready: bool
    """Whether this gateway process should get calls."""
    reasons: list[str]
    """Everything that keeps it from being ready; empty: it is."""
    degraded: list[str]
    """Everything else that does not work; other calls are answered."""


class GatewayNotReady(GatewayReady):
    """Why the gateway is not ready."""

    error: str
    """The reasons in one line."""


# Any: OpenAPI's own form
_NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {
        "model": GatewayNotReady,
        "description": "Not ready; a problem if there is no connection left to answer on.",
        "content": {
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
        },
        "headers": {
            "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}
        },
    }
}
router = DocumentedRouter(tags=["Operations"])


def _answered_by_boot_app() -> NoReturn:
    raise AssertionError("BootApp answers this path")


@router.get("/livez")
async def live() -> GatewayLive:
    """Show whether the gateway is alive. Needs no key."""
    _answered_by_boot_app()


@router.get("/readyz", responses=_NOT_READY)
async def ready() -> GatewayReady:
    """Show whether the gateway is ready, and why it is not. Needs no key.

    It queries nothing: it may be asked as often as is needed. Once a gateway has been ready, a
    database that does not answer counts as `degraded`: calls of mode `fast` go on.
    """
    _answered_by_boot_app()
