"""A page of the console calls models by its session."""

from __future__ import annotations

import pytest

from gateway.auth.identity import Role
from gateway.auth.session_cookie import SESSION_COOKIE
from gateway.settings import Settings
from tests.gateway.private_model import following_gateway
from tests.gateway.served_gateway import ServedGateway

INFER = "/v2/models/mlp/infer"


@pytest.mark.databases("sqlite", "postgresql")
async def test_a_session_calls_models_and_only_with_its_csrf_token(
    served_gateway: ServedGateway,
) -> None:
    browser = await served_gateway.browser(await served_gateway.user("ada@example.com", Role.OWNER))
    assert (await browser.get("/v2/models")).json() == {"models": []}
    answer = await browser.post(INFER, json={"inputs": []})
    assert answer.status_code == 404, answer.text
    assert "no inference server" in answer.json()["error"]
    for headers in (
        {"x-csrf-token": ""},
        {"x-csrf-token": "0" * 64},
        {"sec-fetch-site": "cross-site"},
        {"origin": "https://evil.example"},
    ):
        refused = await browser.post(INFER, json={"inputs": []}, headers=headers)
        assert (refused.status_code, set(refused.json())) == (403, {"error"}), headers
    await browser.delete("/node/session/")
    assert (await browser.post(INFER, json={"inputs": []})).status_code == 401


async def test_a_cookie_does_not_refuse_an_anonymous_call(settings: Settings) -> None:
    async with following_gateway(settings.model_copy(update={"anonymous_v2": True})) as gateway:
        ended = gateway.client(cookie=f"{SESSION_COOKIE}={'0' * 64}")
        assert (await ended.get("/v2/models")).status_code == 200
        for headers in ({}, {"x-csrf-token": "0" * 64}):
            answer = await ended.post(INFER, json={"inputs": []}, headers=headers)
            assert "no inference server" in answer.json()["error"]
