"""What an installation says of itself, and to whom."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from gateway.auth.identity import Role, Scope
from gateway.auth.keys import generate_key
from gateway.settings import Settings
from gateway.storage.database import Database
from tests.gateway.databases import statements
from tests.gateway.in_process_gateway import InProcessGateway
from tests.gateway.served_gateway import ServedGateway

INFO = "/node/info/"
VERSION = version("slipstream")


@pytest.mark.databases("sqlite", "postgresql")
async def test_without_a_credential_it_is_the_version_and_whether_it_needs_a_set_up(
    served_gateway: ServedGateway,
) -> None:
    client = served_gateway.client()
    answer = await client.get(INFO)
    assert answer.json() == {"version": VERSION, "setup_required": True}
    assert answer.headers["cache-control"] == "no-store"
    await served_gateway.services.users.create("new@example.com", Role.OWNER, None, by=None)
    assert (await client.get(INFO)).json()["setup_required"] is True
    await served_gateway.user("ada@example.com")
    assert (await client.get(INFO)).json() == {"version": VERSION, "setup_required": False}


async def test_once_it_is_set_up_no_client_without_a_credential_causes_a_query(
    served_gateway: ServedGateway,
) -> None:
    await served_gateway.user("ada@example.com")
    client = served_gateway.client()
    assert (await client.get(INFO)).is_success
    with statements(served_gateway.db) as asked:
        assert (await client.get(INFO)).json()["setup_required"] is False
    assert not asked


async def test_a_session_that_has_ended_counts_as_none_but_a_wrong_key_is_refused(
    served_gateway: ServedGateway,
) -> None:
    ada = await served_gateway.user("ada@example.com")
    browser = await served_gateway.browser(ada)
    assert (await browser.delete("/node/session/")).is_success
    browser.cookies.set("slipstream_session", "x" * 43, domain="127.0.0.1")
    assert (await browser.get(INFO)).json() == {"version": VERSION, "setup_required": False}
    wrong = await served_gateway.client(**{"x-api-key": generate_key()}).get(INFO)
    assert (wrong.status_code, wrong.json()["code"]) == (401, "api_key_invalid")
    for scope in (Scope.TRIGGER, Scope.SERVE):
        other = await (await served_gateway.key_client(ada, scope)).get(INFO)
        assert (other.status_code, other.json()["code"]) == (403, "api_key_forbidden")


@pytest.mark.parametrize("credential", ["session", "manage key"])
async def test_users_are_told_the_settings(served_gateway: ServedGateway, credential: str) -> None:
    ada = await served_gateway.user("ada@example.com")
    told = (await (await served_gateway.caller(ada, credential)).client.get(INFO)).json()
    settings = served_gateway.container.settings
    assert set(told) == {
        *("version", "setup_required", "public_base_url", "grpc_address", "features", "limits"),
        *("deployment_defaults", "retention_days", "stored"),
    }
    assert (told["version"], told["setup_required"]) == (VERSION, False)
    assert told["public_base_url"] is None
    assert told["grpc_address"] == "127.0.0.1:8081"
    assert told["features"] == []
    assert told["retention_days"] == settings.run_retention_days
    assert told["limits"]["max_body_bytes"] == settings.max_body_bytes
    assert told["limits"]["key_calls_per_day"] is None
    assert {name: getattr(settings, name) for name in told["limits"]} == told["limits"]


async def test_the_deployment_defaults_are_those_of_a_new_deployment(
    in_process_gateway: InProcessGateway,
) -> None:
    client = await in_process_gateway.user()
    flow = {
        "name": "Echo",
        "nodes": [
            {"id": "input", "type": "api_input", "config": {}},
            {"id": "output", "type": "api_output", "config": {}},
        ],
        "edges": [{"source": "input", "target": "output"}],
    }
    saved = (await client.post("/node/flows/", json=flow)).json()
    made = (await client.post("/node/deployments/", json={"flow_id": saved["id"]})).json()
    defaults = (await client.get(INFO)).json()["deployment_defaults"]
    assert "execution_mode" in defaults
    unset = dict.fromkeys(made["limits"])
    assert {**defaults, "limits": unset} == {**{name: made[name] for name in defaults}}


async def test_the_address_of_grpc_is_below_the_public_name(
    database: Database, settings: Settings
) -> None:
    public = settings.model_copy(
        update={
            "public_base_url": "https://flows.example.com/",
            "anonymous_v2": True,
            "webhook_allow_http": True,
        }
    )
    for given, host in ((public, "flows.example.com"), (_listening(settings, "::"), "[::]")):
        gateway = InProcessGateway(given)
        told = (await (await gateway.user(f"{host}@example.com".strip("[]"))).get(INFO)).json()
        assert told["grpc_address"] == f"{host}:8081"
        if given is public:
            assert told["public_base_url"] == "https://flows.example.com"
            assert told["features"] == ["anonymous_v2", "http_targets"]
        await gateway.close()


def _listening(settings: Settings, host: str) -> Settings:
    return settings.model_copy(update={"host": host})
