"""Request and response bodies of rollouts."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.deployments.rollout_settings import Cause, Checks, RolloutState, Strategy
from gateway.deployments.rollouts.observations import Calls, Observations
from gateway.deployments.rollouts.service import NewRollout
from gateway.deployments.snapshots import VersionNote
from gateway.storage.names import Description, DisplayName
from gateway.storage.tables import Rollout

Weight = Annotated[int, Field(ge=1, le=100)]
"""Per cent."""


class RolloutIn(BaseModel):
    """A version to try beside the live one."""

    model_config = ConfigDict(
        extra="forbid",
        use_attribute_docstrings=True,
        json_schema_extra={"examples": [{"strategy": "canary", "weight": 10}]},
    )

    strategy: Strategy
    """`canary`: it answers a share of the calls; `shadow`: it gets a copy of a share of them."""
    weight: Weight = 10
    """That share, in per cent; at most 99 for a canary."""
    version: Annotated[int, Field(ge=1, le=999_999_999)] | None = None
    """An existing version; null: a new one of the flow's draft."""
    name: DisplayName | None = None
    """Of a new version."""
    description: Description | None = None
    """Of a new version."""
    checks: Checks = Checks()
    """When it is rolled back."""
    promote_after_seconds: Annotated[int, Field(ge=1, le=30 * 86_400)] | None = None
    """When it goes live if it has passed every check until then; null: a person promotes it."""

    @model_validator(mode="after")
    def _note_is_of_a_new_version(self) -> Self:
        if self.version is not None and (self.name is not None or self.description is not None):
            raise ValueError("name and description are of a new version: leave out version")
        return self

    def rollout(self) -> NewRollout:
        """Return what the service starts."""
        return NewRollout(
            strategy=self.strategy,
            weight=self.weight,
            checks=self.checks,
            version=self.version,
            promote_after_seconds=self.promote_after_seconds,
            note=VersionNote(name=self.name, description=self.description),
        )


class RolloutPatch(BaseModel):
    """What can be changed while a rollout is running."""

    model_config = ConfigDict(
        extra="forbid",
        use_attribute_docstrings=True,
        json_schema_extra={"examples": [{"weight": 50}]},
    )

    weight: Weight
    """Per cent of the calls that the candidate gets; at most 99 for a canary."""


class CallsOut(BaseModel):
    """The latest calls of a version, in the time of the candidate's last 1,000 to 2,000."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    answered: int
    """How many were answered, with or without an error."""
    failed: int
    """How many were answered with an error."""
    p50_ms: float | None
    """The median of the others; null: there are none."""
    p90_ms: float | None
    """What nine of ten calls without an error took at most, in milliseconds; null: there are
    none."""

    @classmethod
    def of(cls, calls: Calls) -> Self:
        """Convert what was counted."""
        p50, p90 = (
            round(calls.quantile(share) * 1e3, 3) if calls.timed else None for share in (0.5, 0.9)
        )
        answered, failed = round(calls.answered), round(calls.failed)
        return cls(answered=answered, failed=failed, p50_ms=p50, p90_ms=p90)


class RolloutOut(BaseModel):
    """A version that is, or was, tried beside the live one, and what was seen of both."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)

    strategy: Strategy
    """`canary`: it answers a share of the calls; `shadow`: it gets a copy of a share of them."""
    state: RolloutState
    """`running`; `promoted`: the candidate is live; `rolled_back`: it failed a check, or a person
    ended the rollout; `superseded`: another version went live."""
    cause: Cause | None
    """Which check the candidate has failed; null: none."""
    reason: str | None
    """Why it has ended; null: it has not."""
    baseline: int
    """The version that was live when it began."""
    candidate: int
    """The version that is tried."""
    weight: int
    """Per cent of the calls that the candidate gets."""
    checks: Checks
    """When it is rolled back."""
    promote_after_seconds: int | None
    """When it goes live if it has passed every check until then; null: a person promotes it."""
    baseline_calls: CallsOut
    """The latest calls of the version that was live when it began."""
    candidate_calls: CallsOut
    """The latest calls of the candidate."""
    compared: int
    """Calls of which both outputs were compared."""
    different: int
    """How many of the compared calls differ by more than the tolerance of `checks`."""
    example: str | None
    """A difference between two outputs, with the values; null: there was none."""
    started_at: datetime
    """When it began (UTC)."""
    ended_at: datetime | None
    """When it ended (UTC); null: it has not."""

    @classmethod
    def of(cls, row: Rollout) -> Self:
        """Convert a row."""
        seen = Observations.model_validate(row.observed)
        columns = {name: getattr(row, name) for name in cls.model_fields if hasattr(row, name)}
        return cls(
            **columns,
            baseline_calls=CallsOut.of(seen.baseline),
            candidate_calls=CallsOut.of(seen.candidate),
            compared=round(seen.compared),
            different=round(seen.different),
            example=seen.example,
        )
