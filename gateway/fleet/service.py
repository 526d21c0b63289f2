"""Requests for inference servers: by model version, or by the flow that uses one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Unpack

from gateway.errors import GatewayError
from gateway.fleet.store import FleetStore, ServerSettings
from gateway.storage.tables import InferenceServer
from protos.errors import ErrorCode

ResolveVersion = Callable[[str, str], Awaitable[int]]
"""(model, `latest`, a number or a label) → version; raises NOT_FOUND."""
ListFlowModels = Callable[[str, str], Awaitable[Sequence[tuple[str, str]]]]
"""(profile id, flow id) → (model, version as written) of each inference node; raises NOT_FOUND."""


class InferenceServerService:
    """Turns requests for a model or a flow into rows of the fleet."""

    def __init__(
        self, store: FleetStore, resolve_version: ResolveVersion, list_flow_models: ListFlowModels
    ) -> None:
        self.store = store
        self._resolve_version = resolve_version
        self._list_flow_models = list_flow_models

    async def serve_model(
        self, model: str, version: str = "latest", **settings: Unpack[ServerSettings]
    ) -> InferenceServer:
        """Request that a server for the model version runs.

        For one that runs already, only the given `settings` change.

        Raises:
            GatewayError: NOT_FOUND if the model store has no such version.
        """
        number = await self._resolve_version(model, version)
        return await self.store.ensure_running(model, number, **settings)

    async def serve_flow(
        self, profile_id: str, flow_id: str, **settings: Unpack[ServerSettings]
    ) -> InferenceServer:
        """Do the same for the model of a flow, in the version that it refers to now.

        Raises:
            GatewayError: NOT_FOUND for the flow or its model; INVALID_FLOW if it uses no model, or
                several.
        """
        models = set(await self._list_flow_models(profile_id, flow_id))
        found = {(name, await self._resolve_version(name, spec)) for name, spec in models}
        if len(found) != 1:
            listed = ", ".join(sorted(f"{name} {version}" for name, version in found)) or "none"
            message = f"expected a flow with one model, this one has {listed}"
            raise GatewayError(ErrorCode.INVALID_FLOW, f"{message}: send `model` and `version`")
        model, version = found.pop()
        return await self.store.ensure_running(model, version, flow_id=flow_id.lower(), **settings)
