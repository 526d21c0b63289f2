"""Reports requests for watched deployments that are no calls: with another method than POST."""

from __future__ import annotations

import orjson

from gateway.auth.proxies import TrustedProxies
from gateway.call_watches.watches import DeploymentWatches
from gateway.deployments.deployment_cache import DeploymentCache
from gateway.fast_path.url import NAMED_RUN, PREFIXES, leading_deployment_in
from gateway.web.asgi import App, Message, Receive, Scope, Send

_NO_CALLS = frozenset({"OPTIONS"})
"""A browser's question before a call."""


class WatchedRequests:
    """Before `app`; does nothing while no deployment is watched."""

    def __init__(
        self,
        app: App,
        watches: DeploymentWatches,
        proxies: TrustedProxies,
        deployments: DeploymentCache,
    ) -> None:
        self._app = app
        self._deployments = deployments
        self._watches = watches
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        watched = self._watches.deployments
        path: str = scope["path"]
        if (
            not watched
            or not path.startswith(PREFIXES)
            or scope["method"] in _NO_CALLS
            or NAMED_RUN.fullmatch(path)
        ):
            await self._app(scope, receive, send)
            return
        named = leading_deployment_in(path)
        await self._deployments.origins(named)  # so that the id at an address is cached
        deployment_id = self._deployments.id_of(named)
        if deployment_id not in watched:
            await self._app(scope, receive, send)
            return
        answer = _Answer(send)
        await self._app(scope, receive, answer.send)
        code, message = answer.problem()
        peer = scope["client"]
        self._watches.take_other(
            deployment_id,
            dict(scope["headers"]),
            status=answer.status,
            code=code,
            message=message,
            address=self._proxies.client(peer[0] if peer else "", scope["headers"]),
        )


class _Answer:
    """Passes an answer on, and keeps what a problem says."""

    def __init__(self, send: Send) -> None:
        self.status = 0
        self._send = send
        self._body = b""

    async def send(self, message: Message) -> None:
        """Pass on a part of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif not self._body:
            self._body = message.get("body", b"")
        await self._send(message)

    def problem(self) -> tuple[str | None, str]:
        """Return code and message of the problem, if the answer is one."""
        try:
            found = orjson.loads(self._body)
            return str(found["code"]), str(found["message"])
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return None, ""
