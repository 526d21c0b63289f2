"""Audit events of cancelled and retried runs."""

from __future__ import annotations

import asyncio

import pytest

from gateway.storage.audit_tables import AuditEvent
from tests.gateway.audit.audit_log_entries import acts_in
from tests.gateway.runs.builders import failed
from tests.gateway.runs.runs_api import RUNS, RunsApi, RunsApiUser


async def acts_on_runs(api: RunsApi) -> list[AuditEvent]:
    """Return the audit events of runs, oldest first."""
    return [act for act in await acts_in(api.db) if act.subject_kind == "run"]


async def failed_run(user: RunsApiUser, deployment: str) -> str:
    """Return the id of a failed run."""
    new = await user.run(deployment)
    claim = await user.api.store.claim(new.id, "w")
    assert claim is not None
    await user.api.store.finish(new.id, claim.attempt, failed())
    return new.id


async def test_a_cancellation_with_a_manage_key_is_audited_once(api: RunsApi) -> None:
    user = await api.user()
    deployment = await user.deployment()
    waiting, running = await user.run(deployment), await user.run(deployment)
    await api.store.claim(running.id, "w")
    for run in (waiting, running, waiting, running):
        assert (await user.client.post(f"{RUNS}{run.id}/cancel/")).status_code == 202
    told = [(act.action, act.subject_id, act.before, act.after) for act in await acts_on_runs(api)]
    assert told == [
        ("run.cancel", waiting.id, {"status": "queued"}, {"status": "cancelled"}),
        ("run.cancel", running.id, {"status": "running"}, {"status": "cancelling"}),
    ]
    act = (await acts_on_runs(api))[0]
    assert (act.actor_id, act.owner_id) == (user.profile_id, user.profile_id)
    assert act.key_id is not None
    assert act.request_id


@pytest.mark.databases("sqlite", "postgresql")
async def test_concurrent_cancellations_are_audited_once(api: RunsApi) -> None:
    user = await api.user()
    run = await user.run(await user.deployment())
    await asyncio.gather(*(user.client.post(f"{RUNS}{run.id}/cancel/") for _ in range(5)))
    assert len(await acts_on_runs(api)) == 1


async def test_a_retry_is_audited_with_the_original_run(api: RunsApi) -> None:
    user = await api.user()
    deployment = await user.deployment()
    old = await failed_run(user, deployment)
    answer = await user.client.post(f"{RUNS}{old}/retry/")
    assert answer.status_code == 202, answer.text
    (act,) = await acts_on_runs(api)
    assert (act.action, act.subject_id) == ("run.retry", answer.json()["flow_run_id"])
    assert act.after == {"retry_of": old, "deployment_id": deployment, "version": 1}


async def test_actions_of_a_trigger_key_are_not_audited(api: RunsApi) -> None:
    user = await api.user()
    deployment = await user.deployment()
    program = await user.key_for(deployment)
    waiting, old = await user.run(deployment), await failed_run(user, deployment)
    assert (await program.post(f"{RUNS}{waiting.id}/cancel/")).status_code == 202
    assert (await program.post(f"{RUNS}{old}/retry/")).status_code == 202
    assert await acts_on_runs(api) == []


async def test_refused_actions_are_not_audited(api: RunsApi) -> None:
    user = await api.user()
    old = await failed_run(user, await user.deployment())
    assert (await user.client.post(f"{RUNS}{old}/cancel/")).status_code == 409
    waiting = await user.run(await user.deployment())
    assert (await user.client.post(f"{RUNS}{waiting.id}/retry/")).status_code == 409
    assert await acts_on_runs(api) == []
