"""Hands runs to whoever executes them: this process, or a worker by way of the broker."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.broker.broker import Broker
from gateway.broker.publisher import Publisher
from gateway.broker.queues import Queue
from gateway.broker.wake_file import WakeFile
from gateway.deployments.settings import DeploymentType, ExecutionMode
from gateway.execution.pool import RunPool
from gateway.runs.run import CreatedRun


class RunLauncher:
    """Never blocks and never fails: a run that is not taken is found by the sweep."""

    def __init__(self, pool: RunPool, broker: Broker, *, wake_file: WakeFile) -> None:
        self.publisher = Publisher(broker, self._published, wake_file=wake_file)
        self._pool = pool
        self._launched: list[str] = []

    def initial_owner(self, deployment_type: DeploymentType, mode: ExecutionMode) -> str | None:
        """Return who shall hold a run that is about to be created; None: it is queued first.

        Where there is room in this process, that saves the claim of a run that somebody waits for.
        """
        here = deployment_type is DeploymentType.SERVER and mode is ExecutionMode.SYNC
        return self._pool.owner if here and self._pool.has_room(mode) else None

    def launch_created(self, created: CreatedRun) -> None:
        """Have a run executed that was created just now."""
        run = created.run
        if created.claim is not None:
            self._pool.begin(created.claim)
        else:
            self.launch(run.id, run.type, run.mode)

    def launch(self, run_id: str, deployment_type: DeploymentType, mode: ExecutionMode) -> None:
        """Have a queued run executed soon."""
        if deployment_type is DeploymentType.SERVER:
            self._pool.submit(run_id, mode)
            self._launched.append(run_id)
        else:
            queue = Queue.SYNC if mode is ExecutionMode.SYNC else Queue.ASYNC
            self.publisher.publish(run_id, queue)

    def take_launched(self) -> list[str]:
        """Return the runs that have been handed over since the last call."""
        ids, self._launched = self._launched, []
        return ids

    def _published(self, run_ids: Sequence[str]) -> None:
        self._launched.extend(run_ids)
