"""The gateway as one ASGI application: `/v2` first, FastAPI for all the rest.

Triggers do not come here: see `gateway.web.protocol`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import anyio.to_thread
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse
from starlette.staticfiles import StaticFiles
from swagger_ui_bundle import swagger_ui_path

from gateway.accounts.router import build_router as users
from gateway.accounts.session_router import build_router as sessions
from gateway.audit.router import build_router as audit
from gateway.auth.router import build_router as api_keys
from gateway.container import Container
from gateway.deployments.router import build_router as deployments
from gateway.deployments.version_router import build_router as deployment_versions
from gateway.errors import GatewayError
from gateway.fleet.exposition import scrape_targets
from gateway.fleet.router import build_router as inference_servers
from gateway.flows.router import build_router as flows
from gateway.models.router import build_router as models
from gateway.oip import rest
from gateway.oip.dataplane import SERVER_VERSION
from gateway.oip.router import build_router as oip
from gateway.runs.router import build_router as runs
from gateway.tags import ABOUT, TAGS
from gateway.trigger.router import build_router as trigger
from gateway.usage.router import build_router as usage
from gateway.web.asgi import App, Receive, Scope, Send
from gateway.web.documented import DocumentedApi
from gateway.web.naming import operation_id
from gateway.web.problems import problem
from gateway.web.shell import Shell
from gateway.webhooks.router import build_router as webhooks
from protos.errors import ErrorCode
from telemetry.instruments import CONTENT_TYPE, render
from telemetry.redaction import without_keys

_UPLOADS = "/node/models/"
_PRIVATE = ("/node/session", "/node/users")
"""Where bodies hold passwords: what came is never repeated."""
# Any: OpenAPI's own form
_EXPOSITION: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Prometheus' own text.",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
}
_EXCERPT = 80
"""Characters of an invalid value that its error repeats."""


class Gateway:
    """Sends each request to the edge that knows it."""

    def __init__(self, container: Container) -> None:
        self._oip = container.oip
        self._rest = Shell(
            cast("App", build_fastapi(container)),
            max_body_bytes=container.settings.max_body_bytes,
            unlimited=(_UPLOADS,),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        path: str = scope["path"]
        if path.startswith(rest.PREFIX) and path[len(rest.PREFIX) :][:1] in ("", "/"):
            await self._oip(scope, receive, send)
        else:
            await self._rest(scope, receive, send)


def build_fastapi(container: Container) -> FastAPI:
    """Return the management routes, the metrics and the documentation."""
    services, access = container.services, container.access
    app = DocumentedApi(
        title="Slipstream",
        version=SERVER_VERSION,
        description=ABOUT,
        openapi_tags=TAGS,
        generate_unique_id_function=operation_id,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
    )
    for router in (
        trigger(),
        flows(services.flows, access),
        deployments(services.deployments, access, container.engine.orphans),
        deployment_versions(services.versions, access),
        inference_servers(services.fleet, access),
        models(services.models, access),
        api_keys(services.keys, access),
        runs(container.runs, access),
        webhooks(container.webhooks, access),
        sessions(
            container.login,
            container.sessions,
            services.users,
            access,
            secure_cookies=container.settings.secure_cookies,
        ),
        users(services.users, container.sessions, access),
        usage(services.usage, access),
        audit(services.audit, access),
        oip(),
    ):
        app.include_router(router)
    _add_metrics(app, container)
    _add_docs(app)
    app.add_exception_handler(GatewayError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _no_route)
    app.add_exception_handler(Exception, _unforeseen)
    return app


def _add_metrics(app: FastAPI, container: Container) -> None:
    collectors = [
        container.shared,
        container.fleet_metrics,
        container.worker_metrics,
        container.engine.metrics,
        container.station.metrics,
    ]

    @app.get(
        "/metrics",
        operation_id="get_metrics",
        tags=["Operations"],
        response_class=Response,
        responses=_EXPOSITION,
    )
    async def metrics() -> Response:
        """Everything that is measured, over all gateway processes, for Prometheus."""
        body = await anyio.to_thread.run_sync(render, collectors)
        return Response(body, media_type=CONTENT_TYPE)

    @app.get("/metrics/targets", tags=["Operations"])
    async def targets() -> list[dict[str, object]]:
        """The inference servers' own metrics, for Prometheus' HTTP service discovery."""
        return scrape_targets(container.servers)


def _add_docs(app: FastAPI) -> None:
    app.mount("/docs/assets", StaticFiles(directory=swagger_ui_path))

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title="Slipstream API",
            swagger_js_url="/docs/assets/swagger-ui-bundle.js",
            swagger_css_url="/docs/assets/swagger-ui.css",
            swagger_favicon_url="/docs/assets/favicon-32x32.png",
        )


def _answer(
    request: Request, error: GatewayError, extra: Mapping[str, str] | None = None
) -> Response:
    status, headers, body = problem(error, request.scope["state"]["request_id"])
    sent = {name.decode(): value.decode() for name, value in headers} | dict(extra or {})
    return Response(body, status_code=status, headers=sent)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, GatewayError)
    return _answer(request, error)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    media = _media_type(request)
    if any(tuple(fault["loc"]) == ("body",) for fault in error.errors()) and not _is_json(media):
        message = f"Content-Type: expected application/json, got {_excerpt(media) or 'none'}"
        return _answer(request, GatewayError(ErrorCode.UNSUPPORTED_MEDIA_TYPE, message))
    private = request.url.path.startswith(_PRIVATE)
    fields = [
        {
            "detail": fault["msg"] + ("" if private else f", got {_excerpt(fault.get('input'))!r}"),
            "pointer": "#/" + "/".join(str(part) for part in fault["loc"][1:]),
        }
        for fault in error.errors()
    ]
    broken = any(fault["type"] == "json_invalid" for fault in error.errors())
    code = ErrorCode.INVALID_JSON if broken else ErrorCode.VALIDATION_FAILED
    message = "; ".join(f"{field['pointer']}: {field['detail']}" for field in fields[:3])
    return _answer(request, GatewayError(code, message, errors=fields))


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _is_json(media: str) -> bool:
    return media == "application/json" or media.endswith("+json")


def _excerpt(given: object) -> str:
    """Return the beginning of what came, without a key: also not the half of one."""
    return without_keys(str(given)[: 2 * _EXCERPT])[:_EXCERPT]


async def _unforeseen(_: Request, error: Exception) -> Response:
    raise error  # to the shell, which answers in JSON: Starlette's own answer is a line of text


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path, method = request.url.path, request.method
    match error.status_code:
        case 404:
            refusal = GatewayError(ErrorCode.NOT_FOUND, f"there is no {path}")
        case 405:
            message = f"{path} does not take {method}"
            refusal = GatewayError(ErrorCode.METHOD_NOT_ALLOWED, message)
            return _answer(request, refusal, error.headers)
        case 400:
            refusal = GatewayError(ErrorCode.INVALID_REQUEST, str(error.detail))
        case _:
            return JSONResponse({"message": error.detail}, error.status_code)
    return _answer(request, refusal)
