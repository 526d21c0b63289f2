"""The gateway as one ASGI application: `/v2`, and FastAPI for everything else.

Calls of deployments bypass it, see `gateway.fast_path.connection`.
"""

from __future__ import annotations

from typing import Any, cast

import anyio.to_thread
from fastapi import FastAPI, Response
from fastapi.openapi.docs import get_swagger_ui_html
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
from gateway.fleet.exposition import scrape_targets
from gateway.fleet.router import build_router as inference_servers
from gateway.flows.router import build_router as flows
from gateway.models.router import build_router as models
from gateway.oip import rest
from gateway.oip.data_plane import SERVER_VERSION
from gateway.oip.router import build_router as oip
from gateway.operations import DESCRIPTION, TAGS, operation_id
from gateway.runs.queries import RunDeployments
from gateway.runs.router import build_router as runs
from gateway.trigger.cross_origin import CrossOriginMiddleware
from gateway.trigger.router import build_router as trigger
from gateway.usage.router import build_router as usage
from gateway.web.asgi import App, Receive, Scope, Send
from gateway.web.fastapi_errors import FastApiErrorHandlers
from gateway.web.middleware import RestMiddleware
from gateway.web.openapi import DocumentedFastAPI
from gateway.web.problem_pages import build_router as problems
from gateway.web.security_headers import content_security_policy
from gateway.webhooks.router import build_router as webhooks
from telemetry.instruments import CONTENT_TYPE, render

_UPLOADS = "/node/models/"
_SECRET_PATHS = ("/node/session", "/node/users", "/node/webhooks/verify")
"""Bodies of these paths hold passwords or secrets, so errors never repeat them."""
# Any: OpenAPI's own form
_EXPOSITION: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Prometheus' own text.",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
}


class Gateway:
    """Dispatches requests to `/v2` or to FastAPI."""

    def __init__(self, container: Container) -> None:
        self._v2 = container.v2
        shell = RestMiddleware(
            cast("App", build_fastapi(container)),
            max_body_bytes=container.settings.max_body_bytes,
            unlimited=(_UPLOADS,),
            timeout_seconds=container.settings.request_timeout_seconds,
        )
        self._rest = CrossOriginMiddleware(
            shell, container.deployment_cache, RunDeployments(container.db)
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        path: str = scope["path"]
        if path.startswith(rest.PREFIX) and path[len(rest.PREFIX) :][:1] in ("", "/"):
            await self._v2(scope, receive, send)
        else:
            await self._rest(scope, receive, send)


def build_fastapi(container: Container) -> FastAPI:
    """Return the management routes, the metrics and the documentation."""
    services, access = container.services, container.access
    app = DocumentedFastAPI(
        title="Slipstream",
        version=SERVER_VERSION,
        description=DESCRIPTION,
        openapi_tags=TAGS,
        generate_unique_id_function=operation_id,
        redirect_slashes=False,
        openapi_url=None,  # _add_docs: FastAPI's own route builds the document on the event loop
        docs_url=None,
        redoc_url=None,
    )
    for router in (
        trigger(),
        flows(services.flows, access),
        deployments(services.deployments, access, container.execution.cleanup.cancel_runs),
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
        users(
            services.users,
            container.sessions,
            access,
            container.execution.cleanup.cancel_runs_of_user,
        ),
        usage(services.usage, access),
        audit(services.audit, access),
        oip(),
        problems(),
    ):
        # Not `include_router`, which builds each route again: 0.1 s of every start.
        app.router.routes.extend(router.routes)
    _add_metrics(app, container)
    _add_docs(app)
    FastApiErrorHandlers(app, private=_SECRET_PATHS)
    return app


def _add_metrics(app: FastAPI, container: Container) -> None:
    collectors = [
        container.shared,
        container.fleet_metrics,
        container.worker_metrics,
        container.execution.metrics,
        container.webhook_dispatcher.metrics,
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
        container.accounting.drain()
        body = await anyio.to_thread.run_sync(render, collectors)
        return Response(body, media_type=CONTENT_TYPE)

    @app.get("/metrics/targets", tags=["Operations"])
    async def targets() -> list[dict[str, object]]:
        """The inference servers' own metrics, for Prometheus' HTTP service discovery."""
        return scrape_targets(container.servers)


def _add_docs(app: FastAPI) -> None:
    app.mount("/docs/assets", StaticFiles(directory=swagger_ui_path))

    @app.get("/openapi.json", include_in_schema=False)
    def document() -> JSONResponse:  # in a thread: it is slow the first time
        return JSONResponse(app.openapi())

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        page = get_swagger_ui_html(
            openapi_url="/openapi.json",
            title="Slipstream API",
            swagger_js_url="/docs/assets/swagger-ui-bundle.js",
            swagger_css_url="/docs/assets/swagger-ui.css",
            swagger_favicon_url="/docs/assets/favicon-32x32.png",
        )
        policy = content_security_policy(bytes(page.body).decode())
        page.headers["content-security-policy"] = policy
        return page
