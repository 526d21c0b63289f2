"""What may be limited, for a key or for a deployment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class CallLimits:
    """Limits of one key or of one deployment. None: none of its own."""

    calls_per_minute: int | None = None
    calls_per_day: int | None = None
    concurrent_runs: int | None = None
    """Runs that have not ended, and fast calls that are being answered."""
    polls_per_minute: int | None = None
    """Reads of runs, which have a bucket apart from calls."""

    @classmethod
    def of(cls, stored: Mapping[str, Any] | None) -> Self | None:
        """Return what a `limits` column holds; None where that limits nothing. Any: JSON."""
        if not stored:
            return None
        limits = cls(**{name: stored[name] for name in cls.__slots__ if name in stored})
        return limits.or_none()

    def to_json(self) -> dict[str, int]:
        """Return the members that are set."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def or_none(self) -> Self | None:
        """Return self, or None where nothing is limited: what the way of a call looks at."""
        return self if self.to_json() else None


def apply_limits_patch(
    stored: Mapping[str, int] | None, change: Mapping[str, int | None] | None
) -> dict[str, int] | None:
    """Return a `limits` column after a PATCH: what is left out stays, None takes a limit back.

    A change that is None takes all of them back.
    """
    if change is None:
        return None
    limits = {**(stored or {}), **change}
    return {name: value for name, value in limits.items() if value is not None} or None


UNLIMITED = CallLimits()


def with_defaults(own: CallLimits | None, defaults: CallLimits) -> CallLimits:
    """Return `own` where it says something, and `defaults` where it does not."""
    if own is None:
        return defaults
    return CallLimits(**{**defaults.to_json(), **own.to_json()})
