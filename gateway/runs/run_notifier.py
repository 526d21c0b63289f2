"""What happens to runs, passed on to whoever waits: in this process at once, and in others."""

from __future__ import annotations

from collections.abc import Callable

from gateway.runs.run import Run
from gateway.storage.commit_signal import CommitSignal

_CHANGED = "~"
"""Prefix of the id in a message: the run has changed and goes on."""
_GONE = "-"
"""Prefix of the id in a message: the run was withdrawn."""


class RunNotifier:
    """Every write that ends or changes a run tells it here, after its commit.

    Listeners must not raise or block.
    """

    def __init__(self, commits: CommitSignal) -> None:
        self._commits = commits
        self._on_end: list[Callable[[Run], None]] = []
        self._on_change: list[Callable[[str], None]] = []
        self._on_gone: list[Callable[[str], None]] = []

    def subscribe(
        self,
        on_end: Callable[[Run], None],
        on_change: Callable[[str], None] | None = None,
        on_gone: Callable[[str], None] | None = None,
    ) -> None:
        """Call `on_end` with each run that this process ends, `on_change` with ids of others.

        And `on_gone` with ids of runs that it takes back.
        """
        self._on_end.append(on_end)
        if on_change is not None:
            self._on_change.append(on_change)
        if on_gone is not None:
            self._on_gone.append(on_gone)

    def subscribe_remote(
        self,
        on_end: Callable[[str], None],
        on_change: Callable[[str], None],
        on_gone: Callable[[str], None],
        on_gap: Callable[[], None],
    ) -> None:
        """Call with ids what any process tells, and `on_gap` where some may have been missed."""

        def on_message(message: str | None) -> None:
            if message is None:
                on_gap()
            elif message.startswith(_CHANGED):
                on_change(message.removeprefix(_CHANGED))
            elif message.startswith(_GONE):
                on_gone(message.removeprefix(_GONE))
            else:
                on_end(message)

        self._commits.subscribe(on_message)

    def ended(self, run: Run) -> None:
        """Tell that a run has ended."""
        for listener in self._on_end:
            listener(run)
        self._commits.publish(run.id)

    def changed(self, run_id: str) -> None:
        """Tell that something about a run is new."""
        for listener in self._on_change:
            listener(run_id)
        self._commits.publish(_CHANGED + run_id)

    def gone(self, run_id: str) -> None:
        """Tell that a run was taken back."""
        for listener in self._on_gone:
            listener(run_id)
        self._commits.publish(_GONE + run_id)
