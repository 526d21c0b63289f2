"""Flows in few words, and runs of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from time import monotonic
from typing import Any

import pytest

from gateway.errors import GatewayError
from gateway.flows.engine import Report, execute
from gateway.flows.outcome import Outcome
from gateway.flows.plan import Plan, compile_plan
from gateway.flows.spec import parse_flow
from tests.gateway.flows.world import World

Json = dict[str, Any]


def node(node_id: str, node_type: str, **config: Any) -> Json:
    """Return a node; `retry`, `on_error` and `name` are its own, all else is its configuration."""
    own = {word: config.pop(word) for word in ("retry", "on_error", "name") if word in config}
    return {"id": node_id, "type": node_type, "config": config, **own}


def transform(node_id: str, **fields: str) -> Json:
    """Return a transform."""
    return node(node_id, "transform", fields=fields)


def sketch(edges: str, *nodes: Json) -> Json:
    """Return a flow; `edges` is such as `input>a a>b a>c:case`."""
    return {"nodes": list(nodes), "edges": [_edge(edge) for edge in edges.split()]}


def _edge(edge: str) -> Json:
    source, _, rest = edge.partition(">")
    target, _, case = rest.partition(":")
    return {"source": source, "target": target} | ({"case": case} if case else {})


INPUT = node("input", "api_input")
OUTPUT = node("output", "api_output")
ONE_MODEL = sketch("input>model model>output", INPUT, node("model", "inference", model="m"), OUTPUT)


def planned(flow: Json) -> Plan:
    """Return the flow's plan."""
    return compile_plan(parse_flow(flow))


def refused(flow: Json) -> dict[str, str]:
    """Return what is wrong with a flow: pointer → detail."""
    with pytest.raises(GatewayError) as caught:
        planned(flow)
    assert caught.value.code == "invalid_flow"
    return {error["pointer"]: error["detail"] for error in caught.value.errors}


async def run(
    flow: Json | Plan,
    input_data: Mapping[str, Any] | None = None,
    *,
    world: World | None = None,
    seconds: float = 30,
    cancelled: asyncio.Event | None = None,
    report: Report | None = None,
    max_output_bytes: int = 256 * 1024,
) -> Outcome:
    """Run a flow, and check that nothing of it is left behind."""
    plan = flow if isinstance(flow, Plan) else planned(flow)
    before = asyncio.all_tasks()
    outcome = await execute(
        plan,
        plan.check_input(input_data or {}),
        (world or World()).ports,
        deadline=monotonic() + seconds,
        cancelled=cancelled or asyncio.Event(),
        report=report,
        max_output_bytes=max_output_bytes,
    )
    assert asyncio.all_tasks() == before
    return outcome


async def completed(
    flow: Json | Plan, input_data: Mapping[str, Any] | None = None, **more: Any
) -> Json:
    """Run a flow that completes; return its output_data."""
    outcome = await run(flow, input_data, **more)
    assert outcome.error is None, outcome.error
    assert outcome.output_data is not None
    return outcome.output_data


def statuses(outcome: Outcome) -> dict[str, str]:
    """Return how each node ended."""
    return {node_id: output["status"] for node_id, output in outcome.node_outputs.items()}
