"""Starts the inference servers of a fast deployment's new version before it goes live."""

from __future__ import annotations

import asyncio
import time

from gateway.deployments.settings import ExecutionMode
from gateway.deployments.snapshots import models_of
from gateway.errors import GatewayError
from gateway.fleet.states import State
from gateway.fleet.store import FleetStore
from gateway.storage.tables import Deployment, DeploymentVersion, InferenceServer
from protos.errors import ErrorCode

_READY_TIMEOUT_SECONDS = 30.0
"""Longer than most models take to load, and shorter than common client and proxy timeouts."""
_CONNECT_SECONDS = 0.8
"""Until every gateway is connected to a new server: the change feed takes up to 0.3 s, and where
there are many servers, a gateway waits for another 0.3 before it reads them again."""
_POLL_SECONDS = 0.05


class ServerPreparation:
    """Starts inference servers, and waits for them if the live version is serving calls.

    The new version then goes live only when its server is ready, so that no call meets a booting
    server, and a model that cannot be loaded changes nothing.
    """

    def __init__(
        self,
        fleet: FleetStore,
        *,
        ready_timeout: float = _READY_TIMEOUT_SECONDS,
        connect_seconds: float = _CONNECT_SECONDS,
    ) -> None:
        self._fleet = fleet
        self._ready_timeout = ready_timeout
        self._connect_seconds = connect_seconds

    async def prepare(
        self,
        deployment: Deployment,
        live: DeploymentVersion,
        following: DeploymentVersion,
        *,
        always: bool = False,
    ) -> None:
        """Wait until `following` can replace `live`. Only for mode fast.

        With `always`, also if `live` is not serving calls.

        Raises:
            GatewayError: INFERENCE_SERVER_BOOTING after a timeout, while the server continues to
                boot; INFERENCE_SERVER_FAILED with the reason.
        """
        if deployment.execution_mode != ExecutionMode.FAST:
            return
        wanted = [
            await self._fleet.ensure_running(model, version, flow_id=deployment.flow_id)
            for model, version in sorted(models_of(following))
        ]
        waiting = [server for server in wanted if server.state != State.READY]
        if not waiting or not (always or await self._is_serving(models_of(live))):
            return
        deadline = time.monotonic() + self._ready_timeout
        for server in waiting:
            await self._until_ready(server, deadline)
        await asyncio.sleep(self._connect_seconds)

    async def _is_serving(self, models: set[tuple[str, int]]) -> bool:
        ready = {
            (server.model, server.version)
            for server in await self._fleet.desired_running()
            if server.state == State.READY
        }
        return bool(models & ready)

    async def _until_ready(self, server: InferenceServer, deadline: float) -> None:
        title = f"the inference server for '{server.model}' {server.version}"
        while True:
            seen = await self._fleet.get(server.id)
            if seen.state == State.READY:
                return
            # A server that failed before is still `failed` until its new process starts.
            stale = server.state == State.FAILED and seen.started_at == server.started_at
            if seen.state == State.FAILED and not stale:
                message = f"{title} cannot load its model ({seen.reason}): nothing was changed"
                raise GatewayError(ErrorCode.INFERENCE_SERVER_FAILED, message)
            if time.monotonic() > deadline:
                message = f"{title} is still {seen.phase or seen.state}: nothing was changed"
                raise GatewayError(
                    ErrorCode.INFERENCE_SERVER_BOOTING,
                    f"{message}; retry when it is ready",
                    retry_after=self._ready_timeout,
                )
            await asyncio.sleep(_POLL_SECONDS)
