"""What happens to runs, passed on to whoever waits: in this process, and in others."""

from __future__ import annotations

from collections.abc import Callable

from gateway.runs.run import Run
from gateway.storage.notices import Notices

Listener = Callable[[str, Run | None], None]
"""Called with a run's id, and the run where it has ended; None: it has otherwise changed."""


class RunNews:
    """Every write that ends or changes a run tells it here, after its commit."""

    def __init__(self, notices: Notices | None = None) -> None:
        self._notices = notices
        self._listeners: list[Listener] = []

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` for what this process writes; it must not raise or block."""
        self._listeners.append(listener)

    def ended(self, run: Run) -> None:
        """Tell that a run has ended."""
        self._tell(run.id, run)

    def changed(self, run_id: str) -> None:
        """Tell that something about a run is new."""
        self._tell(run_id, None)

    def _tell(self, run_id: str, run: Run | None) -> None:
        for listener in self._listeners:
            listener(run_id, run)
        if self._notices is not None:
            self._notices.tell(run_id)
