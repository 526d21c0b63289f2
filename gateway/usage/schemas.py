"""Usage over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from gateway.usage.counts import SHOWN_STAGES, TOTAL, Counts
from gateway.usage.histogram import percentile
from gateway.usage.service import GroupBy, Step, UsageEntry, UsageGroup, UsageReport


class Percentiles(BaseModel):
    """Seconds that half, 95 % and 99 % took at most, to within 3.2 %; null where none did."""

    p50_seconds: float | None
    p95_seconds: float | None
    p99_seconds: float | None

    @classmethod
    def of(cls, counts: Counts, stage: str) -> Self:
        """Return those of one stage."""
        found = counts.seconds.get(stage, {})
        p50, p95, p99 = (percentile(found, share) for share in (0.5, 0.95, 0.99))
        return cls(p50_seconds=p50, p95_seconds=p95, p99_seconds=p99)


class UsageItem(Percentiles):
    """What was counted about one subject in a span of time. Its percentiles are those of calls."""

    model_config = ConfigDict(use_attribute_docstrings=True, serialize_by_alias=True)

    since: datetime = Field(serialization_alias="from")
    until: datetime = Field(serialization_alias="to")
    deployment_id: str | None
    """Null, like the next ones, where it is not told apart."""
    deployment_name: str | None
    version: int | None
    api_key_id: str | None
    """`other` for keys that were too many to be told apart; empty for calls without one."""
    api_key_name: str | None
    code: str | None
    """Where codes are told apart: an error's, or `ok`."""
    calls: int
    """Answered calls, whatever the answer."""
    errors: int
    errors_by_code: dict[str, int]
    runs: int
    """Sync and async runs that have ended."""
    run_errors: int
    run_errors_by_code: dict[str, int]
    stages: dict[str, Percentiles]
    """`auth`, `parse`, `queue`, `boot`, `infer`, `serialise`, `run`; those that there were."""

    @classmethod
    def of_item(cls, item: UsageEntry, names: Mapping[str, str]) -> Self:
        """Return an item as it is sent."""
        subject, counts = item.subject, item.counts
        stages = [stage for stage in SHOWN_STAGES if counts.seconds.get(stage)]
        return cls(
            since=item.since,
            until=item.until,
            deployment_id=subject.deployment_id,
            deployment_name=names.get(subject.deployment_id or ""),
            version=subject.version,
            api_key_id=subject.key_id,
            api_key_name=names.get(subject.key_id or ""),
            code=subject.code,
            calls=counts.calls,
            errors=sum(counts.errors.values()),
            errors_by_code=counts.errors,
            runs=counts.runs,
            run_errors=sum(counts.run_errors.values()),
            run_errors_by_code=counts.run_errors,
            stages={stage: Percentiles.of(counts, stage) for stage in stages},
            **Percentiles.of(counts, TOTAL).model_dump(),
        )


class UsageOut(BaseModel):
    """Usage of a profile's deployments."""

    model_config = ConfigDict(serialize_by_alias=True)

    since: datetime = Field(serialization_alias="from")
    until: datetime = Field(serialization_alias="to")
    by: GroupBy
    step: Step
    items: list[UsageItem]

    @classmethod
    def of(cls, usage: UsageReport) -> Self:
        """Return usage as it is sent."""
        return cls(
            since=usage.since,
            until=usage.until,
            by=usage.query.by,
            step=usage.query.step,
            items=[UsageItem.of_item(item, usage.names) for item in usage.items],
        )


class DeploymentUsageOut(BaseModel):
    """The last 24 hours of one deployment, and what there was of the hour before."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    summary: UsageItem
    """All of it."""
    hours: list[UsageItem]
    """Hour by hour; those without a call are left out."""

    @classmethod
    def of(cls, usage: UsageReport) -> Self:
        """Return the hours as they are sent, and their sum."""
        subject = UsageGroup(deployment_id=usage.query.deployment_id)
        whole = UsageEntry(usage.since, usage.until, subject, usage.total())
        return cls(summary=UsageItem.of_item(whole, usage.names), hours=UsageOut.of(usage).items)
