"""The gateway as one ASGI application: `/v2`, and FastAPI for everything else.

Calls of deployments bypass it, see `gateway.fast_path.connection`.
"""

from __future__ import annotations

from time import perf_counter
from typing import Annotated, Any, cast

import anyio.to_thread
from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse, JSONResponse
from starlette.staticfiles import StaticFiles
from swagger_ui_bundle import swagger_ui_path

from gateway.accounts.router import router as users
from gateway.accounts.session_router import router as sessions
from gateway.accounts.users import UserRunCanceller
from gateway.audit.router import router as audit
from gateway.auth.access import metrics_reader
from gateway.auth.router import router as api_keys
from gateway.auth.security_schemes import SECURITY_SCHEMES
from gateway.call_watches.other_requests import WatchedRequests
from gateway.call_watches.router import router as call_watches
from gateway.calls.router import router as calls
from gateway.console.router import pages
from gateway.console.router import router as console
from gateway.console.user_storage import UserStorageService
from gateway.container import Container
from gateway.deployments.deployment_info import read_deployment_info
from gateway.deployments.rollouts.router import router as rollouts
from gateway.deployments.router import router as deployments
from gateway.deployments.service import RunCanceller
from gateway.deployments.starter_router import router as model_starters
from gateway.deployments.version_router import router as deployment_versions
from gateway.drafts.router import router as drafts
from gateway.examples.router import router as deployment_examples
from gateway.fleet.host_router import router as hosts
from gateway.fleet.router import registrations
from gateway.fleet.router import router as inference_servers
from gateway.fleet.scrape_targets import SERVERS, TargetKind
from gateway.flows.node_schemas import node_schemas
from gateway.flows.revision_router import router as flow_revisions
from gateway.flows.router import router as flows
from gateway.live_updates.router import router as live_updates
from gateway.models.router import router as models
from gateway.oip import rest
from gateway.oip.data_plane import SERVER_VERSION
from gateway.oip.router import router as oip
from gateway.operations import DESCRIPTION, TAGS, DocumentedRouter, operation_id
from gateway.rehearsals.router import router as rehearsals
from gateway.runs.queries import RunDeployments
from gateway.runs.router import named_router as named_runs
from gateway.runs.router import router as runs
from gateway.search.router import router as search
from gateway.system.router import router as system
from gateway.trigger.cross_origin import CrossOriginMiddleware
from gateway.trigger.router import router as trigger
from gateway.usage.router import router as usage
from gateway.web.asgi import App, Message, Receive, Scope, Send
from gateway.web.fastapi_errors import FastApiErrorHandlers
from gateway.web.middleware import RestMiddleware
from gateway.web.openapi import DocumentedFastAPI
from gateway.web.probes import router as probes
from gateway.web.problem_pages import router as problems
from gateway.web.row_names import RowNames
from gateway.web.security_headers import content_security_policy
from gateway.webhooks.event_schemas import webhooks as webhook_events
from gateway.webhooks.router import router as webhooks
from telemetry.exposition import OPEN_METRICS, accepted_format
from telemetry.instruments import render

_SECRET_PATHS = (
    "/node/search",
    "/node/session",
    "/node/setup",
    "/node/users",
    "/node/webhooks/verify",
)
"""Requests to these paths may hold passwords or secrets, so errors never repeat them."""
# Any: OpenAPI's own form
_EXPOSITION: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Prometheus' own text; or OpenMetrics, if `Accept` names it.",
        "content": {
            "text/plain": {"schema": {"type": "string"}},
            OPEN_METRICS.content_type.partition(";")[0]: {"schema": {"type": "string"}},
        },
    }
}


operations = DocumentedRouter()
"""Metrics and documentation: what reads the whole container."""


