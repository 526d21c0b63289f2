"""Text that a database or another process cannot take is refused, not an error of the gateway."""

from __future__ import annotations

import pytest

from tests.gateway.flows.flow_builder import INPUT, OUTPUT, build_flow
from tests.gateway.in_process_gateway import InProcessGateway

pytestmark = pytest.mark.databases("sqlite", "postgresql")

FLOW = build_flow("input>output", INPUT, OUTPUT)
JSON = {"content-type": "application/json"}


@pytest.mark.parametrize("kind", ["expression", "template"])
@pytest.mark.parametrize("number", ["NaN", "1e999", "1" * 400])
async def test_numbers_of_expressions(
    in_process_gateway: InProcessGateway, kind: str, number: str
) -> None:
    user = await in_process_gateway.user()
    text = "{{ input.x }}" if kind == "template" else "input.x"
    body = '{"expression": "%s", "kind": "%s", "values": {"input": {"x": %s}}}'
    content = body % (text, kind, number)
    answer = await user.post("/node/expressions/check/", content=content, headers=JSON)
    assert answer.status_code in (200, 400, 422), answer.text


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("expressions/check/", '{"expression": "\\ud800"}'),
        ("expressions/check/", '{"expression": "\\u0000"}'),
        ("expressions/check/", '{"expression": "{{ \\ud800 }}", "kind": "template"}'),
        ("expressions/check/", '{"expression": "x", "values": {"x": "\\ud800"}}'),
        ("expressions/check/", '{"expression": "x", "values": {"\\ud800": 1}}'),
        ("flows/check/", '{"nodes": [{"id": "\\ud800", "type": "wait"}]}'),
        ("flows/test/", '{"nodes": %(nodes)s, "edges": %(edges)s, "pins": {"output": "\\ud800"}}'),
        ("flows/test/", '{"nodes": %(nodes)s, "edges": %(edges)s, "pins": {"output": NaN}}'),
        ("flows/test/", '{"nodes": %(nodes)s, "edges": %(edges)s, "until": "\\ud800"}'),
        ("flows/test/", '{"nodes": %(nodes)s, "edges": %(edges)s, "input_data": {"x": "\\ud800"}}'),
        ("flows/test/", '{"nodes": %(nodes)s, "edges": %(edges)s, "flow_id": "\\u0000"}'),
    ],
)
async def test_bodies(in_process_gateway: InProcessGateway, path: str, content: str) -> None:
    user = await in_process_gateway.user()
    flow = {name: str(part).replace("'", '"') for name, part in FLOW.items()}
    answer = await user.post(
        f"/node/{path}", content=content % flow if "%(" in content else content, headers=JSON
    )
    assert answer.status_code in (200, 400, 404, 422), answer.text


@pytest.mark.parametrize("q", ["\0", "%00", "a" * 201, "\x1f"])
async def test_queries(in_process_gateway: InProcessGateway, q: str) -> None:
    user = await in_process_gateway.user()
    answer = await user.get("/node/flows/", params={"q": q, "view": "summary"})
    assert answer.status_code in (200, 422), answer.text
