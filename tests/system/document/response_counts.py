"""Counts of responses, to check that calls of each operation succeed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class ResponseCounts:
    """Counts by caller, operation and status."""

    counts: Counter[tuple[str, str, int]] = field(default_factory=Counter, repr=False)

    def add(self, caller: str, operation: str, status: int) -> None:
        """Count one response."""
        self.counts[caller, operation, status] += 1

    def succeeded(self, caller: str) -> set[str]:
        """Return the operations that succeeded at least once for the caller."""
        return {called for name, called, status in self.counts if name == caller and status < 400}

    def never(self, caller: str) -> set[str]:
        """Return the operations that were called but never succeeded for the caller."""
        called = {called for name, called, _ in self.counts if name == caller}
        return called - self.succeeded(caller)
