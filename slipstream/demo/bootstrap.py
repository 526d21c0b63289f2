"""The first start: creates a demo, so that there is something to call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import as_file, files
from typing import Any

from gateway.deployments.plan import KeyChoice, Launch
from gateway.deployments.settings import DeploymentSettings, ExecutionMode
from gateway.errors import GatewayError
from gateway.flows.schemas import FlowIn
from gateway.flows.spec import input_config
from gateway.storage.clock import now
from gateway.storage.paging import PageRequest
from protos.errors import ErrorCode
from slipstream.status_printer import StatusPrinter
from slipstream.workspace import Workspace

_MODEL = "iris"
_KEY_LIFETIME = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """What was created, with the key that is shown once."""

    deployment_id: str
    flow_id: str
    key: str
    input_data: Mapping[str, Any]
    """The test data of the flow. Any: a JSON object."""


async def first_start(workspace: Workspace, printer: StatusPrinter, *, demo: bool) -> Demo | None:
    """Print the administrator and, with `demo`, create a demo; do nothing on later starts.

    A first start that was interrupted is completed by the next one.
    """
    profile = workspace.profile
    draft = FlowIn.model_validate_json(files("slipstream.demo").joinpath("flow.json").read_bytes())
    if not await _is_fresh(workspace, draft.name):
        return None
    text = f"{profile.email}, role {profile.role}; no password yet: open the link of the console"
    printer.step("administrator", f"{text}, or: slipstream users reset-password {profile.email}")
    if not demo:
        return None
    printer.step("demo", "checking the model before it is published", "dim")
    version = await _model_version(workspace)
    printer.step("demo", f"model {_MODEL}, version {version}")
    flow_id = await _flow(workspace, draft)
    printer.step("demo", f"flow '{draft.name}' {flow_id}")
    deployed = await workspace.services.deployments.create(
        profile.id,
        flow_id,
        DeploymentSettings(name=draft.name, execution_mode=ExecutionMode.FAST),
        launch=Launch(api_key=KeyChoice.NEW),
    )
    assert deployed.key is not None
    printer.step("demo", f"fast deployment {deployed.row.id}, and an API key for it")
    # The key is printed, and what is printed ends up in journals.
    await workspace.services.keys.change(
        profile.id, deployed.key.row.id, expires_at=now() + _KEY_LIFETIME
    )
    return Demo(
        deployment_id=deployed.row.id,
        flow_id=flow_id,
        key=deployed.key.plain,
        input_data=_test_data(draft),
    )


async def newest_call(workspace: Workspace) -> tuple[str, Mapping[str, Any]] | None:
    """Return the newest deployment's id and its flow's test data; None without deployments."""
    profile_id, services = workspace.profile.id, workspace.services
    page = await services.deployments.page(profile_id, PageRequest(limit=1))
    for deployed in page.items:
        flow = await services.flows.get(profile_id, deployed.row.flow_id)
        return deployed.row.id, input_config(flow.definition).get("test_data") or {}
    return None


async def _is_fresh(workspace: Workspace, flow_name: str) -> bool:
    """Return whether there is no more than an interrupted first start leaves."""
    request, profile_id = PageRequest(), workspace.profile.id
    keys = await workspace.services.keys.page(profile_id, request)
    deployments = await workspace.services.deployments.page(profile_id, request)
    flows = await workspace.services.flows.page(profile_id, request)
    foreign = [flow for flow in flows.items if flow.name != flow_name]
    return not (keys.items or deployments.items or foreign)


async def _model_version(workspace: Workspace) -> int:
    try:
        return await workspace.services.models.resolve(None, _MODEL)
    except GatewayError as error:
        if error.code != ErrorCode.NOT_FOUND:
            raise
    with as_file(files("slipstream.demo").joinpath("iris.onnx")) as model:
        return (await workspace.services.models.publish(None, model, _MODEL)).version


async def _flow(workspace: Workspace, draft: FlowIn) -> str:
    flows = await workspace.services.flows.page(workspace.profile.id, PageRequest())
    for flow in flows.items:
        return flow.id
    return (await workspace.services.flows.create(workspace.profile.id, draft.draft())).id


def _test_data(draft: FlowIn) -> Mapping[str, Any]:
    inputs = (node for node in draft.nodes if node["type"] == "api_input")
    data: Mapping[str, Any] = next(inputs)["config"]["test_data"]
    return data
