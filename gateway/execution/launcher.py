"""Hands runs to whoever executes them: this process, or a worker by way of the broker."""

from __future__ import annotations

from collections import deque

from gateway.broker.publisher import Publisher
from gateway.broker.queues import queue_of
from gateway.deployments.modes import DeploymentType, ExecutionMode
from gateway.execution.pool import Pool


class Launcher:
    """Never blocks and never fails: a run that is not taken is found by the sweep."""

    def __init__(self, pool: Pool, publisher: Publisher) -> None:
        self._pool = pool
        self._publisher = publisher
        self._sent: deque[str] = deque()
        publisher.on_published = self._sent.append  # called in its thread; deques bear that

    def launch(self, run_id: str, deployment_type: DeploymentType, mode: ExecutionMode) -> None:
        """Have a queued run executed soon."""
        if deployment_type is DeploymentType.SERVER:
            self._pool.submit(run_id, mode)
            self._sent.append(run_id)
        else:
            self._publisher.publish(run_id, queue_of(mode))

    def sent(self) -> list[str]:
        """Return the runs that have been handed over since the last call."""
        return [self._sent.popleft() for _ in range(len(self._sent))]
