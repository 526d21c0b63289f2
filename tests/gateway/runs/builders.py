"""Builds runs and results."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from gateway.deployments.settings import DeploymentType, ExecutionMode
from gateway.ids import min_run_id, new_run_id
from gateway.runs.run import (
    Claim,
    FailureCode,
    FinishedRun,
    Idempotency,
    NewRun,
    RunError,
    RunResult,
    RunStatus,
)
from gateway.runs.store import RunStore
from gateway.storage.clock import now

PROFILE = "11111111-1111-4111-8111-111111111111"
DEPLOYMENT = "22222222-2222-4222-8222-222222222222"
FLOW = "33333333-3333-4333-8333-333333333333"

COMPLETED = RunResult(
    status=RunStatus.COMPLETED,
    output_data=b'{"label":1}',
    node_outputs=b'{"input":{"name":"Input"},"model":{"name":"Model"}}',
    duration_seconds=0.25,
)


def new_run(**changes: Any) -> NewRun:
    """Return a run of an async deployment on a worker, or another: Any, the fields of NewRun."""
    return replace(
        NewRun(
            profile_id=PROFILE,
            deployment_id=DEPLOYMENT,
            version=1,
            flow_id=FLOW,
            mode=ExecutionMode.ASYNC,
            type=DeploymentType.API,
            input_data=b'{"x":[[1,2,3,4]]}',
            timeout_seconds=60.0,
            id=new_run_id(),
        ),
        **changes,
    )


def failed(code: str = FailureCode.FLOW_FAILED, message: str = "no", **error: Any) -> RunResult:
    """Return the result of a failed run: Any, further fields of RunError."""
    why = RunError(code=code, message=message, **error)
    return RunResult(status=RunStatus.FAILED, error=why, duration_seconds=0.1)


def keyed(key: str = "k", fingerprint: str = "f" * 64) -> Idempotency:
    """Return an idempotency key."""
    return Idempotency(key=key, fingerprint=fingerprint)


def finished(
    age: timedelta = timedelta(), ending: RunResult = COMPLETED, **changes: Any
) -> FinishedRun:
    """Return a fast call that ended some time ago: Any, the fields of NewRun."""
    began = now() - age
    fields = {"id": run_id_of(began), "mode": ExecutionMode.FAST, **changes}
    return FinishedRun(new=new_run(**fields), ending=ending, started_at=began)


def run_id_of(moment: datetime) -> str:
    """Return an id of a run created at `moment`."""
    first = UUID(min_run_id(moment)).int
    return str(UUID(int=first | (uuid4().int & (2**62 - 1))))


async def until(true: Callable[[], bool]) -> None:
    """Wait until the condition is true."""
    while not true():  # noqa: ASYNC110 - there is no event
        await asyncio.sleep(0.005)


async def claimed(store: RunStore, owner: str = "w", lease: float = 30.0, **changes: Any) -> Claim:
    """Create a run and claim it: Any, the fields of NewRun."""
    new = new_run(**changes)
    await store.create(new)
    claim = await store.claim(new.id, owner, lease)
    assert claim is not None
    return claim
