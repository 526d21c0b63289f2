"""Notifies this process, and through the database others, of changes to runs."""

from __future__ import annotations

from collections.abc import Callable

from gateway.runs.run import Run
from gateway.storage.commit_signal import CommitSignal

_CHANGED = "~"
"""Prefix of the id in a message: the run has changed and is unfinished."""
_WITHDRAWN = "-"
"""Prefix of the id in a message: the run was withdrawn."""


class RunNotifier:
    """Called after the commit of every write that ends or changes a run.

    Listeners must not raise or block.
    """

    def __init__(self, commits: CommitSignal) -> None:
        self._commits = commits
        self._on_end: list[Callable[[Run], None]] = []
        self._on_change: list[Callable[[str], None]] = []
        self._on_withdrawn: list[Callable[[str], None]] = []

    def subscribe(
        self,
        on_end: Callable[[Run], None],
        on_change: Callable[[str], None] | None = None,
        on_withdrawn: Callable[[str], None] | None = None,
    ) -> None:
        """Subscribe to changes made by this process.

        Args:
            on_end: called with each run that has ended.
            on_change: called with the ids of runs that have changed otherwise.
            on_withdrawn: called with the ids of withdrawn runs.
        """
        self._on_end.append(on_end)
        if on_change is not None:
            self._on_change.append(on_change)
        if on_withdrawn is not None:
            self._on_withdrawn.append(on_withdrawn)

    def subscribe_remote(
        self,
        on_end: Callable[[str], None],
        on_change: Callable[[str], None],
        on_withdrawn: Callable[[str], None],
        on_gap: Callable[[], None],
    ) -> None:
        """Subscribe to changes made by all processes; `on_gap` follows a lost connection."""

        def on_message(message: str | None) -> None:
            if message is None:
                on_gap()
            elif message.startswith(_CHANGED):
                on_change(message.removeprefix(_CHANGED))
            elif message.startswith(_WITHDRAWN):
                on_withdrawn(message.removeprefix(_WITHDRAWN))
            else:
                on_end(message)

        self._commits.subscribe(on_message)

    def ended(self, run: Run) -> None:
        """Notify of a run that has ended."""
        for listener in self._on_end:
            listener(run)
        self._commits.publish(run.id)

    def changed(self, run_id: str) -> None:
        """Notify of a run that has changed."""
        for listener in self._on_change:
            listener(run_id)
        self._commits.publish(_CHANGED + run_id)

    def withdrawn(self, run_id: str) -> None:
        """Notify of a run that was withdrawn."""
        for listener in self._on_withdrawn:
            listener(run_id)
        self._commits.publish(_WITHDRAWN + run_id)
