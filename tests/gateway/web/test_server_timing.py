"""Every answer but a probe's says how long it took."""

from __future__ import annotations

import re

import pytest

from gateway.auth.identity import Scope
from tests.gateway.served_gateway import ServedGateway


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/node/flows/", 200),
        ("GET", "/node/flows/nowhere/", 404),
        ("PUT", "/node/flows/", 405),
        ("POST", "/node/deployment-trigger/nowhere/", 404),
        ("GET", "/v2", 200),
        ("GET", "/v2/models/mlp", 404),
        ("POST", "/v2/models/mlp/infer", 400),
        ("GET", "/nowhere", 404),
    ],
)
async def test_every_answer_has_its_duration(
    served_gateway: ServedGateway, method: str, path: str, status: int
) -> None:
    ada = await served_gateway.user("ada@example.com")
    client = await served_gateway.key_client(ada, Scope.MANAGE)
    answer = await client.request(method, path)
    assert answer.status_code == status, answer.text
    timing = answer.headers["server-timing"]
    assert re.fullmatch(r"(\w+;dur=[\d.]+, )*total;dur=\d+\.\d{3}", timing), timing
