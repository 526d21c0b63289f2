"""How much of the store is used, and by whom."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field


@dataclass(slots=True)
class OwnerUsage:
    """What one owner has."""

    size: int = 0
    """In bytes."""
    versions: int = 0


@dataclass(slots=True)
class StoreUsage:
    """What all published versions take."""

    total_bytes: int = 0
    by_owner: defaultdict[str, OwnerUsage] = field(default_factory=lambda: defaultdict(OwnerUsage))
    """Without the versions that have no owner: those of the command line."""

    def add(self, size: int, owner: str | None) -> None:
        """Count a version of `size` bytes."""
        self.total_bytes += size
        if owner is not None:
            usage = self.by_owner[owner]
            usage.size += size
            usage.versions += 1
