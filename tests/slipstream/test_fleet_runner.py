"""What starts with `slipstream up`, and when."""

from __future__ import annotations

from pathlib import Path

from gateway.deployments.settings import DeploymentSettings, DeploymentType, ExecutionMode
from gateway.flows.schemas import FlowIn
from gateway.runs.cleanup import DeletedOwnerCleanup
from gateway.runs.store import RunStore
from slipstream.supervisor.fleet_runner import has_queued_deployments
from slipstream.workspace import open_workspace, read_settings
from tests import onnx_models
from tests.system.installation import chain

OTHERS = (
    (ExecutionMode.FAST, DeploymentType.API),
    (ExecutionMode.FAST, DeploymentType.SERVER),
    (ExecutionMode.SYNC, DeploymentType.SERVER),
)


async def test_only_deployments_that_queue_runs_need_workers(tmp_path: Path) -> None:
    async with open_workspace(read_settings(state=tmp_path / "state")) as workspace:
        services, profile_id = workspace.services, workspace.profile.id
        model = onnx_models.identity(tmp_path / "same.onnx")
        await services.models.publish(None, model, "same")
        draft = FlowIn.model_validate(chain("same")).draft()
        flow_id = (await services.flows.create(profile_id, draft)).id

        async def deploy(mode: ExecutionMode, kind: DeploymentType) -> str:
            settings = DeploymentSettings(execution_mode=mode, deployment_type=kind)
            return (await services.deployments.create(profile_id, flow_id, settings)).row.id

        for mode, kind in OTHERS:
            await deploy(mode, kind)
        assert not await has_queued_deployments(workspace.db)
        queued = await deploy(ExecutionMode.ASYNC, DeploymentType.API)
        assert await has_queued_deployments(workspace.db)
        cleanup = DeletedOwnerCleanup(workspace.db, RunStore(workspace.db))
        await services.deployments.delete(profile_id, queued, cleanup)
        assert not await has_queued_deployments(workspace.db)
