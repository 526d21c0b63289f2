"""The examples in docs/flows.md, run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import GatewayError
from gateway.flows.node_types.registry import HANDLERS
from gateway.flows.ports import ModelCall
from gateway.flows.schemas import FlowIn
from gateway.outbound.messages import OutboundRequest, OutboundResponse
from protos.errors import ErrorCode
from tests.gateway.flows.fake_ports import FakePorts, reply
from tests.gateway.flows.flow_builder import Json, completed
from tests.gateway.flows.installed_package import install_nodes

PAGE = (Path(__file__).parents[3] / "docs" / "flows.md").read_text()


def _examples() -> list[tuple[str, Json, Json]]:
    """Return the heading, the flow and the call of each example."""
    found: list[tuple[str, Json, Json]] = []
    title, flow = "Flows", Json()
    for heading, block in re.findall(r"^##+ ([^\n]*)$|^```json\n(.*?)^```", PAGE, re.M | re.S):
        if heading:
            title = heading
            continue
        example = json.loads(block)
        if "nodes" in example:
            flow = example
        else:
            found.append((title, flow, example))
    return found


EXAMPLES = _examples()


async def model(call: ModelCall) -> dict[str, Any]:
    """Act as the iris model."""
    assert call.model == "iris"
    return {"label": [0 for _ in call.inputs["x"]]}


async def service(call: OutboundRequest) -> OutboundResponse:
    """Act as a service with one user."""
    if call.url == "https://users.example.com/v1/users/7?fields=name":
        assert call.headers == {"authorization": "Bearer t"}
        return reply({"name": "Ada"})
    if call.url.startswith("https://users.example.com/"):
        return reply({"error": "no such user"}, 404)
    raise GatewayError(ErrorCode.INTERNAL, "unknown host")


def test_every_node_type_has_an_example() -> None:
    assert {heading for heading, _, _ in EXAMPLES} >= set(HANDLERS)
    for heading, flow, _ in EXAMPLES:
        if heading in HANDLERS:
            assert heading in {node["type"] for node in flow["nodes"]}


def test_examples_are_complete_files_of_flows() -> None:
    for _, flow, _ in EXAMPLES:
        assert FlowIn.model_validate(flow).name


@pytest.mark.parametrize(
    ("flow", "call"),
    [example[1:] for example in EXAMPLES],
    ids=[example[0].replace(" ", "-") for example in EXAMPLES],
)
async def test_examples_answer_as_documented(
    flow: Json, call: Json, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_nodes(tmp_path, monkeypatch)
    answer = await completed(flow, call["input_data"], world=FakePorts(model, service))
    assert answer == call["output_data"]
