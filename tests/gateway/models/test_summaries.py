"""The list of models with what belongs to each, and their graphs."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.auth.identity import Role, Scope
from tests import onnx_models
from tests.gateway.databases import statements
from tests.gateway.in_process_gateway import InProcessGateway, deploy, flow_json
from tests.gateway.private_model import MODELS, PRIVATE, PrivateModel, upload

pytestmark = pytest.mark.databases("sqlite", "postgresql")

SUMMARY = {"view": "summary"}


async def test_a_summary_has_versions_signature_servers_and_deployments(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    other = await in_process_gateway.user("bob@example.com")
    deployed = await deploy(user, flow_json(version="1"), name="mine")
    await deploy(other, flow_json(version="2"), name="another user's")
    started = {"model": "mlp", "version": 2}
    server = (await user.post("/node/inference-servers/", json=started)).json()

    mlp, scaled = (await user.get(MODELS, params=SUMMARY)).json()["items"]

    assert (mlp["name"], mlp["latest"], mlp["version_count"]) == ("mlp", 2, 2)
    assert [version["version"] for version in mlp["versions"]] == [2, 1]
    assert mlp["versions"][0]["size"] > 0
    assert mlp["versions"][0]["warnings"] == []
    assert [tensor["name"] for tensor in mlp["signature"]["inputs"]] == ["x"]
    assert [(it["id"], it["version"], it["state"]) for it in mlp["serving"]] == [
        (server["id"], 2, "stopped")
    ]
    assert mlp["used_by"] == [{"deployment_id": deployed["id"], "name": "mine", "version": 1}]
    assert mlp["used_by_others"] == 1
    assert (scaled["serving"], scaled["used_by"], scaled["used_by_others"]) == ([], [], 0)


async def test_what_a_rollout_tries_is_used_and_what_is_deleted_is_not(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    deployed = await deploy(user, flow_json(version="1"))
    changed = {"nodes": flow_json(version="2")["nodes"]}
    await user.patch(f"/node/flows/{deployed['flow_id']}/", json=changed)
    path = f"/node/deployments/{deployed['id']}/"
    begun = await user.post(f"{path}rollout/", json={"strategy": "canary"})
    assert begun.status_code == 201, begun.text

    async def used() -> list[int]:
        mlp, _ = (await user.get(MODELS, params=SUMMARY)).json()["items"]
        return sorted(pinned["version"] for pinned in mlp["used_by"])

    assert await used() == [1, 2]
    await user.delete(f"{path}rollout/")
    assert await used() == [1]
    await user.delete(path)
    assert await used() == []


async def test_deployments_of_others_are_counted_again_only_when_one_changes(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    other = await in_process_gateway.user("bob@example.com")
    await deploy(other, flow_json(version="1"))

    async def others() -> tuple[int, int]:
        with statements(in_process_gateway.db) as asked:
            mlp, _ = (await user.get(MODELS, params=SUMMARY)).json()["items"]
        return mlp["used_by_others"], len([one for one in asked if "count(DISTINCT" in one])

    assert await others() == (1, 1)
    assert await others() == (1, 0)
    second = await deploy(other, flow_json(version="2"))
    await deploy(user, flow_json(version="2"))
    await in_process_gateway.feed.poll()
    assert await others() == (2, 1)
    await other.delete(f"/node/deployments/{second['id']}/")
    await in_process_gateway.feed.poll()
    assert await others() == (1, 1)


async def test_names_are_filtered_and_paged(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    for query, names in (("", ["mlp", "scaled"]), ("LP", ["mlp"]), ("none", [])):
        for view in ("names", "summary"):
            page = (await user.get(MODELS, params={"view": view, "q": query})).json()
            assert [item["name"] for item in page["items"]] == names
    page = (await user.get(MODELS, params={**SUMMARY, "limit": 1})).json()
    assert page["next_cursor"] == "mlp"
    page = (await user.get(MODELS, params={**SUMMARY, "limit": 1, "cursor": "mlp"})).json()
    assert ([item["name"] for item in page["items"]], page["next_cursor"]) == (["scaled"], None)


async def test_a_page_takes_as_many_queries_whatever_it_has(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    counts = []
    for query in ("mlp", ""):
        await user.get(MODELS, params={**SUMMARY, "q": query})  # manifests are read once
        with statements(in_process_gateway.db) as asked:
            await user.get(MODELS, params={**SUMMARY, "q": query})
        counts.append(len(asked))
    assert counts[0] == counts[1]


async def test_a_private_model_and_deployments_of_it_are_shown_to_its_owner_only(
    private_model: PrivateModel,
) -> None:
    gateway = private_model.gateway
    shown = (await private_model.owner.client.get(MODELS, params=SUMMARY)).json()["items"]
    assert PRIVATE in [item["name"] for item in shown]
    for caller in await private_model.others():
        if caller.credential == "trigger key":
            continue
        page = await caller.client.get(MODELS, params=SUMMARY)
        assert PRIVATE not in page.text
        graph = await caller.client.get(f"{MODELS}{PRIVATE}/versions/1/graph/")
        nothing = await caller.client.get(f"{MODELS}nothing/versions/1/graph/")
        assert (graph.status_code, nothing.status_code) == (404, 404)
        assert graph.json()["message"] == nothing.json()["message"].replace("nothing", PRIVATE)
    admin = await gateway.key_client(
        await gateway.user("admin@example.com", Role.ADMIN), Scope.MANAGE
    )
    assert PRIVATE in (await admin.get(MODELS, params=SUMMARY)).text


async def test_a_version_that_was_published_again_is_read_again(
    private_model: PrivateModel, tmp_path: Path
) -> None:
    client, store = private_model.owner.client, private_model.gateway.services.store

    async def inputs() -> list[list[int]]:
        page = (await client.get(MODELS, params={**SUMMARY, "q": PRIVATE})).json()
        return [tensor["shape"] for tensor in page["items"][0]["signature"]["inputs"]]

    assert await inputs() == [[-1, 3]]
    store.remove(PRIVATE, 1)
    other = onnx_models.identity(tmp_path / "other.onnx", shape=("N", 7)).read_bytes()
    assert (await upload(client, other, version="1")).status_code == 201
    await private_model.gateway.container.feed.poll()
    assert await inputs() == [[-1, 7]]


async def test_a_graph_has_operators_and_how_they_are_connected(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    graph = (await user.get(f"{MODELS}mlp/versions/latest/graph/")).json()
    assert graph["ops"] == {"Gemm": 2, "Relu": 1, "Softmax": 1}
    assert [(node["kind"], node["op"]) for node in graph["nodes"]] == [
        ("input", ""),
        *(("operator", op) for op in ("Gemm", "Relu", "Gemm", "Softmax")),
        ("output", ""),
    ]
    tensors = [(edge["source"], edge["target"], edge["tensor"]) for edge in graph["edges"]]
    assert tensors == [(0, 1, "x"), (1, 2, "h"), (2, 3, "r"), (3, 4, "logits"), (4, 5, "y")]
    assert (graph["folded"], graph["reason"]) == (0, None)
