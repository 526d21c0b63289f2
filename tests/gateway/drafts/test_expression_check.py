"""Expressions and templates, evaluated for their authors."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from gateway.settings import Settings
from gateway.storage.database import Database
from tests.gateway.in_process_gateway import InProcessGateway

Json = dict[str, Any]
CHECK = "/node/expressions/check/"
VALUES = {
    "input": {"x": 2, "rows": [{"y": 1.5}], "name": "Ada", "big": "a" * 300_000},
    "skipped": None,
}


async def checked(user: httpx.AsyncClient, expression: str, **body: Any) -> Json:
    """Return the answer about an expression."""
    answer = await user.post(CHECK, json={"expression": expression, "values": VALUES, **body})
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    assert found["ok"] is (found["error"] is None)
    return found


@pytest.mark.parametrize(
    ("expression", "value", "kind"),
    [
        ("input.x", 2, "int"),
        ("input.x * 2 > 3", True, "bool"),
        ("input.rows.map(r, r.y)", [1.5], "list"),
        ("{'a': input.name}", {"a": "Ada"}, "map"),
        ("timestamp('2026-01-02T03:04:05Z')", "2026-01-02T03:04:05Z", "timestamp"),
        ("duration('1m30s')", "90s", "duration"),
        ("skipped", None, "null"),
        ("1.0 / 0.0", "Infinity", "double"),
        ("b'abc'", "YWJj", "bytes"),
    ],
)
async def test_values_have_types(
    in_process_gateway: InProcessGateway, expression: str, value: object, kind: str
) -> None:
    user = await in_process_gateway.user()
    found = await checked(user, expression)
    assert (found["error"], found["value"], found["type"]) == (None, value, kind)


async def test_the_paths_of_an_expression_are_its_steps(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    expression = "'é😀' == 'input.x' ? 1 : input.x + size(input.rows) + input.x"
    found = await checked(user, expression)
    assert found["value"] == 5
    units = expression.encode("utf-16-le")
    assert [
        (units[2 * step["from"] : 2 * step["to"]].decode("utf-16-le"), step["value"], step["type"])
        for step in found["steps"]
    ] == [("input.x", 2, "int"), ("input.rows", [{"y": 1.5}], "list")]
    assert [step["expression"] for step in found["steps"]] == ["input.x", "input.rows"]


@pytest.mark.parametrize(
    ("expression", "place", "words"),
    [
        ("input.x +", "", "mismatched input"),
        ("1 +\n* 2", "*", "extraneous input"),
        ("1 + nope(2)", "nope", "unknown function"),
        ("input.x + missing.y", "missing", "no value of a node"),
        ("input.x + input.y", "input.y", "unknown key"),
        ("input.y", "input.y", "has no 'y'"),
        ("input.x + 'a'", "input.x + 'a'", "do not match"),
        ("", "", "mismatched input"),
        ("(" * 30, "(" * 30, "nested deeper"),
    ],
)
async def test_errors_have_places(
    in_process_gateway: InProcessGateway, expression: str, place: str, words: str
) -> None:
    user = await in_process_gateway.user()
    found = await checked(user, expression)
    assert words in found["error"]["message"]
    assert expression[found["error"]["from"] : found["error"]["to"]] == place
    assert (found["value"], found["type"]) == (None, None)


async def test_a_template_is_rendered_with_the_value_of_each_expression(
    in_process_gateway: InProcessGateway,
) -> None:
    user = await in_process_gateway.user()
    text = "Hi {{ input.name }}: {{ input.x * 2 }}"
    found = await checked(user, text, kind="template")
    assert (found["value"], found["type"]) == ("Hi Ada: 4", "string")
    assert [(step["expression"], step["value"]) for step in found["steps"]] == [
        ("input.name", "Ada"),
        ("input.x * 2", 4),
    ]
    broken = await checked(user, "Hi {{ input.name }} {{ input.y }}", kind="template")
    assert broken["error"]["from"] == len("Hi {{ input.name }} {{ ")
    assert len(broken["steps"]) == 1
    null = await checked(user, "{{ skipped }}", kind="template")
    assert "null" in null["error"]["message"]
    assert (await checked(user, "plain", kind="template"))["value"] == "plain"


async def test_large_values_are_shortened(in_process_gateway: InProcessGateway) -> None:
    user = await in_process_gateway.user()
    found = await checked(user, "input.big")
    assert found["value"]["truncated"] is True
    assert found["steps"][0]["value"]["truncated"] is True


async def test_what_takes_too_long_is_stopped(database: Database, settings: Settings) -> None:
    gateway = InProcessGateway(settings.model_copy(update={"evaluation_seconds": 1.0}))
    user = await gateway.user()
    values = {"input": {"rows": list(range(3_000))}}
    loops = "input.rows.all(a, input.rows.all(b, input.rows.all(c, a + b + c >= 0)))"
    found = await checked(user, loops, values=values)
    assert found["ok"] is False
    assert "cannot be evaluated" in found["error"]["message"]
    assert (found["error"]["from"], found["error"]["to"]) == (0, len(loops))
    assert (await checked(user, "1 + 1"))["value"] == 2
    await gateway.close()
    assert database.dialect