class Gateway:
    """Dispatches requests to `/v2` or to FastAPI."""

    def __init__(self, container: Container) -> None:
        self._v2 = container.v2
        shell = RestMiddleware(
            cast("App", build_fastapi(container)),
            container.parser,
            max_body_bytes=container.settings.max_body_bytes,
            timeout_seconds=container.settings.request_timeout_seconds,
        )
        rest_app = CrossOriginMiddleware(
            shell, container.deployment_cache, RunDeployments(container.db)
        )
        self._rest = WatchedRequests(
            rest_app, container.call_watches, container.proxies, container.deployment_cache
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        send = _with_timing(send)
        path: str = scope["path"]
        if path.startswith(rest.PREFIX) and path[len(rest.PREFIX) :][:1] in ("", "/"):
            await self._v2(scope, receive, send)
        else:
            await self._rest(scope, receive, send)


def _with_timing(send: Send) -> Send:
    """Return `send`, which adds the duration until then to an answer's Server-Timing (W3C)."""
    began = perf_counter()

    async def timed(message: Message) -> None:
        if message["type"] == "http.response.start":
            timing = b"total;dur=%.3f" % ((perf_counter() - began) * 1e3)
            message = {**message, "headers": [*message["headers"], (b"server-timing", timing)]}
        await send(message)

    return timed


def build_fastapi(container: Container) -> FastAPI:
    """Return the management routes, the metrics and the documentation."""
    app = DocumentedFastAPI(
        title="Slipstream",
        version=SERVER_VERSION,
        description=DESCRIPTION,
        openapi_tags=TAGS,
        webhooks=webhook_events,
        generate_unique_id_function=operation_id,
        redirect_slashes=False,
        openapi_url=None,  # _add_docs: FastAPI's own route builds the document on the event loop
        docs_url=None,
        redoc_url=None,
    )
    app.named_schemas = node_schemas()
    app.security_schemes = SECURITY_SCHEMES
    app.state.services = _services(container)
    for router in (
        trigger,
        drafts,
        flows,
        flow_revisions,
        deployments,
        deployment_versions,
        rollouts,
        deployment_examples,
        rehearsals,
        call_watches,
        calls,
        live_updates,
        inference_servers,
        registrations,
        hosts,
        system,
        models,
        model_starters,
        api_keys,
        runs,
        named_runs,
        webhooks,
        sessions,
        users,
        usage,
        audit,
        search,
        oip,
        probes,
        problems,
        console,
        pages,
    ):
        # Not `include_router`, which builds each route again: 0.1 s of every start.
        app.router.routes.extend(router.routes)
    app.state.container = container
    app.router.routes.extend(operations.routes)
    app.mount("/docs/assets", StaticFiles(directory=swagger_ui_path))
    FastApiErrorHandlers(app, private=_SECRET_PATHS)
    return app


def _services(container: Container) -> dict[type[object], object]:
    """Return the objects that routes find by their class, see `gateway.dependencies`."""
    services, cleanup = container.services, container.execution.cleanup
    objects = (
        container.settings,
        UserStorageService(container.db),
        RowNames(container.db),
        container.authentication,
        container.limits,
        container.proxies,
        container.metrics_access,
        container.login,
        container.setup,
        container.invitations,
        container.console,
        container.sessions,
        container.runs,
        container.run_stream_places,
        container.flow_tests,
        container.rehearsals,
        container.servers,
        container.hosts,
        container.processes,
        container.system,
        container.model_summaries,
        container.webhooks,
        container.call_watches,
        container.live_updates,
        services.flows,
        services.draft_checks,
        services.flow_processes,
        services.flow_revisions,
        services.flow_summaries,
        services.deployments,
        services.rollouts,
        services.planner,
        services.advice,
        services.examples,
        services.versions,
        services.fleet,
        services.registrations,
        services.models,
        services.model_graphs,
        services.keys,
        services.users,
        services.invitations,
        services.usage,
        services.calls,
        services.audit,
        services.search,
    )
    by_class: dict[type[object], object] = {type(one): one for one in objects}
    return {**by_class, RunCanceller: cleanup, UserRunCanceller: cleanup}


@operations.get(
    "/metrics",
    operation_id="get_metrics",
    tags=["Operations"],
    response_class=Response,
    responses=_EXPOSITION,
    dependencies=[Depends(metrics_reader)],
)
async def metrics(request: Request) -> Response:
    """Everything that is measured, over all gateway processes, for Prometheus."""
    container: Container = request.app.state.container
    container.accounting.drain()
    names = await read_deployment_info(
        container.db, max_series=container.settings.metrics_max_series
    )
    collectors = [*container.metric_collectors(), names]
    form = accepted_format(request.headers.get("accept", ""))
    body = await anyio.to_thread.run_sync(render, collectors, form)
    return Response(body, media_type=form.content_type, headers={"vary": "accept"})


@operations.get("/metrics/targets", tags=["Operations"], dependencies=[Depends(metrics_reader)])
async def targets(
    request: Request,
    kind: Annotated[
        tuple[TargetKind, ...],
        Query(description="What to list, several by repetition; gateways only if they are named."),
    ] = SERVERS,
) -> list[dict[str, object]]:
    """The own metrics of processes on all hosts, for Prometheus' HTTP service discovery.

    Without those that the reader cannot reach: of those that listen on loopback only, it gets
    those of its own machine, if it is that of this gateway. While the database is away, what was
    read last, for an hour.
    """
    container: Container = request.app.state.container
    peer = request.client.host if request.client else ""
    address, _ = request.scope.get("server") or (None, None)
    is_local = container.metrics_access.is_local(peer, request.scope["headers"], address)
    return await container.scrape_targets.find(kind, is_local=is_local)


@operations.get("/openapi.json", include_in_schema=False)
def document(request: Request) -> JSONResponse:  # in a thread: it is slow the first time
    """The OpenAPI document."""
    return JSONResponse(request.app.openapi())


@operations.get("/docs", include_in_schema=False)
async def docs() -> HTMLResponse:
    """Swagger UI."""
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
