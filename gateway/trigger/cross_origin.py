"""CORS for calls of deployments and for their runs, as each deployment allows it."""

from __future__ import annotations

import re
from collections.abc import Collection

from gateway.deployments.deployment_cache import DeploymentCache
from gateway.fast_path.url import NAMED_PREFIX, NAMED_RUN, PREFIX
from gateway.runs.queries import RunDeployments
from gateway.web.asgi import App, Message, Receive, Scope, Send, send_answer
from gateway.web.cors import cors_headers, preflight

_RUN = re.compile(r"/node/flow-runs/(?P<run>[^/]+)(?:/(?P<verb>events|cancel|retry))?/?")
_TRIGGER = re.compile(
    rf"(?:{PREFIX}(?P<id>[^/]+)|{NAMED_PREFIX}(?P<address>[^/]+/[^/]+))(?:/batch)?/?"
)


class CrossOriginMiddleware:
    """Before `app`: answers preflight requests, and adds CORS headers to responses.

    Requests for anything else, and for deployments that allow no origins, pass unchanged: without
    CORS headers a browser shows nothing to the page.
    """

    def __init__(self, app: App, deployment_cache: DeploymentCache, runs: RunDeployments) -> None:
        self._app = app
        self._deployment_cache = deployment_cache
        self._runs = runs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        origin = headers.get(b"origin")
        origins = None if origin is None else await self._origins(scope["path"])
        if origins is None:
            await self._app(scope, receive, send)
        elif scope["method"] == "OPTIONS" and b"access-control-request-method" in headers:
            methods = b"POST" if _TRIGGER.fullmatch(scope["path"]) else b"GET, POST"
            await send_answer(send, preflight(origins, origin, methods))
        else:
            granted = cors_headers(origins, origin)

            async def send_to_page(message: Message) -> None:
                if message["type"] == "http.response.start":
                    message["headers"] = [*message.get("headers", ()), *granted]
                await send(message)

            await self._app(scope, receive, send_to_page)

    async def _origins(self, path: str) -> Collection[bytes] | None:
        if called := _TRIGGER.fullmatch(path):
            return await self._deployment_cache.origins(called["id"] or called["address"])
        if polled := NAMED_RUN.fullmatch(path):
            return await self._deployment_cache.origins(polled["deployment"])
        if seen := _RUN.fullmatch(path):
            deployment_id = await self._runs.deployment_of(seen["run"])
            if deployment_id is not None:
                return await self._deployment_cache.origins(deployment_id)
        return None
