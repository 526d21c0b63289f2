"""Requests for inference servers, by what a user may do with their models."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Unpack

from sqlalchemy import select

from gateway.auth.model_access import load_model_user, not_yours
from gateway.errors import GatewayError
from gateway.fleet.server_logs import ReplicaLines, ServerLogStore
from gateway.fleet.store import FleetStore, ServerSettings, unknown_server
from gateway.storage.database import Database
from gateway.storage.paging import Page, PageRequest
from gateway.storage.tables import InferenceServer, Model
from protos.errors import ErrorCode

ResolveVersion = Callable[[str | None, str, str], Awaitable[int]]
"""(profile id, model, `latest`, a number or a label) → version; raises NOT_FOUND."""
ListFlowModels = Callable[[str, str], Awaitable[Sequence[tuple[str, str]]]]
"""(profile id, flow id) → (model, version as written) of each inference node; raises NOT_FOUND."""
ListDeploymentModels = Callable[[str, str], Awaitable[Collection[tuple[str, int]]]]
"""(profile id, deployment id) → what its live version calls; raises NOT_FOUND or GONE."""


class InferenceServerService:
    """The inference servers of the models that a user may use, see `auth/model_access.py`.

    `profile_id` is the user's; None is the operator. Users start servers; who manages a model also
    stops, changes and deletes them. The server of a model that a user may not use is answered like
    one that does not exist.
    """

    def __init__(
        self,
        db: Database,
        store: FleetStore,
        resolve_version: ResolveVersion,
        list_flow_models: ListFlowModels,
        list_deployment_models: ListDeploymentModels,
    ) -> None:
        self.store = store
        self.server_logs = ServerLogStore(db)
        self._db = db
        self._resolve_version = resolve_version
        self._list_flow_models = list_flow_models
        self._list_deployment_models = list_deployment_models

    async def page(self, profile_id: str | None, request: PageRequest) -> Page[InferenceServer]:
        """Return a page of the servers, newest first."""
        async with self._db.read() as session:
            user = await load_model_user(session, profile_id)
        return await self.store.page(user, request)

    async def get(self, profile_id: str | None, server_id: str) -> InferenceServer:
        """Return one server, or raise NOT_FOUND."""
        return await self._find(profile_id, server_id, manages=False)

    async def managed(
        self, profile_id: str | None, servers: Iterable[InferenceServer]
    ) -> frozenset[str]:
        """Return the models of these servers that the user manages."""
        names = {server.model for server in servers}
        async with self._db.read() as session:
            user = await load_model_user(session, profile_id)
            found = await session.scalars(select(Model).where(Model.name.in_(names)))
            rows = {row.name: row for row in found}
        return frozenset(name for name in names if user.may_manage(rows.get(name)))

    async def logs(self, profile_id: str | None, server_id: str) -> Sequence[ReplicaLines]:
        """Return the last lines of a server's log; raise NOT_FOUND or ROLE_FORBIDDEN.

        They are for those who manage the model: they name files of the machine.
        """
        server = await self._find(profile_id, server_id, manages=True)
        return await self.server_logs.read(server.id)

    async def start(self, profile_id: str | None, server_id: str) -> InferenceServer:
        """Set the desired state to running; start one that failed again. Raises NOT_FOUND."""
        await self._find(profile_id, server_id, manages=False)
        return await self.store.start(server_id)

    async def stop(self, profile_id: str | None, server_id: str) -> InferenceServer:
        """Set the desired state to stopped; raise NOT_FOUND or ROLE_FORBIDDEN."""
        await self._find(profile_id, server_id, manages=True)
        return await self.store.stop(server_id)

    async def change(
        self, profile_id: str | None, server_id: str, **settings: Unpack[ServerSettings]
    ) -> InferenceServer:
        """Change the settings of a server; raise NOT_FOUND or ROLE_FORBIDDEN."""
        await self._find(profile_id, server_id, manages=True)
        return await self.store.change(server_id, **settings)

    async def delete(self, profile_id: str | None, server_id: str) -> None:
        """Stop a server and delete its row; raise NOT_FOUND or ROLE_FORBIDDEN."""
        await self._find(profile_id, server_id, manages=True)
        await self.store.delete(server_id)

    async def serve_model(
        self,
        profile_id: str | None,
        model: str,
        version: str = "latest",
        **settings: Unpack[ServerSettings],
    ) -> InferenceServer:
        """Request that a server for the model version runs.

        For one that runs already, only the given `settings` change.

        Raises:
            GatewayError: NOT_FOUND if there is no such version; ROLE_FORBIDDEN for `settings` of a
                model that the user does not manage.
        """
        number = await self._resolve_version(profile_id, model, version)
        await self._check_settings(profile_id, model, settings)
        return await self.store.ensure_running(model, number, **settings)

    async def serve_flow(
        self, profile_id: str, flow_id: str, **settings: Unpack[ServerSettings]
    ) -> InferenceServer:
        """Do the same for the model of a flow, in the version that it refers to now.

        Raises:
            GatewayError: NOT_FOUND for the flow or its model; INVALID_FLOW if it uses no model, or
                several; ROLE_FORBIDDEN as `serve_model`.
        """
        models = await self._list_flow_models(profile_id, flow_id)
        model, version = await self._only_model(profile_id, "flow", models)
        await self._check_settings(profile_id, model, settings)
        return await self.store.ensure_running(model, version, flow_id=flow_id.lower(), **settings)

    async def serve_deployment(
        self, profile_id: str, deployment_id: str, **settings: Unpack[ServerSettings]
    ) -> InferenceServer:
        """Do the same for the model version of a deployment's live version.

        Raises:
            GatewayError: NOT_FOUND for the deployment or its model; GONE for the deployment;
                INVALID_FLOW if it calls no model, or several; ROLE_FORBIDDEN as `serve_model`.
        """
        pinned = await self._list_deployment_models(profile_id, deployment_id)
        models = [(model, str(version)) for model, version in pinned]
        model, version = await self._only_model(profile_id, "deployment", models)
        await self._check_settings(profile_id, model, settings)
        return await self.store.ensure_running(model, version, **settings)

    async def _find(
        self, profile_id: str | None, server_id: str, *, manages: bool
    ) -> InferenceServer:
        """Return a server whose model the user may use or, with `manages`, manages."""
        server = await self.store.get(server_id)
        async with self._db.read() as session:
            user = await load_model_user(session, profile_id)
            model = await session.get(Model, server.model)
        if not user.may_use(model):
            raise unknown_server(server_id)
        if manages and not user.may_manage(model):
            raise not_yours(server.model)
        return server

    async def _only_model(
        self, profile_id: str, noun: str, models: Iterable[tuple[str, str]]
    ) -> tuple[str, int]:
        """Return the one model version that `models` of a flow or a deployment lead to."""
        found = {
            (name, await self._resolve_version(profile_id, name, spec)) for name, spec in models
        }
        if len(found) != 1:
            listed = ", ".join(sorted(f"{name} {version}" for name, version in found)) or "none"
            advice = ": serve each by its name and version" if found else ""
            message = f"expected a {noun} with one model, this one has {listed}{advice}"
            raise GatewayError(ErrorCode.INVALID_FLOW, message)
        return found.pop()

    async def _check_settings(
        self, profile_id: str | None, model: str, settings: ServerSettings
    ) -> None:
        if not settings:
            return
        async with self._db.read() as session:
            user = await load_model_user(session, profile_id)
            if not user.may_manage(await session.get(Model, model)):
                raise not_yours(model)
