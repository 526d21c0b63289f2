"""The REST API of flows."""

from __future__ import annotations

import pytest

from tests.gateway.in_process_gateway import InProcessGateway, flow_json

FLOWS = "/node/flows/"


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_flow_is_saved_and_read_back_as_it_was_sent(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    sent = flow_json()
    sent["nodes"][0]["position"] = {"x": 1.5, "big": 10**30}
    made = await user.post(FLOWS, json=sent)
    assert made.status_code == 201
    read = (await user.get(f"{FLOWS}{made.json()['id']}/")).json()
    assert {**read, "warnings": []} == made.json()
    assert {name: read[name] for name in sent} == sent


async def test_a_read_flow_can_be_sent_back(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    read = (await user.post(FLOWS, json=flow_json())).json()
    read["name"] = "Renamed"
    answer = await user.put(f"{FLOWS}{read['id']}/", json=read)
    assert answer.status_code == 200
    assert answer.json()["name"] == "Renamed"
    assert answer.json()["updated_at"] > read["updated_at"]


async def test_a_patch_changes_only_the_given_members(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    made = (await user.post(FLOWS, json=flow_json())).json()
    renamed = await user.patch(f"{FLOWS}{made['id']}/", json={"name": "Renamed"})
    assert renamed.json() == made | {"name": "Renamed", "updated_at": renamed.json()["updated_at"]}


async def test_an_invalid_change_changes_nothing(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    made = (await user.post(FLOWS, json=flow_json())).json()
    edges = [{"source": "output", "target": "input"}, *made["edges"]]
    refused = await user.patch(f"{FLOWS}{made['id']}/", json={"name": "No", "edges": edges})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_flow")
    assert refused.json()["errors"][0]["pointer"] == "#/edges"
    assert {**(await user.get(f"{FLOWS}{made['id']}/")).json(), "warnings": []} == made


@pytest.mark.databases("sqlite", "postgresql")
async def test_flows_are_listed_in_pages(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    for number in range(3):
        await user.post(FLOWS, json=flow_json() | {"name": f"flow {number}"})
    first = (await user.get(FLOWS, params={"limit": 2})).json()
    assert [item["name"] for item in first["items"]] == ["flow 2", "flow 1"]
    rest = (await user.get(FLOWS, params={"cursor": first["next_cursor"]})).json()
    assert [item["name"] for item in rest["items"]] == ["flow 0"]
    assert rest["next_cursor"] is None


async def test_page_limits_are_bounded(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    for limit in ("0", "201", "x"):
        assert (await user.get(f"{FLOWS}?limit={limit}")).status_code == 422, limit


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_deleted_flow_is_gone(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    made = (await user.post(FLOWS, json=flow_json())).json()
    assert (await user.delete(f"{FLOWS}{made['id']}/")).status_code == 204
    assert (await user.get(f"{FLOWS}{made['id']}/")).status_code == 404
    assert (await user.delete(f"{FLOWS}{made['id']}/")).status_code == 404


UNREADABLE = [
    "{",
    '{"name": "f", "nodes": [{"x": ' + "[" * 300 + "]" * 300 + "}]}",
    '{"name": "\\ud800", "nodes": []}',
    '{"name": "f", "nodes": [{"id": "\\ud800"}]}',
]
BAD_FLOWS = [
    *UNREADABLE,
    "[]",
    '{"nodes": []}',
    '{"name": "", "nodes": []}',
    '{"name": "a\\u0000b", "nodes": [{}]}',
    '{"name": "f", "nodes": [1]}',
    '{"name": "f", "nodes": [{"id": NaN}]}',
]


async def test_an_invalid_flow_is_answered_422(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    for body in BAD_FLOWS:
        answer = await user.post(FLOWS, content=body, headers={"content-type": "application/json"})
        assert answer.status_code == (400 if body in UNREADABLE else 422), body
        assert answer.json()["code"] in {"invalid_json", "validation_failed", "invalid_flow"}


async def test_a_flow_with_an_unknown_model_is_saved_with_a_warning(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    for model, version, reason in (
        ("nothing", "latest", "there is no model 'nothing'"),
        ("mlp", "9", "no version or label '9'"),
        ("../mlp", "latest", "../mlp"),
    ):
        made = await user.post(FLOWS, json=flow_json(model, version))
        assert made.status_code == 201
        (warning,) = made.json()["warnings"]
        assert (warning["code"], warning["pointer"]) == (
            "unknown_model",
            "#/nodes/1/config/model",
        )
        assert reason in warning["message"]
        url = f"{FLOWS}{made.json()['id']}/"
        renamed = await user.patch(url, json={"name": "Renamed"})
        assert renamed.json()["warnings"] == [warning]
        assert (await user.put(url, json=flow_json())).json()["warnings"] == []
