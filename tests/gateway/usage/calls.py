"""Helpers that record calls and read their usage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Any

from gateway.auth.identity import Identity, Scope
from gateway.metrics import CallRecord
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.usage.counts import Counts
from gateway.usage.meter import UsageMeter
from gateway.usage.service import UsageQuery, UsageReport, UsageService
from protos.errors import ErrorCode

ADA = "11111111-1111-4111-8111-111111111111"
BOB = "99999999-9999-4999-8999-999999999999"
IRIS = "22222222-2222-4222-8222-222222222222"
WINE = "44444444-4444-4444-8444-444444444444"
PHONE = "55555555-5555-4555-8555-555555555555"
LAPTOP = "66666666-6666-4666-8666-666666666666"
STAGES = (0.00001, 0.00002, 0.00003, 0.0001, 0.00002)
MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass(frozen=True)
class DeploymentVersion:
    """A version of a deployment."""

    id: str = IRIS
    version: int = 1
    profile_id: str = ADA


def call(
    meter: UsageMeter,
    called: DeploymentVersion | None = None,
    *,
    key: str = PHONE,
    error: str | None = None,
    seconds: float = 0.001,
    stages: Sequence[float] = STAGES,
    times: int = 1,
) -> None:
    """Record the same call `times` times."""
    for _ in range(times):
        record = finished_call(seconds, error=error, stages=() if error else stages)
        meter.count(called or DeploymentVersion(), key, [record])


def finished_call(
    seconds: float,
    *,
    ended: float | None = None,
    error: str | None = None,
    stages: Sequence[float] = (),
) -> CallRecord:
    """Return the record of a finished call."""
    record = CallRecord()
    record.error = ErrorCode(error) if error else None
    record.ended = perf_counter() if ended is None else ended
    record.began = record.ended - seconds
    record.stages = stages
    return record


async def usage_report(db: Database, profile_id: str = ADA, **query: Any) -> UsageReport:
    """Return the usage of a profile. Any: the fields of UsageQuery."""
    fields = {"since": MIDNIGHT - timedelta(days=2000), "until": now() + timedelta(days=1), **query}
    return await UsageService(db).for_profile(profile_id, UsageQuery(**fields))


async def total(db: Database, profile_id: str = ADA, **query: Any) -> Counts:
    """Return the usage of a profile, summed. Any: as above."""
    return (await usage_report(db, profile_id, **query)).total()


def actor(profile_id: str = ADA, *deployments: str) -> Identity:
    """Return the holder of a key for all deployments, or for these."""
    return Identity(
        key_id=PHONE,
        profile_id=profile_id,
        scope=Scope.MANAGE,
        deployments=frozenset(deployments) or None,
    )
