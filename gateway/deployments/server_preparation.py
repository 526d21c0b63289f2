"""Starts the inference servers of a deployment's new version before it goes live."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Set

from gateway.deployments.settings import ExecutionMode
from gateway.deployments.snapshots import models_of
from gateway.errors import GatewayError
from gateway.fleet.states import NeededBy, State
from gateway.fleet.store import FleetStore
from gateway.storage.tables import Deployment, DeploymentVersion, InferenceServer, Replica
from protos.errors import ErrorCode

_READY_TIMEOUT_SECONDS = 30.0
"""Longer than most models take to load, and shorter than common client and proxy timeouts."""
_CONNECT_SECONDS = 0.8
"""Until every gateway is connected to a new server: the change feed takes up to 0.3 s, and where
there are many servers, a gateway waits for another 0.3 before it reads them again."""
_POLL_SECONDS = 0.05

_ModelVersion = tuple[str, int]


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
        """Wait until `following` can replace `live`, with as many replicas.

        With `always`, also if `live` is not serving calls. In the modes sync and async, where users
        start the servers, only if hosts run all those of `live`.

        Raises:
            GatewayError: INFERENCE_SERVER_BOOTING after a timeout, while the server continues to
                boot; INFERENCE_SERVER_FAILED, with the reason for those who manage the model.
        """
        pinned, wanted = models_of(live), models_of(following)
        if not wanted:
            return
        running = await self._ready(pinned)
        are_hosted = bool(running) and running.keys() == pinned and all(running.values())
        if deployment.execution_mode != ExecutionMode.FAST and not are_hosted:
            return
        servers = [
            await self._fleet.ensure_running(
                *server,
                flow_id=deployment.flow_id,
                at_least=_replaced(running, wanted, server),
                by=NeededBy.DEPLOYMENT,
            )
            for server in sorted(wanted - running.keys())
        ]
        has_hosts = await self._fleet.has_hosts()
        waiting = [server for server in servers if not _is_warm(server, has_hosts=has_hosts)]
        if not waiting or not (always or running):
            return
        deadline = time.monotonic() + self._ready_timeout
        for server in waiting:
            await self._until_warm(
                server, deadline, has_hosts=has_hosts, profile_id=deployment.profile_id
            )
        await asyncio.sleep(self._connect_seconds)

    async def _ready(self, models: Set[_ModelVersion]) -> dict[_ModelVersion, int]:
        """Return those of `models` whose servers are ready, and how many replicas hosts run."""
        servers = await self._fleet.desired_running()
        ready = {
            (server.model, server.version): server.replica_count
            for server in servers
            if server.state == State.READY
        }
        return {model: ready[model] for model in models & ready.keys()}

    async def _until_warm(
        self, server: InferenceServer, deadline: float, *, has_hosts: bool, profile_id: str
    ) -> None:
        title = f"the inference server for '{server.model}' {server.version}"
        while True:
            seen = await self._fleet.get(server.id)
            is_late = time.monotonic() > deadline
            if _is_warm(seen, has_hosts=has_hosts) or (is_late and seen.state == State.READY):
                return
            # A server that failed before is still `failed` until its new process starts.
            stale = server.state == State.FAILED and seen.started_at == server.started_at
            if seen.state == State.FAILED and not stale:
                manages = await self._fleet.is_managed_by(profile_id, server.model)
                reason = f" ({seen.reason})" if manages else ""
                message = f"{title} cannot load its model{reason}: nothing was changed"
                raise GatewayError(ErrorCode.INFERENCE_SERVER_FAILED, message)
            if is_late:
                message = f"{title} is still {seen.phase or seen.state}: nothing was changed"
                raise GatewayError(
                    ErrorCode.INFERENCE_SERVER_BOOTING,
                    f"{message}; retry when it is ready",
                    retry_after=self._ready_timeout,
                )
            await asyncio.sleep(_POLL_SECONDS)


def _replaced(
    running: Mapping[_ModelVersion, int], wanted: Set[_ModelVersion], server: _ModelVersion
) -> int:
    """Return the most replicas of a version of that model which is no longer wanted."""
    counts = [
        count
        for version, count in running.items()
        if version[0] == server[0] and version not in wanted
    ]
    return max(counts, default=0)


def _is_warm(server: InferenceServer, *, has_hosts: bool) -> bool:
    """Whether a replica is ready, and no other one is about to be."""
    coming = (_is_coming(replica, has_hosts=has_hosts) for replica in server.replicas)
    return server.state == State.READY and not any(coming)


def _is_coming(replica: Replica, *, has_hosts: bool) -> bool:
    """Whether a replica boots or waits for a host; with a reason, no host can take it."""
    waits = has_hosts and replica.state == State.STOPPED and replica.reason is None
    return waits or replica.state == State.BOOTING
