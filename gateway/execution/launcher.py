"""Hands runs to an executor: in this process, or through the broker to a worker."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.broker.broker import Broker, Queue
from gateway.broker.publisher import Publisher
from gateway.broker.worker_files import WakeFile
from gateway.deployments.settings import DeploymentType, ExecutionMode
from gateway.execution.pool import RunPool
from gateway.runs.run import CreatedRun


def queue_of(mode: ExecutionMode) -> Queue:
    """Return the queue for runs of a mode."""
    return Queue.SYNC if mode is ExecutionMode.SYNC else Queue.ASYNC


class RunLauncher:
    """Never blocks and never raises: the sweep finds runs that did not reach an executor."""

    def __init__(self, pool: RunPool, broker: Broker, *, wake_file: WakeFile) -> None:
        self.publisher = Publisher(broker, self._published, wake_file=wake_file)
        self._pool = pool
        self._launched: list[str] = []

    def initial_owner(self, deployment_type: DeploymentType, mode: ExecutionMode) -> str | None:
        """Return the lease owner to create a run with; None: create it queued.

        If this process has room, a sync run is created and claimed in one statement.
        """
        here = deployment_type is DeploymentType.SERVER and mode is ExecutionMode.SYNC
        return self._pool.owner if here and self._pool.has_room(mode) else None

    def launch_created(self, created: CreatedRun) -> None:
        """Hand over a run that was just created."""
        run = created.run
        if created.claim is not None:
            self._pool.begin(created.claim)
        else:
            self.launch(run.id, run.type, run.mode)

    def launch(self, run_id: str, deployment_type: DeploymentType, mode: ExecutionMode) -> None:
        """Hand over a queued run."""
        if deployment_type is DeploymentType.SERVER:
            self._pool.submit(run_id, mode)
            self._launched.append(run_id)
        else:
            self.publisher.publish(run_id, queue_of(mode))

    def take_launched(self) -> list[str]:
        """Return the runs handed over since the last call."""
        ids, self._launched = self._launched, []
        return ids

    def _published(self, run_ids: Sequence[str]) -> None:
        self._launched.extend(run_ids)
