"""What may be limited for a key or a deployment: as a value, as a column, and over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field

_Limit = Annotated[int | None, Field(ge=1, le=1_000_000_000)]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallLimits:
    """Limits of one key or one deployment. None: no limit of its own."""

    calls_per_minute: int | None = None
    calls_per_day: int | None = None
    concurrent_runs: int | None = None
    """Unfinished runs, and fast calls in progress."""
    polls_per_minute: int | None = None
    """Reads of runs, which have a quota apart from calls."""

    @classmethod
    def of(cls, stored: Mapping[str, Any] | None) -> Self | None:
        """Return what a `limits` column holds; None if nothing is limited. Any: JSON."""
        if not stored:
            return None
        limits = cls(**{name: stored[name] for name in cls.__slots__ if name in stored})
        return limits.or_none()

    def to_json(self) -> dict[str, int]:
        """Return the members that are set."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def or_none(self) -> Self | None:
        """Return self, or None if nothing is limited: one comparison on the fast path."""
        return self if self.to_json() else None


UNLIMITED = CallLimits()


class LimitsBody(BaseModel):
    """How much may be used. null or absent: the operator's default, by default no limit."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, frozen=True)

    calls_per_minute: _Limit = None
    """Triggers, with each item of a batch, and retries; of keys also inference under `/v2` and
    gRPC."""
    calls_per_day: _Limit = None
    """The same calls, by day."""
    concurrent_runs: _Limit = None
    """Unfinished runs; in mode fast, calls in progress."""
    polls_per_minute: _Limit = None
    """Reads of runs, which have a quota apart from calls."""

    @classmethod
    def of(cls, stored: Mapping[str, Any] | None) -> Self:
        """Return what a `limits` column holds. Any: JSON."""
        return cls.model_validate((CallLimits.of(stored) or UNLIMITED).to_json())

    def stored(self) -> dict[str, int] | None:
        """Return the value of the column; None if nothing is limited."""
        return CallLimits(**self.model_dump()).to_json() or None


def apply_limits_patch(
    stored: Mapping[str, int] | None, change: Mapping[str, int | None] | None
) -> dict[str, int] | None:
    """Return a `limits` column after a PATCH: absent members stay, null removes a limit.

    A `change` of None removes all.
    """
    if change is None:
        return None
    limits = {**(stored or {}), **change}
    return {name: value for name, value in limits.items() if value is not None} or None


def with_defaults(own: CallLimits | None, defaults: CallLimits) -> CallLimits:
    """Return `own`, completed by `defaults`."""
    if own is None:
        return defaults
    return CallLimits(**{**defaults.to_json(), **own.to_json()})
