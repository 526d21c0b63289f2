"""Every route that changes a resource writes one audit event, including routes added later."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import onnx_models
from tests.gateway.audit.audit_log_entries import acts_in
from tests.gateway.audit.steps import EXEMPT, steps
from tests.gateway.in_process_gateway import InProcessGateway, deploy, flow_json

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def test_every_changing_route_has_a_step_or_a_reason_not_to(
    in_process_gateway: InProcessGateway,
) -> None:
    paths = in_process_gateway.openapi()["paths"]
    changing = {
        f"{method.upper()} {path}"
        for path, item in paths.items()
        for method in item
        if method not in ("get", "head", "options")
    }
    assert changing == set(steps(b"")) | set(EXEMPT)


async def test_every_changing_route_records_its_event_and_no_other(
    in_process_gateway: InProcessGateway, tmp_path: Path
) -> None:
    user = await in_process_gateway.user()
    profile = user.headers["x-test-profile"]
    names: dict[str, Any] = {"number": 1, "name": "fresh", "label": "stable", "version": 1}
    before = await acts_in(in_process_gateway.db)
    for number, (route, step) in enumerate(
        steps(onnx_models.mlp(tmp_path / "mlp.onnx").read_bytes()).items()
    ):
        method, path = route.split()
        answer = await user.request(
            method,
            path.format(**names),
            headers={"x-request-id": f"request-{number}"},
            **_filled(step.body, names),
        )
        assert answer.is_success, (route, answer.text)
        if step.named:
            names[step.named] = answer.json()["id"]
        now = await acts_in(in_process_gateway.db)
        known = {act.id for act in before}
        left = [act for act in now if act.id not in known]
        before = now
        assert sorted(act.action for act in left) == sorted((step.action, *step.also)), route
        act = next(act for act in left if act.action == step.action)
        assert (act.action, act.subject_kind) == (step.action, step.subject_kind), route
        assert (act.actor_id, act.owner_id, act.actor_name) == (profile, profile, "ada@example.com")
        assert (act.address, act.request_id) == ("127.0.0.1", f"request-{number}")
        assert act.key_id is not None
        assert act.before or act.after


async def test_a_change_without_effect_records_no_event(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await deploy(user, flow_json())
    path = f"/node/deployments/{made['id']}/"
    await user.patch(path, json={"timeout_seconds": 7})
    await user.post(f"{path}pause/")
    acts = len(await acts_in(in_process_gateway.db))
    await user.patch(path, json={"timeout_seconds": 7})
    await user.post(f"{path}pause/")
    await user.post(f"{path}versions/1/promote/")
    assert len(await acts_in(in_process_gateway.db)) == acts


async def test_only_changed_fields_are_recorded(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    made = await deploy(user, flow_json())
    await user.patch(f"/node/deployments/{made['id']}/", json={"timeout_seconds": 7, "name": "Z"})
    act = (await acts_in(in_process_gateway.db))[-1]
    assert act.before == {"timeout_seconds": made["timeout_seconds"], "name": made["name"]}
    assert act.after == {"timeout_seconds": 7, "name": "Z"}
    assert act.subject_name == "Z"


async def test_rejected_requests_record_no_event(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    made = await deploy(user, flow_json())
    acts = len(await acts_in(in_process_gateway.db))
    refused = [
        await user.delete(f"/node/flows/{made['flow_id']}/"),
        await user.patch(
            f"/node/deployments/{made['id']}/", json={"notification_method": "webhook"}
        ),
        await user.delete("/node/models/mlp/versions/2/"),
        await user.post("/node/api-keys/", json={"name": "x", "deployments": ["nowhere"]}),
    ]
    assert [answer.status_code for answer in refused] == [409, 422, 409, 422]
    assert len(await acts_in(in_process_gateway.db)) == acts


async def test_deleting_a_deployment_records_it_and_its_deactivated_keys(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    await user.post("/node/api-keys/", json={"name": "covers all"})
    made = await deploy(user, flow_json())
    scoped = {"name": "only here", "deployments": [made["id"]]}
    key = (await user.post("/node/api-keys/", json=scoped)).json()
    await user.delete(f"/node/deployments/{made['id']}/", headers={"x-request-id": "one"})
    told = [act for act in await acts_in(in_process_gateway.db) if act.request_id == "one"]
    assert {(act.action, act.subject_id) for act in told} == {
        ("deployment.delete", made["id"]),
        ("api_key.deactivate", key["id"]),
    }


async def test_concurrent_requests_have_their_own_actor(
    in_process_gateway: InProcessGateway,
) -> None:
    users = [await in_process_gateway.user(), await in_process_gateway.user("bob@example.com")]
    bodies = [(user, f"{user.headers['x-test-profile']} {n}") for n in range(10) for user in users]

    async def make(user: httpx.AsyncClient, name: str) -> None:
        answer = await user.post("/node/api-keys/", json={"name": name})
        assert answer.status_code == 201

    await asyncio.gather(*(make(user, name) for user, name in bodies))
    told = [act for act in await acts_in(in_process_gateway.db) if act.subject_name != "manager"]
    assert len(told) == len(bodies)
    for act in told:
        assert str(act.subject_name).startswith(str(act.actor_id))


def _filled(body: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a request, with `{names}` where they stand alone."""

    def fill(value: Any) -> Any:
        if isinstance(value, str) and value.startswith("{") and value[1:-1] in names:
            return names[value[1:-1]]
        return {k: fill(v) for k, v in value.items()} if isinstance(value, dict) else value

    return {name: fill(value) for name, value in body.items()}
