"""Unexpected errors, and requests that arrive too early: the response is always JSON."""

from __future__ import annotations

import socket
from contextlib import AsyncExitStack

import pytest
from sqlalchemy import text, update
from sqlalchemy.pool import QueuePool

from gateway.storage import postgresql
from gateway.storage.database import Database
from gateway.storage.tables import Flow
from tests.gateway.in_process_gateway import InProcessGateway, flow_json


async def test_a_database_that_fails_in_a_route_is_a_503_in_json(
    in_process_gateway: InProcessGateway, database: Database
) -> None:
    ada = await in_process_gateway.user("ada@example.com")
    async with database.write() as session:
        await session.execute(text("ALTER TABLE flows RENAME TO away"))
    try:
        answer = await ada.get("/node/flows/")
    finally:
        async with database.write() as session:
            await session.execute(text("ALTER TABLE away RENAME TO flows"))
    assert answer.status_code == 503
    assert answer.json()["code"] == "database_unavailable"
    assert answer.headers["retry-after"]


async def test_a_database_whose_connections_all_wait_is_a_503(
    in_process_gateway: InProcessGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await in_process_gateway.user("ada@example.com")
    pool = in_process_gateway.db._engine.pool
    assert isinstance(pool, QueuePool)
    monkeypatch.setattr(pool, "_timeout", 0.05)
    async with AsyncExitStack() as held:
        while pool.checkedout() < pool.size() + pool._max_overflow:
            session = await held.enter_async_context(in_process_gateway.db.read())
            await session.execute(text("SELECT 1"))
        answer = await ada.get("/node/flows/")
    assert answer.status_code == 503
    assert answer.json()["code"] == "database_unavailable"
    assert answer.headers["retry-after"]


async def test_a_database_that_never_answers_is_away() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(ConnectionError, match=r"no connection within 0\.1 s"):
            await postgresql.connect(
                host="127.0.0.1", port=port, user="ada", password="x", timeout=0.1
            )


async def test_a_bug_in_a_route_is_a_500_in_json_without_its_traceback(
    in_process_gateway: InProcessGateway,
) -> None:
    ada = await in_process_gateway.user("ada@example.com")
    flow = (await ada.post("/node/flows/", json=flow_json())).json()
    async with in_process_gateway.db.write() as session:  # no route writes such a row
        await session.execute(update(Flow).values(definition=["not", "a", "flow"]))
    answer = await ada.get(f"/node/flows/{flow['id']}/")
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal"
    assert "list" not in answer.text
    assert "Traceback" not in answer.text


async def test_a_call_before_the_fast_path_is_ready_is_retryable(
    in_process_gateway: InProcessGateway,
) -> None:
    ada = await in_process_gateway.user("ada@example.com")
    answer = await ada.post("/node/deployment-trigger/any/", json={"input_data": {}})
    assert answer.status_code == 503
    assert answer.json()["code"] == "gateway_starting"
    assert answer.headers["retry-after"] == "1"
