"""Asking for inference servers: by model version, or by the flow that needs one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, Unpack

from gateway.errors import GatewayError
from gateway.fleet.store import FleetStore, ServerSettings
from gateway.storage.tables import InferenceServer
from protos.errors import ErrorCode


class Models(Protocol):
    """Where versions are looked up."""

    async def resolve(self, name: str, spec: str) -> int:
        """Return the version that `latest`, a number or a label means, or raise NOT_FOUND."""


class Flows(Protocol):
    """Where it is looked up what a flow asks."""

    async def models_of(self, profile_id: str, flow_id: str) -> Sequence[tuple[str, str]]:
        """Return (model, version as written) of each node that asks a model, or raise NOT_FOUND."""


class FleetService:
    """Makes wishes of `{"model", "version"}` and of `{"flow_id"}` rows of the fleet."""

    def __init__(self, store: FleetStore, models: Models, flows: Flows) -> None:
        self.store = store
        self._models = models
        self._flows = flows

    async def serve_model(
        self, model: str, version: str = "latest", **settings: Unpack[ServerSettings]
    ) -> InferenceServer:
        """Let an inference server for the model version run.

        For one that runs already nothing changes but the `settings` that are given.

        Raises:
            GatewayError: NOT_FOUND where the model store has no such version.
        """
        return await self.store.want(model, await self._models.resolve(model, version), **settings)

    async def serve_flow(
        self, profile_id: str, flow_id: str, **settings: Unpack[ServerSettings]
    ) -> InferenceServer:
        """Let the inference server that a flow asks run, for the version that it means now, alike.

        Raises:
            GatewayError: NOT_FOUND for the flow or its model; INVALID_FLOW where it asks no
                model, or several.
        """
        asked = set(await self._flows.models_of(profile_id, flow_id))
        found = {(name, await self._models.resolve(name, spec)) for name, spec in asked}
        if len(found) != 1:
            listed = ", ".join(sorted(f"{name} {version}" for name, version in found)) or "none"
            message = f"expected a flow that asks one model, this one asks {listed}"
            raise GatewayError(ErrorCode.INVALID_FLOW, f"{message}: give `model` and `version`")
        model, version = found.pop()
        return await self.store.want(model, version, flow_id=flow_id.lower(), **settings)
