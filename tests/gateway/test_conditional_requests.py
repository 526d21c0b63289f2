"""ETag, If-Match and If-None-Match of flows, deployments and keys (RFC 9110, section 13.1)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import httpx
import pytest

from tests.gateway.in_process_gateway import DEPLOYMENTS, HERE, InProcessGateway, flow_json

FLOWS = "/node/flows/"
KEYS = "/node/api-keys/"


async def make_flow(user: httpx.AsyncClient) -> httpx.Response:
    """Save a flow with values that databases and JSON might change on the way."""
    flow = flow_json()
    flow["nodes"][0]["position"] = {"x": 1.0, "y": -1e300, "big": 10**30, "name": "é"}
    return await user.post(FLOWS, json=flow)


async def make_deployment(user: httpx.AsyncClient) -> httpx.Response:
    """Deploy a flow with settings of every kind."""
    flow = (await make_flow(user)).json()
    settings = {
        "flow_id": flow["id"],
        "webhook_events": ["run.completed"],
        "record_sample": 1,
        "limits": {"calls_per_minute": 5},
        "cors_origins": ["*"],
    }
    return await user.post(DEPLOYMENTS, json=settings)


async def make_key(user: httpx.AsyncClient) -> httpx.Response:
    """Create a key that expires, with the time in another zone."""
    body = {"name": "phone", "environment": "test", "expires_at": "2030-01-31T12:00:00.5+05:30"}
    return await user.post(KEYS, json=body)


MAKERS: Mapping[str, Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]] = {
    FLOWS: make_flow,
    DEPLOYMENTS: make_deployment,
    KEYS: make_key,
}
RESOURCES = pytest.mark.parametrize("prefix", MAKERS)


async def make(user: httpx.AsyncClient, prefix: str) -> tuple[str, str]:
    """Create a resource; return its path and ETag."""
    made = await MAKERS[prefix](user)
    assert made.status_code == 201, made.text
    return f"{prefix}{made.json()['id']}/", made.headers["etag"]


def refusal(answer: httpx.Response) -> tuple[int, str]:
    """Return status and code of a problem."""
    return answer.status_code, answer.json()["code"]


PRECONDITION_FAILED = (412, "precondition_failed")


@RESOURCES
async def test_the_tag_changes_with_the_resource(
    in_process_gateway: InProcessGateway, prefix: str
) -> None:
    user = await in_process_gateway.user()
    path, tag = await make(user, prefix)
    shown = await user.get(path)
    assert shown.headers["etag"] == tag
    changed = await user.patch(path, json={"name": "changed"})
    assert changed.status_code == 200
    assert changed.headers["etag"] not in (tag, None)
    assert (await user.get(path)).headers["etag"] == changed.headers["etag"]
    undone = await user.patch(path, json={"name": shown.json()["name"]})
    assert undone.headers["etag"] == tag


@RESOURCES
async def test_a_client_that_has_the_tag_is_answered_304(
    in_process_gateway: InProcessGateway, prefix: str
) -> None:
    user = await in_process_gateway.user()
    path, tag = await make(user, prefix)
    for given in (tag, f"W/{tag}", f'"a,b", W/"c",{tag}', "*"):
        same = await user.get(path, headers={"if-none-match": given})
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag), given
    for given in ('"other"', tag.strip('"'), ""):
        shown = await user.get(path, headers={"if-none-match": given})
        assert (shown.status_code, shown.headers["etag"]) == (200, tag), given


@RESOURCES
async def test_a_change_with_the_current_tag_is_made(
    in_process_gateway: InProcessGateway, prefix: str
) -> None:
    user = await in_process_gateway.user()
    path, tag = await make(user, prefix)
    for number, conditions in enumerate(("{}", '"a,b", W/"c",{}', "*")):
        headers = {"if-match": conditions.format(tag)}
        changed = await user.patch(path, json={"name": f"name {number}"}, headers=headers)
        assert changed.status_code == 200, conditions
        assert changed.json()["name"] == f"name {number}"
        tag = changed.headers["etag"]
    lines = [("if-match", '"other"'), ("if-match", tag)]
    assert (await user.delete(path, headers=lines)).status_code == 204


@RESOURCES
async def test_a_change_with_another_tag_changes_nothing(
    in_process_gateway: InProcessGateway, prefix: str
) -> None:
    user = await in_process_gateway.user()
    path, tag = await make(user, prefix)
    before = (await user.get(path)).json()
    for given in ('"other"', f"W/{tag}", tag.strip('"'), f'"x", W/{tag}', '"*"', ""):
        headers = {"if-match": given}
        refused = await user.patch(path, json={"name": "changed"}, headers=headers)
        assert refusal(refused) == PRECONDITION_FAILED, given
        assert tag in refused.json()["message"]
        assert refusal(await user.delete(path, headers=headers)) == PRECONDITION_FAILED, given
    assert (await user.get(path)).json() == before


@pytest.mark.databases("sqlite", "postgresql")
@RESOURCES
async def test_the_second_of_two_editors_overwrites_nothing(
    in_process_gateway: InProcessGateway, prefix: str
) -> None:
    user = await in_process_gateway.user()
    path, tag = await make(user, prefix)
    names = ("first", "second")
    answers = await asyncio.gather(
        *(user.patch(path, json={"name": name}, headers={"if-match": tag}) for name in names)
    )
    assert sorted(answer.status_code for answer in answers) == [200, 412]
    (made,) = (answer for answer in answers if answer.status_code == 200)
    shown = await user.get(path)
    assert (shown.json()["name"], shown.headers["etag"]) == (
        made.json()["name"],
        made.headers["etag"],
    )


@RESOURCES
async def test_a_condition_on_nothing_is_answered_as_without_it(
    in_process_gateway: InProcessGateway, prefix: str
) -> None:
    user = await in_process_gateway.user()
    path, _ = await make(user, prefix)
    assert (await user.delete(path)).status_code == 204
    status = 410 if prefix == DEPLOYMENTS else 404
    for given in ("*", '"other"'):
        headers = {"if-match": given, "if-none-match": given}
        assert (await user.get(path, headers=headers)).status_code == status
        assert (await user.patch(path, json={}, headers=headers)).status_code == status
        assert (await user.delete(path, headers=headers)).status_code == status


async def test_a_flow_is_replaced_only_with_its_tag(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    path, tag = await make(user, FLOWS)
    mine, theirs = ({**flow_json(), "name": name} for name in ("mine", "theirs"))
    replaced = await user.put(path, json=theirs, headers={"if-match": tag})
    assert replaced.status_code == 200
    refused = await user.put(path, json=mine, headers={"if-match": tag})
    assert refusal(refused) == PRECONDITION_FAILED
    shown = await user.get(path)
    assert {**shown.json(), "warnings": []} == replaced.json()
    assert shown.headers["etag"] == replaced.headers["etag"] != tag


@pytest.mark.databases("sqlite", "postgresql")
async def test_of_two_changes_of_parts_of_a_graph_the_second_is_refused(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    path, tag = await make(user, FLOWS)
    nodes = flow_json()["nodes"]
    graphs = [[*nodes[:2], {**nodes[2], "note": note}] for note in ("first", "second")]
    answers = await asyncio.gather(
        *(user.patch(path, json={"nodes": graph}, headers={"if-match": tag}) for graph in graphs)
    )
    assert sorted(answer.status_code for answer in answers) == [200, 412]


async def test_an_invalid_change_is_refused_for_that_reason(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    path, _ = await make(user, FLOWS)
    refused = await user.patch(path, json={"nodes": []}, headers={"if-match": '"other"'})
    assert refusal(refused) == (422, "invalid_flow")


async def test_the_use_of_a_key_does_not_change_its_tag(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await make_key(user)
    path, tag = f"{KEYS}{made.json()['id']}/", made.headers["etag"]
    await in_process_gateway.authenticator.authenticate(made.json()["key"], HERE)
    await in_process_gateway.authenticator.usage.flush()
    shown = await user.get(path)
    assert shown.json()["total_uses"] == 1
    assert shown.headers["etag"] == tag
    await user.post(f"{path}deactivate/")
    refused = await user.patch(path, json={"name": "changed"}, headers={"if-match": tag})
    assert refusal(refused) == PRECONDITION_FAILED


async def test_a_deployments_tag_changes_with_its_live_version_but_not_with_the_draft(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await make_deployment(user)
    path, tag = f"{DEPLOYMENTS}{made.json()['id']}/", made.headers["etag"]
    graph = flow_json(version="1")
    await user.put(f"{FLOWS}{made.json()['flow_id']}/", json=graph)
    shown = await user.get(path)
    assert shown.json()["draft_differs"]
    assert shown.headers["etag"] == tag
    assert (await user.post(f"{path}redeploy/")).is_success
    assert (await user.get(path)).headers["etag"] != tag


async def test_the_document_describes_conditions_and_tags(
    in_process_gateway: InProcessGateway,
) -> None:
    paths = in_process_gateway.openapi()["paths"]
    for prefix, name in ((FLOWS, "flow_id"), (DEPLOYMENTS, "deployment_id"), (KEYS, "key_id")):
        for method, operation in paths[f"{prefix}{{{name}}}/"].items():
            names = {parameter["name"] for parameter in operation["parameters"]}
            answers = operation["responses"]
            if method == "get":
                assert "if-none-match" in names
                assert "ETag" in answers["304"]["headers"]
            else:
                assert "if-match" in names
                assert "412" in answers
            if "200" in answers:
                assert "ETag" in answers["200"]["headers"]
        assert "ETag" in paths[prefix]["post"]["responses"]["201"]["headers"]
