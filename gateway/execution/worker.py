"""Stands in for the executor of a worker until that is there."""

from __future__ import annotations

from gateway.settings import Settings
from telemetry.logs import logger

log = logger("gateway.execution.worker")


class WorkerExecutor:
    """Runs nothing, and says so."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def start(self) -> None:
        """Open nothing."""

    async def run(self, run_id: str) -> None:
        """Say that nothing is run."""
        log.warning("run_ignored", run_id=run_id)

    async def close(self) -> None:
        """Close nothing."""
