"""The flows that the console offers as examples, run with their test data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.gateway.flows.fake_ports import FakePorts
from tests.gateway.flows.flow_builder import Json, completed

FOLDER = Path(__file__).parents[3] / "console" / "src" / "screens" / "flows" / "examples"
ANSWERS: dict[str, list[tuple[Json, Json]]] = {
    "checked-order": [
        (
            {"amount": 2500, "customer": "Ada"},
            {"size": "large", "reviewed_by": "a person", "priority": "normal"},
        ),
        ({"amount": 9.5}, {"size": "small", "reviewed_by": "a rule", "priority": "none"}),
    ],
    "prices": [
        (
            {
                "items": [
                    {"name": "lamp", "price": 40, "stock": 3},
                    {"name": "desk", "price": 250, "stock": 0},
                ],
                "tax": 0.19,
            },
            {"count": 1, "prices": [{"name": "lamp", "price": 47.6}]},
        ),
        (
            {"items": [{"name": "pen", "price": 1}]},
            {"count": 1, "prices": [{"name": "pen", "price": 1.0}]},
        ),
    ],
    "fallback": [
        ({"age": "36"}, {"age": 36, "known": True}),
        ({"age": "unknown"}, {"age": -1, "known": False}),
    ],
    "slow-step": [({"seconds": 2}, {"waited": 2})],
}


def test_each_example_is_run() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(ANSWERS)


@pytest.mark.parametrize("name", ANSWERS)
async def test_an_example_answers(name: str) -> None:
    flow = json.loads((FOLDER / f"{name}.json").read_text())
    (test_data, _), *_ = ANSWERS[name]
    assert flow["nodes"][0]["config"]["test_data"] == test_data
    for input_data, output_data in ANSWERS[name]:
        assert await completed(flow, input_data, world=FakePorts()) == output_data
