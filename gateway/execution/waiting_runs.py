"""Runs that hold no slot, as their nodes only wait."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gateway.flows.engine import LendSlot

_MAX_RUNS = 5_000
_MAX_BYTES = 256 * 1024 * 1024
"""Of their inputs."""


class WaitingRuns:
    """Limits them: each takes memory, and its lease is renewed once a second.

    Those beyond the limit keep their slots, so that no more runs are taken for them.
    """

    def __init__(self, max_runs: int = _MAX_RUNS, max_bytes: int = _MAX_BYTES) -> None:
        self._runs_left = max_runs
        self._bytes_left = max_bytes

    def limit(self, lend_slot: LendSlot, size: int) -> LendSlot:
        """Return what lends the slot of a run with an input of `size` bytes, within the limit."""

        @contextmanager
        def lend() -> Iterator[None]:
            if self._runs_left <= 0 or self._bytes_left < size:
                yield
                return
            self._runs_left -= 1
            self._bytes_left -= size
            try:
                with lend_slot():
                    yield
            finally:
                self._runs_left += 1
                self._bytes_left += size

        return lend
