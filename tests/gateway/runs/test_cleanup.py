"""Runs and versions of deleted deployments and users."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from gateway.accounts.users import UserChange, UserState
from gateway.runs.cleanup import DeletedOwnerCleanup
from gateway.runs.run import NewRun
from gateway.storage.clock import now
from gateway.storage.database import Database
from gateway.storage.tables import Deployment, DeploymentVersion
from tests.gateway.runs.builders import COMPLETED
from tests.gateway.runs.runs_api import RunsApi, RunsApiUser

pytestmark = pytest.mark.databases("sqlite", "postgresql")

LONG_AGO = timedelta(hours=1)


async def delete(user: RunsApiUser, deployment: str, **query: str) -> None:
    """Delete a deployment."""
    answer = await user.client.delete(f"/node/deployments/{deployment}/", params=query)
    assert answer.status_code == 204, answer.text


async def shown(user: RunsApiUser, run_id: str) -> dict[str, object]:
    """Return a run as shown to its owner."""
    found: dict[str, object] = (await user.client.get(f"/node/flow-runs/{run_id}/")).json()
    return found


async def versions(db: Database, deployment: str) -> int:
    """Count the versions of a deployment."""
    counted = select(func.count()).where(DeploymentVersion.deployment_id == deployment)
    async with db.read() as session:
        return (await session.execute(counted)).scalar_one()


async def put_back(db: Database, deployment: str) -> None:
    """Backdate the deletion of a deployment."""
    async with db.write() as session:
        changed = update(Deployment).where(Deployment.id == deployment)
        await session.execute(changed.values(updated_at=now() - LONG_AGO))


async def test_queued_runs_of_a_deleted_deployment_are_cancelled(api: RunsApi) -> None:
    user = await api.user()
    deployment, other = await user.deployment(), await user.deployment()
    waiting, elsewhere = await user.run(deployment), await user.run(other)
    await delete(user, deployment)
    run = await shown(user, waiting.id)
    assert run["status"] == "cancelled"
    assert run["message"] == "the deployment was deleted before the run started"
    assert run["error"] == {"code": "cancelled", "message": run["message"], "node_id": None}
    assert await api.store.claim(waiting.id, "w") is None
    assert (await shown(user, elsewhere.id))["status"] == "queued"


@pytest.mark.parametrize(("query", "status"), [({}, "running"), ({"runs": "cancel"}, "cancelling")])
async def test_running_runs_finish_unless_cancellation_is_requested(
    api: RunsApi, query: dict[str, str], status: str
) -> None:
    user = await api.user()
    deployment = await user.deployment()
    begun = await user.run(deployment)
    await api.store.claim(begun.id, "w")
    await delete(user, deployment, **query)
    assert (await shown(user, begun.id))["status"] == status


@pytest.mark.parametrize(("query", "status"), [({}, "queued"), ({"runs": "cancel"}, "cancelled")])
async def test_a_requeued_run_counts_as_started(
    api: RunsApi, query: dict[str, str], status: str
) -> None:
    user = await api.user()
    deployment = await user.deployment()
    begun = await user.run(deployment, retry_safe=True)
    await api.store.claim(begun.id, "w", -1)
    await api.store.reap()
    await delete(user, deployment, **query)
    await DeletedOwnerCleanup(api.db, api.store).sweep()
    assert (await shown(user, begun.id))["status"] == status


async def test_the_runs_parameter_has_two_values(api: RunsApi) -> None:
    user = await api.user()
    url = f"/node/deployments/{await user.deployment()}/"
    refused = await user.client.delete(url, params={"runs": "forget"})
    assert refused.status_code == 422
    assert (await user.client.get(url)).status_code == 200


async def test_a_run_accepted_during_a_deployments_deletion_is_cancelled_later(
    api: RunsApi,
) -> None:
    user = await api.user()
    deployment, other = await user.deployment(), await user.deployment()
    await delete(user, deployment)
    late, elsewhere = await user.run(deployment), await user.run(other)
    await DeletedOwnerCleanup(api.db, api.store).sweep()
    assert (await shown(user, late.id))["status"] == "cancelled"
    assert (await shown(user, elsewhere.id))["status"] == "queued"


async def test_versions_are_deleted_after_their_last_run(api: RunsApi) -> None:
    user = await api.user()
    deployment, other = await user.deployment(), await user.deployment()
    await user.client.post(f"/node/deployments/{deployment}/redeploy/")
    begun = await user.run(deployment)
    await api.store.claim(begun.id, "w")
    await delete(user, deployment)
    await put_back(api.db, deployment)
    await put_back(api.db, other)
    cleanup = DeletedOwnerCleanup(api.db, api.store)
    await cleanup.sweep()
    assert await versions(api.db, deployment) == 2
    await api.store.finish(begun.id, 1, COMPLETED)
    await cleanup.sweep()
    assert await versions(api.db, deployment) == 0
    assert await versions(api.db, other) == 1
    assert (await shown(user, begun.id))["status"] == "completed"
    gone = await user.client.get(f"/node/deployments/{deployment}/")
    assert gone.status_code == 410


async def test_versions_are_kept_for_a_grace_period(api: RunsApi) -> None:
    user = await api.user()
    deployment = await user.deployment()
    await delete(user, deployment)
    await DeletedOwnerCleanup(api.db, api.store).sweep()
    assert await versions(api.db, deployment) == 1


async def test_runs_of_a_deleted_user_are_cancelled(api: RunsApi) -> None:
    user, other = await api.user(), await api.user("bob@example.com")
    deployment = await user.deployment()
    waiting, running, ended = [await user.run(deployment) for _ in range(3)]
    elsewhere = await other.run(await other.deployment())
    for run in (running, ended):
        await api.store.claim(run.id, "w")
    await api.store.finish(ended.id, 1, COMPLETED)
    await api.services.users.delete(
        user.profile_id, DeletedOwnerCleanup(api.db, api.store), by=None
    )
    assert [await status_of(api, run) for run in (waiting, running, ended, elsewhere)] == [
        "cancelled",
        "cancelling",
        "completed",
        "queued",
    ]


async def test_a_run_accepted_during_a_users_deletion_is_cancelled_later(api: RunsApi) -> None:
    user = await api.user()
    deployment = await user.deployment()
    cleanup = DeletedOwnerCleanup(api.db, api.store)
    await api.services.users.delete(user.profile_id, cleanup, by=None)
    late = await user.run(deployment)
    await cleanup.sweep()
    assert await status_of(api, late) == "cancelled"


async def test_runs_of_a_deactivated_user_continue(api: RunsApi) -> None:
    user = await api.user()
    waiting = await user.run(await user.deployment())
    change = UserChange(state=UserState.DEACTIVATED)
    await api.services.users.change(user.profile_id, change, by=None)
    await DeletedOwnerCleanup(api.db, api.store).sweep()
    assert await status_of(api, waiting) == "queued"


async def status_of(api: RunsApi, new: NewRun) -> str:
    """Return the state of a run of any profile."""
    run = await api.store.get(new.id)
    assert run is not None
    return run.shown_status
