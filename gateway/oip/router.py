"""The protocol's routes for the OpenAPI document; `rest.py` serves them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, NoReturn

from fastapi import Body
from google.protobuf.message import Message
from pydantic import BaseModel

from gateway.auth.security_schemes import ANY_SECURITY
from gateway.oip.schemas import (
    IndexedModel,
    IndexRequest,
    InferRequest,
    InferResponse,
    ModelMetadata,
    ModelNames,
    ModelReady,
    ServerLive,
    ServerMetadata,
    ServerReady,
    V2Error,
    schema_of,
)
from gateway.operations import DocumentedRouter
from gateway.web.openapi import EXECUTES_FLOWS
from gateway.web.request_timeout import RequestTimeout
from protos import open_inference_pb2 as pb

# Any, here and below: OpenAPI's own form
Json = dict[str, Any]
# Any: endpoints of several signatures
Endpoint = Callable[..., Any]

_BYTES: Json = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_KEYS: Json = {"security": ANY_SECURITY}
_WORKS: Json = {**_KEYS, **EXECUTES_FLOWS}
_CALL: Json = {**_WORKS, "requestBody": {"content": _BYTES}}
_RESULT = "JSON; if binary outputs are requested, JSON and then their bytes."
_EXAMPLE = {
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [5.1, 3.5, 1.4, 0.2]}]
}
Call = Annotated[InferRequest, Body(examples=[_EXAMPLE])]
router = DocumentedRouter(prefix="/v2", tags=["Open Inference Protocol"])


def _served_by_v2_app() -> NoReturn:
    raise AssertionError("V2App serves this route")


def _or_not_ready(ready: type[BaseModel]) -> dict[int | str, Json]:
    """Return the response of a probe that is not ready, or of an error."""
    return {503: {"model": ready | V2Error, "description": "Not ready."}}


def _message(message: type[Message]) -> dict[int | str, Json]:
    content = {"application/json": {"schema": schema_of(message)}}
    return {200: {"description": "As JSON, with numbers as numbers.", "content": content}}


@router.get("", operation_id="get_server_metadata", openapi_extra=_KEYS)
async def metadata() -> ServerMetadata:
    """Show the server's name, version and extensions."""
    _served_by_v2_app()


@router.get("/health/live", operation_id="get_liveness")
async def live() -> ServerLive:
    """Show whether the gateway is alive. Needs no key."""
    _served_by_v2_app()


@router.get("/health/ready", operation_id="get_readiness", responses=_or_not_ready(ServerReady))
async def ready() -> ServerReady:
    """Show whether the gateway is ready. Needs no key."""
    _served_by_v2_app()


@router.get("/models", operation_id="list_served_models", openapi_extra=_KEYS)
async def models() -> ModelNames:
    """List the models that are served."""
    _served_by_v2_app()


@router.get(
    "/models/stats",
    operation_id="get_statistics",
    responses=_message(pb.ModelStatisticsResponse),
    openapi_extra=_WORKS,
)
async def stats() -> None:
    """Show the statistics of all models."""
    _served_by_v2_app()


@router.post("/repository/index", operation_id="index_repository", openapi_extra=_KEYS)
async def index(body: IndexRequest | None = None) -> list[IndexedModel]:  # noqa: ARG001
    """List the models and their states; with `ready` only ready ones."""
    _served_by_v2_app()


def _add_model(path: str, of: str, named: Endpoint, called: Endpoint) -> None:
    """Add the routes of a model at `path`, with or without a version."""
    router.add_api_route(
        path,
        named,
        operation_id=f"get_served_{of}",
        summary=f"Show a model's inputs and outputs ({of})",
        response_model=ModelMetadata,
        openapi_extra=_WORKS,
    )
    router.add_api_route(
        f"{path}/ready",
        named,
        operation_id=f"get_{of}_readiness",
        summary=f"Show whether a model is ready ({of})",
        response_model=ModelReady,
        responses=_or_not_ready(ModelReady),
        openapi_extra=_KEYS,
    )
    router.add_api_route(
        f"{path}/infer",
        called,
        methods=["POST"],
        operation_id=f"infer_{of}",
        summary=f"Run a model ({of})",
        response_model=InferResponse,
        responses={200: {"description": _RESULT, "content": _BYTES}},
        openapi_extra=_CALL,
    )
    for verb, noun, summary, message in (
        ("config", "config", "Show a model's configuration in Triton's format", pb.ModelConfig),
        ("stats", "statistics", "Show a model's statistics", pb.ModelStatisticsResponse),
    ):
        router.add_api_route(
            f"{path}/{verb}",
            named,
            operation_id=f"get_{of}_{noun}",
            summary=f"{summary} ({of})",
            responses=_message(message),
            openapi_extra=_WORKS,
        )


async def _of_model(model: str) -> None:  # noqa: ARG001 - documented, here and below
    _served_by_v2_app()


async def _of_version(model: str, version: str) -> None:  # noqa: ARG001
    _served_by_v2_app()


async def _call_model(
    model: str,  # noqa: ARG001 - documented, here and below
    body: Call,  # noqa: ARG001
    x_request_timeout: RequestTimeout = None,  # noqa: ARG001
) -> None:
    _served_by_v2_app()


async def _call_version(
    model: str,  # noqa: ARG001 - documented, here and below
    version: str,  # noqa: ARG001
    body: Call,  # noqa: ARG001
    x_request_timeout: RequestTimeout = None,  # noqa: ARG001
) -> None:
    _served_by_v2_app()


_add_model("/models/{model}", "model", _of_model, _call_model)
_add_model("/models/{model}/versions/{version}", "version", _of_version, _call_version)
