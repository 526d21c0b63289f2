"""The protocol's routes as the OpenAPI document shows them; `rest.py` answers them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

_KEYS: dict[str, Any] = {"security": [{"API key": []}, {"API key as bearer token": []}]}
_ROUTES = (
    ("GET", "/v2", "Who answers, and which extensions it has."),
    ("GET", "/v2/health/live", "Whether the gateway lives. No key."),
    ("GET", "/v2/health/ready", "Whether the gateway takes calls. No key."),
    ("GET", "/v2/models", "The models that are served."),
    ("GET", "/v2/models/{model}", "What a model takes and gives."),
    ("GET", "/v2/models/{model}/ready", "Whether calls for the model are answered."),
    ("POST", "/v2/models/{model}/infer", "Run the model; its highest version that is ready."),
    ("GET", "/v2/models/{model}/config", "How the model is configured, as Triton shows it."),
    ("GET", "/v2/models/{model}/stats", "What was counted and timed, of its ready versions."),
    ("GET", "/v2/models/stats", "The same of all models."),
    ("GET", "/v2/models/{model}/versions/{version}", "What a model version takes and gives."),
    ("GET", "/v2/models/{model}/versions/{version}/ready", "Whether it answers calls."),
    ("POST", "/v2/models/{model}/versions/{version}/infer", "Run one version of the model."),
    ("GET", "/v2/models/{model}/versions/{version}/config", "How it is configured."),
    ("GET", "/v2/models/{model}/versions/{version}/stats", "What was counted and timed."),
    ("POST", "/v2/repository/index", "The models and their states; `ready`: only those."),
)


def build_router() -> APIRouter:
    """Return the documented routes."""
    router = APIRouter(tags=["Open Inference Protocol"])

    async def answered_elsewhere() -> dict[str, Any]:
        raise AssertionError("the edge answers this route")

    for method, path, summary in _ROUTES:
        router.add_api_route(
            path, answered_elsewhere, methods=[method], summary=summary, openapi_extra=_KEYS
        )
    return router
