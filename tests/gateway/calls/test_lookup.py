"""Calls that failed are found by the owner of their deployment, within bounds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy import func, insert, select

from gateway.auth.identity import Role, Scope
from gateway.calls.recorder import OF_UNKNOWN_CALLERS
from gateway.calls.store import CallStore
from gateway.errors import DatabaseAwayError
from gateway.ids import min_run_id
from gateway.settings import Settings
from gateway.storage.call_tables import CallRow
from gateway.storage.clock import now
from gateway.storage.database import Database
from tests.gateway.in_process_gateway import deploy, flow_json
from tests.gateway.served_gateway import ServedGateway

pytestmark = pytest.mark.databases("sqlite", "postgresql")

CANARY = "the-input-of-a-canary"
GIVEN = "job/7?of=ada"


@dataclass(frozen=True)
class Owner:
    """A user with a deployment of type `api`, which nothing executes."""

    client: httpx.AsyncClient
    deployment: str
    path: str


async def owner(gateway: ServedGateway, name: str) -> Owner:
    """Return a new user, whose deployment was called once."""
    user = await gateway.user(f"{name}@example.com")
    client = await gateway.key_client(user, Scope.MANAGE)
    made = await deploy(client, flow_json(), execution_mode="async", deployment_type="api")
    path = f"/node/deployment-trigger/{made['id']}/"
    answer = await client.post(path, json={"input_data": {"x": [[1, 2, 3, 4]]}})
    assert answer.status_code == 202
    return Owner(client, made["id"], path)


async def write_calls(gateway: ServedGateway) -> None:
    """Write what the gateway keeps of its calls."""
    gateway.container.accounting.drain()
    await gateway.container.call_recorder.write()


async def not_kept(gateway: ServedGateway) -> dict[str, float]:
    """Return `calls_not_kept_total` by reason."""
    root = await gateway.key_client(
        await gateway.user("root@example.com", Role.OWNER), Scope.MANAGE
    )
    text = (await root.get("/metrics")).text
    lines = [line for line in text.splitlines() if line.startswith("calls_not_kept_total{")]
    return {line.split('"')[1]: float(line.rpartition(" ")[2]) for line in lines}


async def test_a_refused_call_is_found_by_the_owner_of_its_deployment_and_by_admins(
    served_gateway: ServedGateway,
) -> None:
    ada, bob = [await owner(served_gateway, name) for name in ("ada", "bob")]
    body = {"input_data": {CANARY: CANARY}}
    bad = await ada.client.post(ada.path, json=body, headers={"x-request-id": GIVEN})
    wrong_key = f"sk-{CANARY}"
    keyless = await served_gateway.client(**{"x-api-key": wrong_key}).post(ada.path, json=body)
    foreign = await bob.client.post(ada.path, json=body)
    assert [it.status_code for it in (bad, keyless, foreign)] == [422, 401, 404]
    await write_calls(served_gateway)

    shown = (await ada.client.get(f"/node/calls/{quote(GIVEN, safe='')}/")).json()
    assert shown["request_id"] == GIVEN
    assert (shown["status"], shown["code"]) == (422, bad.json()["code"])
    assert (shown["deployment_id"], shown["deployment_version"]) == (ada.deployment, 1)
    assert shown["execution_mode"] == "async"
    assert shown["deployment_name"]
    assert shown["api_key_id"]
    assert shown["flow_run_id"] is None
    assert shown["gateway"].startswith("gateway-")
    assert 0 < shown["duration_seconds"] < (now().timestamp())
    for refused in (keyless, foreign):  # whose caller, or whose deployment, was not known
        url = f"/node/calls/{refused.headers['x-request-id']}/"
        found = (await ada.client.get(url)).json()
        assert (found["code"], found["api_key_id"]) == (refused.json()["code"], None)
        assert (await bob.client.get(url)).status_code == 404
    admin = await served_gateway.caller(
        await served_gateway.user("admin@example.com", Role.ADMIN), "session"
    )
    assert (await admin.client.get(url)).status_code == 200
    async with served_gateway.db.read() as session:
        rows = (await session.execute(select(CallRow.__table__))).all()
    assert len(rows) == 3
    assert CANARY not in repr(rows)


async def test_the_call_of_each_run_is_found_by_its_request_id(
    served_gateway: ServedGateway,
) -> None:
    ada, bob = [await owner(served_gateway, name) for name in ("ada", "bob")]
    body = {"input_data": {"x": [[1, 2, 3, 4]]}}
    own = await ada.client.post(ada.path, json=body)
    given = await ada.client.post(ada.path, json=body, headers={"x-request-id": GIVEN})
    for answer in (own, given):
        request_id, run_id = answer.headers["x-request-id"], answer.json()["flow_run_id"]
        for name in (request_id, run_id):
            url = f"/node/calls/{quote(name, safe='')}/"
            found = (await ada.client.get(url)).json()
            assert (found["request_id"], found["flow_run_id"]) == (request_id, run_id)
            assert (found["status"], found["duration_seconds"]) == (None, None)
            assert (await bob.client.get(url)).status_code == 404
        listed = await ada.client.get("/node/flow-runs/", params={"request_id": request_id})
        assert [run["flow_run_id"] for run in listed.json()["items"]] == [run_id]
        other = await bob.client.get("/node/flow-runs/", params={"request_id": request_id})
        assert other.json()["items"] == []


async def test_a_flood_of_refusals_pushes_out_no_call_of_others_and_is_counted(
    served_gateway: ServedGateway,
) -> None:
    ada, bob = [await owner(served_gateway, name) for name in ("ada", "bob")]
    keyless = served_gateway.client()
    for _ in range(OF_UNKNOWN_CALLERS.quota + 5):
        assert (await keyless.post(ada.path, json={})).status_code == 401
    failed = [await it.client.post(it.path, json={"input_data": 1}) for it in (ada, bob)]
    await write_calls(served_gateway)
    for user, answer in zip((ada, bob), failed, strict=True):
        found = await user.client.get(f"/node/calls/{answer.headers['x-request-id']}/")
        assert found.json()["code"] == answer.json()["code"]
    async with served_gateway.db.read() as session:
        assert await session.scalar(select(func.count()).select_from(CallRow)) == 32
    assert await not_kept(served_gateway) == {"rate": 5, "database": 0}


async def test_calls_are_lost_while_the_database_is_away(served_gateway: ServedGateway) -> None:
    ada = await owner(served_gateway, "ada")
    served_gateway.db.set_away(away=True)
    lost = await ada.client.post(ada.path, content=b"{")
    assert lost.status_code == 400
    with pytest.raises(DatabaseAwayError):
        await write_calls(served_gateway)
    served_gateway.db.set_away(away=False)
    await write_calls(served_gateway)
    answer = await ada.client.get(f"/node/calls/{lost.headers['x-request-id']}/")
    assert answer.status_code == 404
    assert "SLIPSTREAM_CALL_LOG" in answer.json()["message"]
    assert await not_kept(served_gateway) == {"rate": 0, "database": 1}


async def test_old_calls_and_those_beyond_the_newest_of_a_user_are_deleted(
    database: Database, settings: Settings
) -> None:
    store = CallStore(database, kept_minutes=settings.call_retention_minutes, max_of_user=2)
    minutes = {"ada": (61, 59, 30, 1), "bob": (62, 2)}
    rows = [
        {
            "id": min_run_id(now() - timedelta(minutes=ago))[:-4] + f"{ago:04}",
            "profile_id": user,
            "request_id": f"{user} {ago}",
            "deployment_id": "mine",
            "status": 503,
            "began_at": now(),
            "seconds": 1.0,
            "phases": {},
            "gateway": "gateway-1@host",
        }
        for user, all_ago in minutes.items()
        for ago in all_ago
    ]
    async with database.write() as session:
        await session.execute(insert(CallRow), rows)
    deleted = []
    while count := await store.prune(now()):
        deleted.append(count)
    async with database.read() as session:
        kept = (await session.execute(select(CallRow.request_id).order_by(CallRow.id))).scalars()
        assert set(kept) == {"ada 30", "ada 1", "bob 2"}
    assert deleted == [2, 1]
