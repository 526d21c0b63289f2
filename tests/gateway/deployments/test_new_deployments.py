"""What a new deployment is made with, and dry runs."""

from __future__ import annotations

from typing import Any

import httpx

from tests.gateway.in_process_gateway import DEPLOYMENTS, InProcessGateway, deploy, flow_json

SERVERS = "/node/inference-servers/"


async def dry_run(
    user: httpx.AsyncClient, flow: dict[str, Any], **settings: Any
) -> tuple[int, dict[str, Any]]:
    """Save a flow, and return the answer to a dry run of its deployment. Any: JSON."""
    saved = (await user.post("/node/flows/", json=flow)).json()
    body = {"flow_id": saved["id"], **settings}
    answer = await user.post(DEPLOYMENTS, params={"dry_run": True}, json=body)
    return answer.status_code, answer.json()


def results(answer: dict[str, Any]) -> dict[str, str]:
    """Return what each check has found."""
    return {check["code"]: check["result"] for check in answer["checks"]}


async def test_a_dry_run_makes_nothing(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    status, plan = await dry_run(user, flow_json(), execution_mode="fast", start_server=True)
    assert (status, plan["deployable"]) == (200, True)
    assert results(plan) == {"flow": "ok", "mode": "ok", "server": "ok", "api_key": "ok"}
    assert plan["fast"] == {"possible": True, "reason": None}
    assert plan["creates_key"] is True
    _, started_anyway = await dry_run(user, flow_json(), execution_mode="fast")
    assert started_anyway["warnings"] == []
    assert plan["models"] == [{"node": "model", "model": "mlp", "version": 2}]
    assert (await user.get(DEPLOYMENTS)).json()["items"] == []
    assert (await user.get(SERVERS)).json()["items"] == []
    assert len((await user.get("/node/api-keys/")).json()["items"]) == 1


async def test_a_dry_run_says_what_would_be_refused(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    status, plan = await dry_run(user, flow_json("nothing"))
    assert (status, plan["deployable"], results(plan)) == (200, False, {"flow": "error"})
    assert "there is no model 'nothing'" in plan["checks"][0]["message"]

    engine = flow_json(inputs={"x": "input.a + 1"})
    _, plan = await dry_run(user, engine, execution_mode="fast")
    assert (plan["deployable"], results(plan)["mode"]) == (False, "error")
    assert "more than a path" in plan["fast"]["reason"]
    _, plan = await dry_run(user, engine)
    assert (plan["deployable"], plan["fast"]["possible"]) == (True, False)

    _, plan = await dry_run(user, flow_json(), notification_method="webhook")
    (webhook,) = [check for check in plan["checks"] if check["code"] == "webhook"]
    assert (webhook["result"], webhook["field"]) == ("error", "callback_url")
    status, refused = await dry_run(user, flow_json(), timeout_seconds=0)
    assert (status, refused["code"]) == (422, "validation_failed")


async def test_the_checks_warn_of_what_calls_may_meet(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    _, plan = await dry_run(user, flow_json(), api_key="none")
    assert results(plan) == {
        "flow": "ok",
        "duration": "warning",
        "server": "warning",
        "api_key": "warning",
    }
    assert [warning["code"] for warning in plan["warnings"]] == ["model_not_served"]
    _, plan = await dry_run(user, flow_json(), timeout_seconds=55)
    assert "duration" not in results(plan)


async def test_a_key_for_the_deployment_only_or_none(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    made = await deploy(user, flow_json(), api_key="none")
    assert made["api_key"] is None
    made = await deploy(user, flow_json(), api_key="new")
    assert made["api_key"]["deployments"] == [made["id"]]
    made = await deploy(user, flow_json())
    assert made["api_key"]["deployments"] is None
    _, plan = await dry_run(user, flow_json(), api_key="none")
    assert [key["id"] for key in plan["covering_keys"]] == [made["api_key"]["id"]]
    assert plan["covering_keys"][0]["masked"] == made["api_key"]["masked"]
    made = await deploy(user, flow_json(), api_key="new")
    assert made["api_key"]["deployments"] == [made["id"]], "also where another key covers it"


async def test_the_server_is_started_also_if_a_user_has_stopped_it(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await deploy(user, flow_json())
    assert made["readiness"]["state"] == "stopped"
    assert (await user.get(SERVERS)).json()["items"] == []
    made = await deploy(user, flow_json(), start_server=True)
    assert (made["readiness"]["state"], made["warnings"]) == ("booting", [])
    (server,) = (await user.get(SERVERS)).json()["items"]
    assert made["readiness"]["server_id"] == server["id"]
    await user.post(f"{SERVERS}{server['id']}/stop/")
    assert (await deploy(user, flow_json()))["readiness"]["state"] == "stopped"
    made = await deploy(user, flow_json(), start_server=True)
    assert (made["readiness"]["state"], made["warnings"]) == ("booting", [])
    (server,) = (await user.get(SERVERS)).json()["items"]
    assert server["desired"] == "running"
