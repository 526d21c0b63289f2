"""Builds flows from short notations, and runs them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import nullcontext
from time import monotonic
from typing import Any

import orjson
import pytest

from gateway.errors import GatewayError
from gateway.flows.engine import LendSlot, OnNodeEnd, execute
from gateway.flows.flow_check import check_flow
from gateway.flows.plan import FlowPlan, compile_plan
from gateway.flows.result import FlowResult
from gateway.flows.spec import parse_flow
from tests.gateway.flows.fake_ports import EVALUATOR, FakePorts, result_of
from tests.timing import TIMEOUT_SECONDS

Json = dict[str, Any]


def node(node_id: str, node_type: str, **config: Any) -> Json:
    """Return a node; other arguments than `retry`, `on_error` and `name` are its configuration."""
    own = {word: config.pop(word) for word in ("retry", "on_error", "name") if word in config}
    return {"id": node_id, "type": node_type, "config": config, **own}


def transform(node_id: str, **fields: str) -> Json:
    """Return a transform."""
    return node(node_id, "transform", fields=fields)


def build_flow(edges: str, *nodes: Json) -> Json:
    """Return a flow; `edges` is written like `input>a a>b a>c:case`."""
    return {"nodes": list(nodes), "edges": [_edge(edge) for edge in edges.split()]}


def _edge(edge: str) -> Json:
    source, _, rest = edge.partition(">")
    target, _, case = rest.partition(":")
    return {"source": source, "target": target} | ({"case": case} if case else {})


INPUT = node("input", "api_input")
OUTPUT = node("output", "api_output")
ONE_MODEL = build_flow(
    "input>model model>output", INPUT, node("model", "inference", model="m"), OUTPUT
)


def compiled(flow: Json) -> FlowPlan:
    """Return the flow's plan, after everything in it was checked."""
    result_of(check_flow(flow, EVALUATOR))
    return compile_plan(parse_flow(flow))


def checked_input(plan: FlowPlan, input_data: Mapping[str, Any]) -> Json:
    """Return the inputs that the flow receives."""
    checked: Json = orjson.loads(
        result_of(
            plan.check_input(
                plan.selection.write(input_data), EVALUATOR, monotonic() + TIMEOUT_SECONDS
            )
        )
    )
    return checked


def validation_errors(flow: Json) -> dict[str, str]:
    """Return the errors of a flow: pointer → detail."""
    with pytest.raises(GatewayError) as caught:
        compiled(flow)
    assert caught.value.code == "invalid_flow"
    return {error["pointer"]: error["detail"] for error in caught.value.errors}


async def run(
    flow: Json | FlowPlan,
    input_data: Mapping[str, Any] | None = None,
    *,
    world: FakePorts | None = None,
    seconds: float = 30,
    cancelled: asyncio.Event | None = None,
    report: OnNodeEnd | None = None,
    lend_slot: LendSlot = nullcontext,
    max_output_bytes: int = 256 * 1024,
) -> FlowResult:
    """Run a flow, and check that it leaves no task behind."""
    plan = flow if isinstance(flow, FlowPlan) else compiled(flow)
    before = _tasks()
    outcome = await execute(
        plan,
        {name: (input_data or {})[name] for name in checked_input(plan, input_data or {})},
        (world or FakePorts()).ports,
        deadline=monotonic() + seconds,
        cancelled=cancelled or asyncio.Event(),
        report=report,
        lend_slot=lend_slot,
        max_output_bytes=max_output_bytes,
    )
    assert _tasks() == before
    return outcome


def _tasks() -> set[asyncio.Task[Any]]:
    """Return all tasks but those that wait for the end of child processes, which may stay."""
    return {task for task in asyncio.all_tasks() if not task.get_name().startswith("child process")}


async def completed(
    flow: Json | FlowPlan, input_data: Mapping[str, Any] | None = None, **more: Any
) -> Json:
    """Run a flow that completes; return its output_data."""
    outcome = await run(flow, input_data, **more)
    assert outcome.error is None, outcome.error
    assert outcome.output_data is not None
    return outcome.output_data


def statuses(outcome: FlowResult) -> dict[str, str]:
    """Return how each node ended."""
    return {node_id: output["status"] for node_id, output in outcome.node_outputs.items()}
