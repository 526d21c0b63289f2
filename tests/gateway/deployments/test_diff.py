"""Differences between versions, and between live version and draft."""

from __future__ import annotations

from typing import Any

from gateway.deployments.graph_diff import changes, diff_graphs, same
from tests.gateway.in_process_gateway import DEPLOYMENTS, InProcessGateway, deploy, flow_json

# Any, throughout: JSON
Json = dict[str, Any]


def graph(*nodes: Json, edges: tuple[str, ...] = ()) -> Json:
    """Return a graph; an edge is written as `a>b`."""
    ends = [edge.split(">") for edge in edges]
    return {"nodes": list(nodes), "edges": [{"source": a, "target": b} for a, b in ends]}


def node(node_id: str, **config: Any) -> Json:
    """Return a wait node."""
    return {"id": node_id, "type": "wait", "config": config}


def test_added_and_removed_nodes_and_edges_are_listed() -> None:
    before = graph(node("a"), node("b"), node("c"), edges=("a>b", "b>c"))
    after = graph(node("a"), node("c"), node("d"), edges=("a>c", "c>d"))
    found = diff_graphs(before, after)
    assert [each["id"] for each in found.nodes_added] == ["d"]
    assert [each["id"] for each in found.nodes_removed] == ["b"]
    assert found.nodes_changed == ()
    assert {(each["source"], each["target"]) for each in found.edges_added} == {
        ("a", "c"),
        ("c", "d"),
    }
    assert len(found.edges_removed) == 2
    assert not found.empty


def test_a_changed_node_lists_its_members() -> None:
    before = graph(node("a", seconds=1, headers={"x": "1", "y": "2"}, list=[1, 2]))
    after = graph(node("a", seconds=2, headers={"x": "1", "z": "3"}, list=[1, 3]))
    (changed,) = diff_graphs(before, after).nodes_changed
    assert (changed.id, changed.type) == ("a", "wait")
    assert [(field.pointer, field.before, field.after) for field in changed.fields] == [
        ("/config/headers/y", "2", None),
        ("/config/headers/z", None, "3"),
        ("/config/list", [1, 2], [1, 3]),
        ("/config/seconds", 1, 2),
    ]


def test_changed_types_and_edge_cases_are_listed() -> None:
    before, after = graph(node("a")), graph(node("a") | {"type": "branch"})
    (changed,) = diff_graphs(before, after).nodes_changed
    assert [field.pointer for field in changed.fields] == ["/type"]
    before, after = (
        {"nodes": [], "edges": [{"source": "a", "target": "b", "case": case}]} for case in "xy"
    )
    found = diff_graphs(before, after)
    assert [edge["case"] for edge in found.edges_removed + found.edges_added] == ["x", "y"]


def test_layout_and_order_are_ignored() -> None:
    before = graph({"id": "a", "type": "wait"}, node("b"), edges=("a>b",))
    after = {
        "nodes": [node("b") | {"width": 7}, node("a") | {"position": {"x": 1}}],
        "edges": [{"target": "b", "source": "a", "id": "edge-1", "selected": False}],
    }
    assert diff_graphs(before, after).empty


def test_true_differs_from_one() -> None:
    assert not same(True, 1)
    assert [each.pointer for each in changes({"a": [True]}, {"a": [1]})] == ["/a"]
    assert same({"a": 1, "b": [2]}, {"b": [2], "a": 1})


async def _diff(user: Any, made: Json, **sides: str) -> Json:
    answer = await user.get(f"{DEPLOYMENTS}{made['id']}/diff/", params=sides)
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


def asking(schema: Json, **config: Any) -> Json:
    """Return a flow with an input schema."""
    flow = flow_json(**config)
    flow["nodes"][0]["config"]["schema"] = schema
    return flow


async def test_the_draft_is_compared_with_the_live_version(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await deploy(user, asking({"properties": {"x": {"type": "number"}}}, version="1"))
    same_ = await _diff(user, made)
    assert (same_["before"], same_["after"], same_["same"]) == ("1", "draft", True)
    assert same_["problem"] is None
    draft = asking(
        {"properties": {"x": {"type": "string"}}}, version="2", inputs={"x": "input.flower"}
    )
    await user.put(f"/node/flows/{made['flow_id']}/", json=draft)
    found = await _diff(user, made)
    assert found["same"] is False
    assert found["nodes"]["added"] == found["nodes"]["removed"] == []
    pointers = {
        each["id"]: [field["pointer"] for field in each["fields"]]
        for each in found["nodes"]["changed"]
    }
    assert pointers == {
        "input": ["/config/schema/properties/x/type"],
        "model": ["/config/inputs", "/config/version"],
    }
    assert found["models"] == [
        {
            "node": "model",
            "before": {"model": "mlp", "version": 1},
            "after": {"model": "mlp", "version": 2},
            "signature_changed": False,
        }
    ]
    assert found["input_schema"]["breaking"] is True
    (change,) = found["input_schema"]["changes"]
    assert (change["pointer"], change["breaking"]) == ("/properties/x/type", True)
    back = await _diff(user, made, before="draft", after="live")
    assert (back["before"], back["after"]) == ("draft", "1")


async def test_two_versions_are_compared_independently_of_the_draft(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await deploy(user, flow_json("mlp"))
    await user.put(f"/node/flows/{made['flow_id']}/", json=flow_json("scaled"))
    await user.post(f"{DEPLOYMENTS}{made['id']}/redeploy/")
    found = await _diff(user, made, before="1", after="2")
    (change,) = found["models"]
    assert (change["before"]["model"], change["after"]["model"]) == ("mlp", "scaled")
    assert change["signature_changed"] is True
    assert (await _diff(user, made, before="2", after="live"))["same"] is True


async def test_a_moved_label_is_a_difference(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await deploy(user, flow_json(version="stable"))
    await user.put("/node/models/mlp/labels/stable/", json={"version": 2})
    found = await _diff(user, made)
    assert found["same"] is False
    assert found["nodes"]["changed"] == []
    assert found["models"][0]["after"] == {"model": "mlp", "version": 2}


async def test_an_undeployable_draft_is_compared_with_its_problem(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    made = await deploy(user, flow_json(), execution_mode="fast")
    for draft, problem in (
        (flow_json("nothing"), "there is no model 'nothing'"),
        (flow_json(inputs={"x": "input.a + 1"}), "cannot be deployed as fast"),
        (flow_json() | {"edges": []}, "is not reachable from"),
    ):
        await user.put(f"/node/flows/{made['flow_id']}/", json=draft)
        found = await _diff(user, made)
        assert problem in found["problem"]
        assert found["same"] is False


async def test_unknown_versions_are_refused(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    made = await deploy(user, flow_json())
    url = f"{DEPLOYMENTS}{made['id']}/diff/"
    for side, status, code in (
        ("nonsense", 422, "validation_failed"),
        ("-1", 422, "validation_failed"),
        ("²", 422, "validation_failed"),
        ("", 422, "validation_failed"),
        ("2", 404, "not_found"),
        ("0", 404, "not_found"),
    ):
        for name in ("before", "after"):
            answer = await user.get(url, params={name: side})
            assert (answer.status_code, answer.json()["code"]) == (status, code), side
