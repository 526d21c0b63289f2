"""The real gateway in this process, with clients for the users that a test needs."""

from __future__ import annotations

from typing import Any

import httpx

from gateway.app import Gateway, build_fastapi
from gateway.auth.identity import Scope
from gateway.auth.key_authenticator import KeyAuthenticator
from gateway.container import Container
from gateway.deployments.deployment_cache import DeploymentCache
from gateway.settings import Settings
from gateway.storage.audit_events import ACTOR, SYSTEM
from gateway.storage.tables import Profile
from gateway.web.asgi import App

DEPLOYMENTS = "/node/deployments/"
HERE = "127.0.0.1"
"""The address that requests come from, where it does not matter."""
_DOCUMENT: dict[str, Any] = {}


def openapi_document(container: Container) -> dict[str, Any]:
    """Return the OpenAPI document, of which all gateways have the same: it takes a second once.

    Any, because it is JSON.
    """
    if not _DOCUMENT:
        _DOCUMENT.update(build_fastapi(container).openapi())
    return _DOCUMENT


class InProcessGateway:
    """A gateway that is built and not started.

    Its feed does not run: a test that wants caches to hear of a write polls it.
    """

    def __init__(self, settings: Settings) -> None:
        self._container = Container(settings)
        self._gateway: App = Gateway(self._container)
        self.db = self._container.db
        self.feed = self._container.feed
        self.services = self._container.services
        self.authenticator = KeyAuthenticator(self.db, self.services.hasher, self.feed)
        self.deployment_cache = DeploymentCache(self.db, self.feed)

    async def user(self, email: str = "ada@example.com") -> httpx.AsyncClient:
        """Return a client with the `manage` key of a new user; `profile_id` is in its headers."""
        ACTOR.set(SYSTEM)  # a request that a test has sent leaves its own in the test's task
        profile = Profile(email=email, role="admin")
        async with self.db.write() as session:
            session.add(profile)
        issued = await self.services.keys.create(profile.id, name="manager", scope=Scope.MANAGE)
        return self.client({"x-api-key": issued.plain, "x-test-profile": profile.id})

    def client(self, headers: dict[str, str]) -> httpx.AsyncClient:
        """Return a client that sends `headers`."""
        transport = httpx.ASGITransport(app=self._gateway)
        return httpx.AsyncClient(transport=transport, base_url="http://office", headers=headers)

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document: Any, because it is JSON."""
        return openapi_document(self._container)

    async def close(self) -> None:
        """End the child processes, and give back the database's connections."""
        await self.services.flow_processes.close()
        await self._container.parser.close()
        await self.db.close()


def here() -> str:
    """Return HERE."""
    return HERE


def flow_json(model: str = "mlp", version: str = "latest", **config: Any) -> dict[str, Any]:
    """Return a flow that asks `model` once: Any, because it is JSON."""
    inference = {"model": model, "version": version, **config}
    return {
        "name": "Iris classifier",
        "nodes": [
            {"id": "input", "type": "api_input", "config": {"test_data": {"x": [[1, 2, 3, 4]]}}},
            {"id": "model", "type": "inference", "config": inference},
            {"id": "output", "type": "api_output", "config": {}},
        ],
        "edges": [
            {"source": "input", "target": "model"},
            {"source": "model", "target": "output"},
        ],
    }


async def deploy(user: httpx.AsyncClient, flow: dict[str, Any], **settings: Any) -> dict[str, Any]:
    """Save a flow, deploy it, and return the answer, with its status as `http`. Any: JSON."""
    saved = (await user.post("/node/flows/", json=flow)).json()
    answer = await user.post(DEPLOYMENTS, json={"flow_id": saved["id"], **settings})
    return {**answer.json(), "http": answer.status_code}
