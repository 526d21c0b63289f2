"""The features behind HTTP, in the smallest real application that holds them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError

import gateway.auth.router
import gateway.deployments.router
import gateway.fleet.router
import gateway.flows.router
import gateway.models.router
from gateway.auth.access import Access
from gateway.auth.authenticator import Authenticator
from gateway.auth.identity import Scope
from gateway.auth.keys import KeyHasher
from gateway.auth.service import ApiKeyService
from gateway.deployments.directory import Directory
from gateway.deployments.service import DeploymentService
from gateway.errors import GatewayError
from gateway.fleet.service import FleetService
from gateway.fleet.store import FleetStore
from gateway.flows.service import FlowService
from gateway.models.service import ModelService
from gateway.storage.changes import ChangeFeed
from gateway.storage.database import Database
from gateway.storage.tables import Profile
from gateway.web.problems import problem
from model_store.store import Store
from model_store.verification import Verifier
from protos.errors import ErrorCode

PEPPER = b"a pepper for tests, not for use"


class Office:
    """Services and routers on one database, and a client for each user that a test needs."""

    def __init__(self, db: Database, store: Store, verifier: Verifier) -> None:
        self.db = db
        self.feed = ChangeFeed(db, interval=60)  # hears of its own writes at once
        hasher = KeyHasher(PEPPER)
        self.authenticator = Authenticator(db, hasher, self.feed)
        self.directory = Directory(db, self.feed)
        self.keys = ApiKeyService(db, hasher)
        self.flows = FlowService(db)
        self.models = ModelService(db, store, verifier)
        self.fleet = FleetService(FleetStore(db), self.models, self.flows)
        self.deployments = DeploymentService(db, self.keys, self.models)
        self.app = self._build_app()

    @classmethod
    @asynccontextmanager
    async def open(cls, db: Database, store: Store, verifier: Verifier) -> AsyncIterator[Office]:
        """Open the office with its change feed running."""
        office = cls(db, store, verifier)
        office.feed.start()
        try:
            yield office
        finally:
            await office.feed.stop()

    async def user(self, email: str = "ada@example.com") -> httpx.AsyncClient:
        """Return a client with the `manage` key of a new user; `profile_id` is in its headers."""
        profile = Profile(email=email, role="admin")
        async with self.db.write() as session:
            session.add(profile)
        issued = await self.keys.create(profile.id, name="manager", scope=Scope.MANAGE)
        return self.client({"x-api-key": issued.plain, "x-test-profile": profile.id})

    def client(self, headers: dict[str, str]) -> httpx.AsyncClient:
        """Return a client that sends `headers`."""
        transport = httpx.ASGITransport(app=self.app)
        return httpx.AsyncClient(transport=transport, base_url="http://office", headers=headers)

    def _build_app(self) -> FastAPI:
        access = Access(self.authenticator)
        app = FastAPI()
        app.include_router(gateway.auth.router.build_router(self.keys, access))
        app.include_router(gateway.flows.router.build_router(self.flows, access))
        app.include_router(gateway.models.router.build_router(self.models, access))
        app.include_router(gateway.fleet.router.build_router(self.fleet, access))
        app.include_router(gateway.deployments.router.build_router(self.deployments, access))
        app.add_exception_handler(GatewayError, _answer)
        app.add_exception_handler(RequestValidationError, _answer)
        return app


async def _answer(_: Request, error: Exception) -> Response:
    if not isinstance(error, GatewayError):
        error = GatewayError(ErrorCode.VALIDATION_FAILED, str(error))
    status, headers, body = problem(error, b"req_test")
    decoded = {name.decode(): value.decode() for name, value in headers}
    return Response(body, status, decoded)


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
