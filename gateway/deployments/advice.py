"""Advice about a deployment's settings, by how its calls of the last 24 hours went. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gateway.deployments.settings import DeploymentType, ExecutionMode
from gateway.storage.tables import Deployment
from gateway.usage.counts import QUEUE, TOTAL, Counts
from gateway.usage.histogram import bucket_midpoint, percentile
from protos.errors import ErrorCode

_MIN_CALLS = 20
"""Fewer calls say nothing of those to come."""
_PROXY_SECONDS = 55
_SHARE = 0.05
"""Of calls: what happens to fewer is left alone."""
_QUEUE_SHARE = 0.5


class AdviceCode(StrEnum):
    """What advice is about."""

    LONG_CALLS = "long_calls"
    """Calls take longer than proxies wait: mode async."""
    FAST_POSSIBLE = "fast_possible"
    """The flow fits mode fast, which needs no worker."""
    WAITS_FOR_WORKERS = "waits_for_workers"
    """Most of the time passes before a worker starts the run: type server."""
    RATE_LIMITED = "rate_limited"
    """The deployment's own limit refuses calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdviceFix:
    """A setting, and the value that `PATCH` may give it."""

    field: str
    # Any: of the setting
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """A sentence, what it is based on, and the change of settings that follows from it."""

    code: AdviceCode
    text: str
    evidence: Mapping[str, float]
    fix: AdviceFix


def advise(row: Deployment, counts: Counts, *, fits_fast: bool) -> Iterator[Advice]:
    """Yield advice about a deployment with these counts of 24 hours."""
    if counts.calls < _MIN_CALLS:
        return
    long = _long_calls(row, counts)
    if long is not None:
        yield long
    elif fits_fast and row.execution_mode == ExecutionMode.SYNC:
        yield _fast(counts)
    waits = _waits(row, counts)
    if waits is not None:
        yield waits
    limited = _limited(row, counts)
    if limited is not None:
        yield limited


def _long_calls(row: Deployment, counts: Counts) -> Advice | None:
    if row.execution_mode != ExecutionMode.SYNC:
        return None
    durations = counts.seconds.get(TOTAL, {})
    total = sum(durations.values())
    long = sum(
        number for bucket, number in durations.items() if bucket_midpoint(bucket) > _PROXY_SECONDS
    )
    if not total or long / total < _SHARE:
        return None
    share = long / total
    return Advice(
        code=AdviceCode.LONG_CALLS,
        text=f"{share:.0%} of calls take over {_PROXY_SECONDS} s, which proxies often cut off: "
        "with mode async callers get an id at once, and ask for the result",
        evidence={"share": share, "seconds": _PROXY_SECONDS, "calls": counts.calls},
        fix=AdviceFix(field="execution_mode", value=ExecutionMode.ASYNC),
    )


def _fast(counts: Counts) -> Advice:
    p95 = percentile(counts.seconds.get(TOTAL, {}), 0.95) or 0.0
    return Advice(
        code=AdviceCode.FAST_POSSIBLE,
        text=f"p95 is {p95 * 1e3:.3g} ms, and the flow fits mode fast, which asks the inference "
        "server without a worker and an engine between; callers get no flow_run_id",
        evidence={"p95_seconds": p95, "calls": counts.calls},
        fix=AdviceFix(field="execution_mode", value=ExecutionMode.FAST),
    )


def _waits(row: Deployment, counts: Counts) -> Advice | None:
    is_on_worker = row.deployment_type == DeploymentType.API
    if row.execution_mode == ExecutionMode.FAST or not is_on_worker:
        return None
    queue = percentile(counts.seconds.get(QUEUE, {}), 0.5)
    run = percentile(counts.seconds.get("run", {}), 0.5)
    if queue is None or run is None or queue / (queue + run) < _QUEUE_SHARE:
        return None
    share = queue / (queue + run)
    return Advice(
        code=AdviceCode.WAITS_FOR_WORKERS,
        text=f"{share:.0%} of the median run passes before a worker starts it: with type server it "
        "runs in the gateway at once",
        evidence={"share": share, "queue_seconds": queue, "run_seconds": run},
        fix=AdviceFix(field="deployment_type", value=DeploymentType.SERVER),
    )


def _limited(row: Deployment, counts: Counts) -> Advice | None:
    limit = (row.limits or {}).get("calls_per_minute")
    refused = counts.errors.get(ErrorCode.RATE_LIMITED, 0)
    share = refused / counts.calls
    if not limit or share < _SHARE:
        return None
    return Advice(
        code=AdviceCode.RATE_LIMITED,
        text=f"{share:.0%} of calls are refused with rate_limited: the deployment allows {limit} "
        "calls a minute",
        evidence={"share": share, "calls_per_minute": limit, "calls": counts.calls},
        fix=AdviceFix(field="limits", value={"calls_per_minute": 2 * limit}),
    )
