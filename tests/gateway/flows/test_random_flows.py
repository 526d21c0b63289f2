"""Random flows: each node runs at most once and in order, and no task is left behind."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.flows.ports import ModelCall
from gateway.flows.result import FlowResult, NodeResult
from protos.errors import ErrorCode
from tests.gateway.flows.fake_ports import FakePorts, failing
from tests.gateway.flows.flow_builder import INPUT, Json, build_flow, compiled, node, run, transform


@dataclass
class Shape:
    """A flow, and the failures to inject."""

    kinds: list[str]
    edges: list[tuple[int, int, str | None]]
    broken: set[int] = field(default_factory=set)
    going_on: set[int] = field(default_factory=set)
    seed: int = 0

    def flow(self) -> Json:
        """Return the flow as JSON; n0 is the input."""
        nodes = [
            _node(at, kind, going_on=at in self.going_on) for at, kind in enumerate(self.kinds)
        ]
        edges = " ".join(f"n{a}>n{b}{f':{case}' if case else ''}" for a, b, case in self.edges)
        return build_flow(edges, *nodes)


def _node(at: int, kind: str, *, going_on: bool) -> Json:
    name = f"n{at}"
    own: Json = {"on_error": "continue"} if going_on else {}
    match kind:
        case "input":
            return INPUT | {"id": name}
        case "branch":
            return node(name, "branch", condition=f"n0.x > {at}", **own)
        case "transform":
            return transform(name, x=f"n0.x + {at}")
        case _:
            return node(name, "inference", model="m", inputs={"at": str(at)}, **own)


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    """Draw flows in which every node is reachable."""
    count = draw(st.integers(2, 12))
    kinds = ["input"] + [
        draw(st.sampled_from(["model", "model", "transform", "branch"])) for _ in range(1, count)
    ]
    edges: list[tuple[int, int, str | None]] = []
    for target in range(1, count):
        sources = draw(st.sets(st.integers(0, target - 1), min_size=1, max_size=3))
        for source in sorted(sources):
            cases = ["true", "false", None] if kinds[source] == "branch" else [None]
            edges.append((source, target, draw(st.sampled_from(cases))))
    some = st.sets(st.integers(1, count - 1), max_size=2)
    return Shape(kinds, edges, draw(some), draw(some), draw(st.integers()))


def _world(shape: Shape, *, stop: asyncio.Event | None = None, after: int = 0) -> FakePorts:
    chance = random.Random(shape.seed)
    asked = 0

    async def model(call: ModelCall) -> dict[str, Any]:
        nonlocal asked
        asked += 1
        if stop is not None and asked > after:
            stop.set()
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
        if int(call.node_id[1:]) in shape.broken:
            await failing(ErrorCode.INFERENCE_FAILED, "broken")(call)
        return dict(call.inputs)

    return FakePorts(model)


def _check(shape: Shape, outcome: FlowResult, heard: list[NodeResult], world: FakePorts) -> None:
    ends = [output.id for output in heard]
    assert Counter(ends) == Counter(f"n{at}" for at in range(len(shape.kinds)))
    assert max(Counter(call.node_id for call in world.inferences).values(), default=1) == 1
    assert world.busy == 0
    if outcome.status == "completed":
        for source, target, _ in shape.edges:
            assert ends.index(f"n{source}") < ends.index(f"n{target}")


def _expected(shape: Shape, x: int) -> dict[str, str]:
    """Return the expected node states if no failure ends the run."""
    found: dict[int, str] = {0: "completed"}
    for at, kind in enumerate(shape.kinds):
        if at == 0:
            continue
        taken = [
            found[source] != "skipped" and case in {None, "true" if x > source else "false"}
            for source, target, case in shape.edges
            if target == at
        ]
        broken = kind == "model" and at in shape.broken
        found[at] = ("failed" if broken else "completed") if any(taken) else "skipped"
    return {f"n{at}": status for at, status in found.items()}


@given(shape=shapes(), x=st.integers(0, 12))
def test_each_node_ends_once_after_its_predecessors(shape: Shape, x: int) -> None:
    heard: list[NodeResult] = []
    world = _world(shape)
    outcome = asyncio.run(run(shape.flow(), {"x": x}, world=world, report=heard.append))
    _check(shape, outcome, heard, world)
    expected = _expected(shape, x)
    found = {output.id: str(output.status) for output in heard}
    if outcome.status == "completed":
        assert found == expected
    else:
        assert outcome.error is not None
        assert expected[outcome.error.node_id or ""] == "failed"
        assert int((outcome.error.node_id or "")[1:]) not in shape.going_on


@given(shape=shapes(), after=st.integers(0, 6))
def test_a_run_can_be_cancelled_at_any_time(shape: Shape, after: int) -> None:
    async def cancelled_run() -> None:
        stop = asyncio.Event()
        heard: list[NodeResult] = []
        world = _world(shape, stop=stop, after=after)
        outcome = await run(
            compiled(shape.flow()), {"x": 1}, world=world, cancelled=stop, report=heard.append
        )
        _check(shape, outcome, heard, world)
        assert outcome.status in {"completed", "failed", "cancelled"}
        if outcome.status == "cancelled":
            assert stop.is_set()

    asyncio.run(cancelled_run())
