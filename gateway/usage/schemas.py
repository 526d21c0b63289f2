"""The JSON of usage reports."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from gateway.usage.counts import SHOWN_STAGES, TOTAL, Counts
from gateway.usage.histogram import percentile
from gateway.usage.service import GroupBy, Step, UsageEntry, UsageGroup, UsageReport


class Percentiles(BaseModel):
    """Percentiles of durations in seconds, accurate to 3.2 %; null without durations."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    p50_seconds: float | None
    """The median; null: there are no durations."""
    p95_seconds: float | None
    """What 95 % took at most; null: there are no durations."""
    p99_seconds: float | None
    """What 99 % took at most; null: there are no durations."""

    @classmethod
    def of(cls, counts: Counts, stage: str) -> Self:
        """Return the percentiles of one stage."""
        found = counts.seconds.get(stage, {})
        p50, p95, p99 = (percentile(found, share) for share in (0.5, 0.95, 0.99))
        return cls(p50_seconds=p50, p95_seconds=p95, p99_seconds=p99)


class UsageItem(Percentiles):
    """The counts of one group in a span of time. The percentiles are those of calls."""

    model_config = ConfigDict(use_attribute_docstrings=True, serialize_by_alias=True)

    since: datetime = Field(serialization_alias="from")
    """When the span of time begins (UTC)."""
    until: datetime = Field(serialization_alias="to")
    """When the span of time ends, exclusive (UTC)."""
    deployment_id: str | None
    """Null, like the following fields, unless items are grouped by it."""
    deployment_name: str | None
    """Name of the deployment; null unless items are grouped by it."""
    version: int | None
    """Number of the deployment's version; null unless items are grouped by it."""
    api_key_id: str | None
    """`other` for keys beyond the number counted separately; empty for calls without a key."""
    api_key_name: str | None
    """Name of the key; null unless items are grouped by it, for a deleted one, and if the caller's
    key lacks the scope `manage`."""
    code: str | None
    """An error code or `ok`, if items are grouped by code."""
    calls: int
    """Answered calls, with or without an error."""
    errors: int
    """How many calls were answered with an error."""
    errors_by_code: dict[str, int]
    """Error code → how many calls had it."""
    runs: int
    """Sync and async runs that have ended."""
    run_errors: int
    """How many runs failed or were cancelled."""
    run_errors_by_code: dict[str, int]
    """Error code → how many runs had it."""
    stages: dict[str, Percentiles]
    """`auth`, `parse`, `queue`, `boot`, `infer`, `serialise`, `run`, as far as they occurred."""

    @classmethod
    def of_item(cls, item: UsageEntry, names: Mapping[str, str]) -> Self:
        """Return an item of a report as JSON."""
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

    model_config = ConfigDict(serialize_by_alias=True, use_attribute_docstrings=True)

    since: datetime = Field(serialization_alias="from")
    """When the report begins, rounded down to a whole step (UTC)."""
    until: datetime = Field(serialization_alias="to")
    """When the report ends, exclusive (UTC)."""
    by: GroupBy
    """What the items are grouped by."""
    step: Step
    """How long the span of time of an item is."""
    items: list[UsageItem]
    """By time and group; spans without a call or a run are left out."""

    @classmethod
    def of(cls, usage: UsageReport) -> Self:
        """Return a report as JSON."""
        return cls(
            since=usage.since,
            until=usage.until,
            by=usage.query.by,
            step=usage.query.step,
            items=[UsageItem.of_item(item, usage.names) for item in usage.items],
        )


class HeatmapOut(BaseModel):
    """How many calls took how long, over time."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)

    times: list[datetime]
    """The beginning of each column, and the end of the last one."""
    bounds_seconds: list[float]
    """The shortest duration of each row, and the end of the last one; empty without calls."""
    counts: list[list[int]]
    """For each column, the calls of each row, the fastest first."""


class DeploymentUsageOut(BaseModel):
    """The last 24 hours of one deployment, extended to the beginning of the first hour."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    summary: UsageItem
    """The sum of all hours."""
    hours: list[UsageItem]
    """Hours without a call or a run are left out."""

    @classmethod
    def of(cls, usage: UsageReport) -> Self:
        """Return the hours and their sum as JSON."""
        subject = UsageGroup(deployment_id=usage.query.deployment_id)
        whole = UsageEntry(usage.since, usage.until, subject, usage.total())
        return cls(summary=UsageItem.of_item(whole, usage.names), hours=UsageOut.of(usage).items)
