"""Deleting runs at their owner's request."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gateway.auth.identity import Scope
from gateway.metrics import GatewayMetrics
from gateway.runs.run import RunStatus
from gateway.storage.audit_tables import AuditEvent
from gateway.storage.clock import now
from gateway.usage.run_counter import RunCounter
from gateway.usage.store import UsageStore
from tests.gateway.audit.audit_log_entries import acts_in
from tests.gateway.runs.builders import COMPLETED, failed, finished
from tests.gateway.runs.runs_api import RUNS, RunsApi, RunsApiUser
from tests.gateway.runs.test_storage_usage import counted

pytestmark = pytest.mark.databases("sqlite", "postgresql")


async def ended(user: RunsApiUser, deployment: str, *, fails: bool = False) -> str:
    """Return the id of a run that has just ended."""
    new = await user.run(deployment)
    assert await user.api.store.claim(new.id, "w")
    await user.api.store.finish(new.id, 1, failed() if fails else COMPLETED)
    return new.id


async def count_usage(api: RunsApi) -> None:
    """Count the ended runs, as a gateway does every few seconds."""
    counter = RunCounter(UsageStore(api.db), GatewayMetrics(), behind=-1)
    while await counter.count():
        pass


def soon() -> str:
    """Return a time after all runs."""
    return (now() + timedelta(minutes=1)).isoformat()


async def left(api: RunsApi, user: RunsApiUser) -> set[str]:
    """Return the ids of the user's runs."""
    items = (await user.client.get(RUNS)).json()["items"]
    return {run["flow_run_id"] for run in items}


async def test_finished_runs_are_deleted_with_all_that_belongs_to_them(api: RunsApi) -> None:
    user = await api.user()
    deployment = await user.deployment()
    done = await ended(user, deployment)
    waiting = await user.run(deployment)
    running = await user.run(deployment)
    await api.store.claim(running.id, "w")
    await count_usage(api)
    answer = await user.client.delete(RUNS, params={"to": soon()})
    assert (answer.status_code, answer.json()) == (200, {"deleted": 1})
    assert await left(api, user) == {waiting.id, running.id}
    assert await api.store.input_of(done) is None
    size = 2 * (1024 + len(waiting.input_data or b""))
    assert await counted(api.db, user.profile_id) == (size, size)
    assert (await user.client.delete(RUNS, params={"to": soon()})).json() == {"deleted": 0}
    (act,) = [act for act in await acts_in(api.db) if act.action == "run.delete"]
    assert _facts(act) == (user.profile_id, {"runs": 1, "deployment_id": None, "status": None})


def _facts(act: AuditEvent) -> tuple[str | None, dict[str, object]]:
    before = dict(act.before or {})
    assert before.pop("to")
    return act.owner_id, before


async def test_a_run_that_usage_has_not_counted_is_kept_until_then(api: RunsApi) -> None:
    user = await api.user()
    deployment = await user.deployment()
    await ended(user, deployment)
    fast = finished(profile_id=user.profile_id, deployment_id=deployment)
    await api.store.record_finished([fast])  # was counted when it was answered
    assert (await user.client.delete(RUNS, params={"to": soon()})).json() == {"deleted": 1}
    await count_usage(api)
    assert (await user.client.delete(RUNS, params={"to": soon()})).json() == {"deleted": 1}


async def test_the_filter_selects_what_is_deleted(api: RunsApi) -> None:
    user, other = await api.user(), await api.user("eve@example.com")
    first, second = await user.deployment(), await user.deployment(name="Second")
    kept = await ended(user, second, fails=True)
    wrong = await ended(user, first)
    foreign = await ended(other, await other.deployment())
    gone = await ended(user, first, fails=True)
    await count_usage(api)
    old = {"to": (now() - timedelta(minutes=1)).isoformat()}
    assert (await user.client.delete(RUNS, params=old)).json() == {"deleted": 0}
    narrow = {"to": soon(), "deployment": first, "status": RunStatus.FAILED}
    assert (await user.client.delete(RUNS, params=narrow)).json() == {"deleted": 1}
    assert await left(api, user) == {kept, wrong}
    assert await left(api, other) == {foreign}
    assert gone not in await left(api, user)


async def test_a_trigger_key_and_a_missing_time_are_refused(api: RunsApi) -> None:
    user = await api.user()
    issued = await api.services.keys.create(user.profile_id, name="t", scope=Scope.TRIGGER)
    program = api.client(issued.plain)
    assert (await program.delete(RUNS, params={"to": soon()})).status_code == 403
    assert (await user.client.delete(RUNS)).status_code == 422
