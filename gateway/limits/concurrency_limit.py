"""A limit that whoever keeps the runs sees to."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.limits.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcurrencyLimit:
    """How many runs of a subject may go on at once, for whoever keeps the runs to see to."""

    policy: Policy
    kind: str
    """`key` or `deployment`."""
    id: str
