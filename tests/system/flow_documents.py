"""Small flows as JSON, for tests to deploy."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

# Any, here and below: JSON
Json = dict[str, Any]


def node(node_id: str, node_type: str, **config: Any) -> Json:
    """Return one node."""
    return {"id": node_id, "type": node_type, "config": config}


def linear_flow(name: str, *nodes: Json) -> Json:
    """Return a flow whose nodes form a chain."""
    edges = [{"source": source["id"], "target": target["id"]} for source, target in pairwise(nodes)]
    return {"name": name, "nodes": list(nodes), "edges": edges}


def echo_flow() -> Json:
    """Return the flow of the documentation, which returns `{"param1": …}` unchanged."""
    return linear_flow(
        "Chat Workflow",
        node("input", "api_input", test_data={"param1": "value1"}),
        node("output", "api_output", fields={"param1": "input.param1"}),
    )


def transform_flow(expression: str = "input.x * 2") -> Json:
    """`{"x": …}` → `{"y": …}`, computed by the node `compute`."""
    return linear_flow(
        "Computing",
        node("input", "api_input"),
        node("compute", "transform", fields={"y": expression}),
        node("output", "api_output", fields={"y": "compute.y"}),
    )


def division_flow() -> Json:
    """`{"x": …}` → `{"y": 10 / x}`; if x is 0, the node `compute` fails by the caller's mistake."""
    return transform_flow("10 / input.x")


def failing_flow() -> Json:
    """Whatever its input, the node `compute` fails by its author's mistake."""
    return transform_flow("1 / 0")


def waiting_flow(seconds: float) -> Json:
    """`{"x": …}` → `{"x": …}`, after a pause in the node `pause`."""
    return linear_flow(
        f"Waiting {seconds:g} s",
        node("input", "api_input"),
        node("pause", "wait", seconds=seconds),
        node("output", "api_output", fields={"x": "input.x"}),
    )


def callback_flow(url: str, seconds: float) -> Json:
    """Wait, then call `url`, once per execution of the run."""
    return linear_flow(
        f"Telling after {seconds:g} s",
        node("input", "api_input"),
        node("pause", "wait", seconds=seconds),
        node("tell", "http_request", method="POST", url=url),
        node("output", "api_output", fields={"x": "input.x"}),
    )
