"""Limits over HTTP: the same member for keys and for deployments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field

from gateway.limits.call_limits import CallLimits

Quota = Annotated[int | None, Field(ge=1, le=1_000_000_000)]


class LimitsBody(BaseModel):
    """How much may be used. null, or left out: the operator's default, which mostly is no limit."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, frozen=True)

    calls_per_minute: Quota = None
    calls_per_day: Quota = None
    concurrent_runs: Quota = None
    """Runs that have not ended; of mode fast, calls that are being answered."""
    polls_per_minute: Quota = None
    """Reads of runs: they have a bucket of their own."""

    @classmethod
    def of(cls, stored: Mapping[str, Any] | None) -> Self:
        """Return what a `limits` column holds. Any: JSON."""
        return cls.model_validate((CallLimits.of(stored) or CallLimits()).to_json())

    def stored(self) -> dict[str, int] | None:
        """Return it as the column holds it; None: nothing is limited."""
        return CallLimits(**self.model_dump()).to_json() or None
